"""`rephrase plan -f job.yaml`: what a job will take, before a GPU is asked for and without a cluster."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_operator.commands.parsers import Commands
from rephrase_worker.spec import Reason, WorkerError

if TYPE_CHECKING:
    from rephrase_operator.commands.manifest import Manifest
    from rephrase_worker.estimate import Estimate, Fleet, Price
    from rephrase_worker.profiles import Resolved
    from rephrase_worker.spec import Statistics

_ABOUT = """\
Estimate a job from its manifest. The source is listed and a sample of its documents is put through the
model's tokenizer, here and with this shell's credentials. Nothing is written. The rules that only the API
server checks (CEL) are not checked, and neither are repositories to publish to nor the output.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("plan", help="estimate a job before it runs", description=_ABOUT)
    parser.add_argument("-f", "--filename", required=True, metavar="FILE", help="the manifest; - for stdin")
    parser.add_argument("--parallelism", type=int, metavar="N", help="instead of spec.parallelism")
    parser.add_argument("--price", type=float, metavar="PRICE", help="of a GPU-hour, instead of spec.cost's")
    parser.add_argument("--currency", metavar="CODE", help="of the price; default: spec.cost's, or USD")
    parser.add_argument("--cpu", action="store_true", help="the workers run on CPUs")
    parser.add_argument(
        "--tokens-per-second",
        type=float,
        metavar="N",
        help="output tokens of a GPU (or of a worker on CPUs) in a second, instead of the profile's",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FOLDER",
        help="the installer's prompts, each in NAME.md, if the job names one",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_run, parser=parser)


def _run(parsed: argparse.Namespace) -> int:
    for option, least in (("parallelism", 0), ("price", 0.0), ("tokens_per_second", 1e-9)):
        value = getattr(parsed, option)
        if value is not None and not value >= least:
            parsed.parser.error(f"--{option.replace('_', '-')}: a number of at least {least:g}")
    if parsed.prompts is not None and not parsed.prompts.is_dir():
        parsed.parser.error(f"--prompts: {parsed.prompts} is no folder")
    from rephrase_operator.commands.manifest import read
    from rephrase_worker.estimate import advise, estimate

    manifest = read(parsed.filename)
    resolved, fastest = _engine(manifest, cpu=parsed.cpu)
    statistics = _measure(manifest, resolved, parsed.prompts)
    fleet, price = _fleet(manifest, resolved, parsed), _price(manifest, parsed)
    found = estimate(statistics, fleet, price)
    cheaper = advise(
        statistics,
        found,
        fleet,
        prompts=len(manifest.spec.prompts),
        max_tokens=manifest.spec.sampling.max_tokens,
        fastest=fastest,
    )
    if parsed.json:
        sys.stdout.write(json.dumps(_as_json(manifest, resolved, fleet, found, cheaper), indent=2) + "\n")
    else:
        _print(manifest, resolved, fleet, statistics, found, cheaper)
    return 0


def _engine(manifest: Manifest, *, cpu: bool) -> tuple[Resolved, int | None]:
    """The engine with its profile, and the pace of the profile's fastest settings."""
    from rephrase_operator.api.status import RephraseJobStatus
    from rephrase_operator.reconcile.engine_profile import resolved
    from rephrase_worker.profiles import UnknownProfileError

    spec, status = manifest.spec, RephraseJobStatus()
    selector = spec.worker.node_selector
    try:
        found = resolved(spec, status, node_selector=selector, accelerated=not cpu)
    except ValueError as error:
        raise WorkerError(Reason.INVALID_RECIPE, str(error)) from error
    try:
        quick = spec.model_copy(update={"engine": spec.engine.model_copy(update={"profile": "fastest"})})
        faster = resolved(quick, status, node_selector=selector, accelerated=not cpu)
        fastest = faster.tokens_per_second_per_gpu
    except UnknownProfileError:
        fastest = None  # There is no profile for this model.
    return found, fastest


def _measure(manifest: Manifest, resolved: Resolved, house: Path | None) -> Statistics:
    """List and sample the source. Raises WorkerError."""
    from rephrase_operator.library import library, with_house_prompts
    from rephrase_operator.reconcile.prompts import PromptProblem, resolve
    from rephrase_worker.planner.listing import list_source
    from rephrase_worker.planner.sharding import shard
    from rephrase_worker.planner.statistics import measure
    from rephrase_worker.spec import Owner, Recipe

    spec = manifest.spec
    for variable in spec.worker.env:
        if variable.value:
            os.environ.setdefault(variable.name, variable.value)
    known = with_house_prompts(house) if house else library()
    prompts = resolve(spec.prompts, known, manifest.prompt_maps)
    if isinstance(prompts, PromptProblem):
        raise WorkerError(Reason.INVALID_RECIPE, prompts.message)
    recipe = Recipe(
        job=Owner(namespace=manifest.namespace, name=manifest.name),
        source=spec.source,
        prompts=prompts,
        model=spec.model,
        sampling=spec.sampling,
        output=spec.output,
        sharding=spec.sharding,
        parallelism=max(1, spec.parallelism),
        tokens_per_second_per_gpu=resolved.tokens_per_second_per_gpu,
    )
    listing = list_source(recipe, resolved.settings)
    return measure(recipe, resolved.settings, listing, shard(listing, recipe))


def _fleet(manifest: Manifest, resolved: Resolved, parsed: argparse.Namespace) -> Fleet:
    from rephrase_worker.estimate import EAGER_STARTUP_SECONDS, STARTUP_SECONDS, Fleet

    given: float | None = parsed.tokens_per_second
    settings = resolved.settings
    on_cpu = parsed.cpu or settings.backend == "simulated"
    return Fleet(
        parallelism=manifest.spec.parallelism if parsed.parallelism is None else parsed.parallelism,
        gpus_per_worker=0 if on_cpu else settings.gpus,
        tokens_per_second_per_gpu=given or resolved.tokens_per_second_per_gpu,
        figure="given" if given else resolved.figure,
        startup_seconds=EAGER_STARTUP_SECONDS if settings.enforce_eager else STARTUP_SECONDS,
    )


def _price(manifest: Manifest, parsed: argparse.Namespace) -> Price | None:
    from rephrase_worker.estimate import Price

    cost = manifest.spec.cost
    hour = parsed.price if parsed.price is not None else cost.gpu_hour_price if cost else None
    currency = parsed.currency or (cost.currency if cost else None) or "USD"
    return None if hour is None else Price(hour, currency)


def _as_json(
    manifest: Manifest, resolved: Resolved, fleet: Fleet, found: Estimate, cheaper: list[str]
) -> dict[str, Any]:
    return {
        "job": f"{manifest.namespace}/{manifest.name}",
        "profile": resolved.profile,
        "gpu": resolved.gpu,
        "fleet": asdict(fleet),
        "estimate": asdict(found),
        "cheaper": cheaper,
    }


def _print(
    manifest: Manifest,
    resolved: Resolved,
    fleet: Fleet,
    statistics: Statistics,
    found: Estimate,
    cheaper: list[str],
) -> None:
    from rich.console import Console
    from rich.table import Table

    from rephrase_operator.observed.progress import duration

    console = Console(highlight=False, soft_wrap=True)
    unit = "GPU" if fleet.gpus_per_worker else "worker"
    shards = sum(group.shards for group in statistics.shards)
    console.print(
        f"{manifest.name}: {shards} shards, {len(manifest.spec.prompts)} prompts, {manifest.spec.model.name} "
        f"on {resolved.gpu} (profile {resolved.profile})",
        markup=False,
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "expected", "low", "high"):
        table.add_column(column, justify="left" if not column else "right")

    def row(name: str, shown: list[str]) -> None:
        table.add_row(name, *shown)

    def figures(span: Any, style: str = "{:,.0f}") -> list[str]:
        return [style.format(number) for number in (span.expected, span.low, span.high)]

    row("documents", figures(found.documents))
    row(f"{found.unit} in", figures(found.prompt_tokens))
    row(f"{found.unit} out", figures(found.output_tokens))
    if found.gpu_hours is not None:
        row(f"{unit}-hours", figures(found.gpu_hours, "{:,.2f}"))
        row("of which start-up", [f"{found.startup_share or 0:.0%}", "", ""])
    if found.wall_seconds is not None:
        wall = found.wall_seconds
        times = [duration(round(number)) for number in (wall.expected, wall.low, wall.high)]
        row(f"time with {fleet.parallelism} workers", times)
    if found.cost is not None:
        row(f"cost ({found.currency})", figures(found.cost, "{:,.2f}"))
    console.print(table)
    if found.gpu_hours is None:
        console.print("No pace is known here, so neither hours nor cost: give --tokens-per-second.")
    for title, sentences in (("Assumed", found.assumptions), ("Cheaper", cheaper)):
        if sentences:
            console.print(f"\n{title}:", style="bold")
            for sentence in sentences:
                console.print(f"  - {sentence}", markup=False)
