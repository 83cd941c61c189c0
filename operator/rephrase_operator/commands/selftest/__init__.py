"""`rephrase selftest`: a job of ten documents on the simulated engine, up to a dataset that is recounted.

It shows that an installation works: permissions, images, storage and the operator itself. It needs no GPU, no
model and nothing of the internet. `helm test` runs it too. `objects` has what it creates, `course` its steps.
"""

from __future__ import annotations

import argparse
import asyncio

from rephrase_operator.commands.parsers import Commands

_ABOUT = """\
Run a job of ten documents on the simulated engine and recount its dataset, to see whether an installation
works. It needs no GPU, no model and nothing of the internet. It creates a claim, two Jobs and a RephraseJob
whose names begin with rephrase-selftest. At the end it removes them, and at the beginning what an earlier
test has left.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "selftest",
        help="run a small job to see whether an installation works",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-n", "--namespace", required=True, help="where the job runs; the operator has to serve it"
    )
    parser.add_argument(
        "--worker-image", required=True, metavar="IMAGE", help="image of the workers, as the operator has it"
    )
    parser.add_argument(
        "--pod-defaults",
        default="{}",
        metavar="JSON",
        help="the installer's settings of the jobs' pods, as the operator has them; default: none",
    )
    parser.add_argument(
        "--storage-class",
        default="",
        metavar="NAME",
        help="StorageClass of the claim; default: the cluster's own",
    )
    parser.add_argument(
        "--storage-size", default="1Gi", metavar="SIZE", help="size of the claim; default: 1Gi"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=840.0,
        metavar="SECONDS",
        help="how long the whole may take, with pulling images; default: 840",
    )
    parser.add_argument("--keep", action="store_true", help="leave everything there, to look at it")
    parser.set_defaults(run=_run, parser=parser)


def _run(parsed: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from rephrase_operator.commands.selftest.course import run
    from rephrase_operator.commands.selftest.objects import Trial
    from rephrase_operator.pod_defaults import PodDefaults

    if not parsed.timeout > 0:
        parsed.parser.error("--timeout: a number above 0")
    try:
        defaults = PodDefaults.model_validate_json(parsed.pod_defaults)
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(part) for part in found["loc"])
        parsed.parser.error(f"--pod-defaults: {f'{where}: ' if where else ''}{found['msg']}")
    trial = Trial(
        namespace=parsed.namespace,
        worker_image=parsed.worker_image,
        pod_defaults=defaults,
        storage_class=parsed.storage_class,
        storage_size=parsed.storage_size,
        seconds=int(parsed.timeout) or 1,
    )
    return asyncio.run(run(trial, keep=parsed.keep))
