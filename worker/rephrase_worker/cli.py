"""`rephrase-worker plan|generate|finalize`: the commands that the operator's Jobs run.

Each prints a line for people, logs to stderr, leaves its report as the container's termination
message and ends with an exit code of `spec.ExitCode`. Nothing of the environment is ever printed.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
import traceback
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import ValidationError

from rephrase_worker.clock import MonotonicClock
from rephrase_worker.progress import Progress
from rephrase_worker.render import check_templates
from rephrase_worker.spec import (
    Contract,
    Engine,
    ExitCode,
    Failure,
    FinalReport,
    PlanReport,
    Reason,
    Recipe,
    ShardReport,
    WorkerError,
)
from rephrase_worker.termination import Report, TerminationMessage

log = logging.getLogger("rephrase_worker")

C = TypeVar("C", bound=Contract)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the process: runs the command and ends it for good.

    Without the interpreter's own shutdown, which waits for threads: a store or an engine that hangs
    must not keep a GPU after the work is committed.
    """
    code = run(argv)
    for child in multiprocessing.active_children():
        child.kill()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(argv: Sequence[str] | None = None) -> ExitCode:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s level=%(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    message = TerminationMessage.from_environment()
    command: Callable[[argparse.Namespace, TerminationMessage], Report] = arguments.run
    try:
        report = command(arguments, message)
    except WorkerError as error:
        return _failed(arguments, message, error.failure, error.exit_code)
    # The last line of defence: whatever it is, it gets a report, a traceback and an exit code.
    except Exception as error:
        traceback.print_exc()
        failure = Failure(
            reason=Reason.INTERNAL,
            message=f"{type(error).__name__}: {error}. This is a defect; the worker's log has the traceback.",
        )
        return _failed(arguments, message, failure, ExitCode.INTERNAL)
    message.write(report)
    print(_summary(report))
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rephrase-worker", description="Rephrase a dataset, one shard at a time.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, summary: str, function: Callable[[argparse.Namespace, TerminationMessage], Report]
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.add_argument("--recipe", required=True, type=Path, metavar="FILE", help="the job's recipe, as JSON")
        added.set_defaults(run=function, command=name)
        return added

    command("plan", "Freeze the plan: which documents are which shard.", _plan)
    generate = command("generate", "Generate the missing samples of one shard.", _generate)
    generate.add_argument("--engine", required=True, type=Path, metavar="FILE", help="engine settings, as JSON")
    generate.add_argument(
        "--shard", type=int, metavar="N", help="number of the shard; default $JOB_COMPLETION_INDEX"
    )
    command("finalize", "Add up the account and write the dataset card.", _finalize)
    return parser


class _Parser(argparse.ArgumentParser):
    """Misuse ends with sysexits' USAGE: argparse's own 2 is nothing that a failure policy knows."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def _plan(arguments: argparse.Namespace, message: TerminationMessage) -> PlanReport:
    from rephrase_worker.planner import plan

    return plan(_recipe(arguments.recipe))


def _finalize(arguments: argparse.Namespace, message: TerminationMessage) -> FinalReport:
    from rephrase_worker.finalizer import finalize

    return finalize(_recipe(arguments.recipe))


def _generate(arguments: argparse.Namespace, message: TerminationMessage) -> ShardReport:
    clock = MonotonicClock()
    began = clock.now()
    from rephrase_worker.generate import Job, final_report, generate
    from rephrase_worker.telemetry import Telemetry, address

    job = Job(
        recipe=_recipe(arguments.recipe),
        engine=_read(arguments.engine, Engine),
        shard=_shard(arguments.shard),
        pod_uid=os.environ.get("POD_UID") or uuid.uuid4().hex,
    )
    progress = Progress(shard=job.shard, pod_uid=job.pod_uid, now=clock.now)
    progress.step_took("import", clock.now() - began)
    host, port = address()
    with Telemetry(progress, host=host, port=port) as telemetry:
        log.info("shard=%d pod_uid=%s telemetry=%s", job.shard, job.pod_uid, telemetry.url)
        try:
            manifest = generate(job, progress, on_commit=lambda: message.write(progress.report()), clock=clock)
        except WorkerError as error:
            progress.failed(error.failure, hangs=error.failure.reason is Reason.ENGINE_HANGS)
            arguments.report = progress.report()
            raise
        except Exception:
            arguments.report = progress.report()
            raise
        return final_report(manifest, progress)


def _shard(given: int | None) -> int:
    if given is not None:
        return given
    index = os.environ.get("JOB_COMPLETION_INDEX", "")
    if not index.isdecimal():
        raise WorkerError(
            Reason.INVALID_RECIPE,
            "No shard is given: use --shard N, or set JOB_COMPLETION_INDEX to a number as an Indexed Job does.",
        )
    return int(index)


def _recipe(path: Path) -> Recipe:
    recipe = _read(path, Recipe)
    check_templates(recipe.prompts)
    return recipe


def _read(path: Path, model: type[C]) -> C:
    """A file of the contract. Raises WorkerError(INVALID_RECIPE) that names the fields at fault."""
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WorkerError(Reason.INVALID_RECIPE, f"{path} can't be read: {error.strerror}.") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise WorkerError(
            Reason.INVALID_RECIPE, f"{path.name} is not a valid {model.__name__.lower()}: {faults}."
        ) from error


def _failed(
    arguments: argparse.Namespace, message: TerminationMessage, failure: Failure, code: ExitCode
) -> ExitCode:
    """Leave the report of a command that did not succeed."""
    log.error("%s failed reason=%s exit_code=%d: %s", arguments.command, failure.reason, code, failure.message)
    report: Report
    match arguments.command:
        case "plan":
            report = PlanReport(failure=failure)
        case "finalize":
            report = FinalReport(failure=failure)
        case _:
            known = getattr(arguments, "report", None) or ShardReport(shard=arguments.shard or 0)
            report = known.model_copy(update={"state": "failed", "failure": failure})
    message.write(report)
    return code


def _summary(report: Report) -> str:
    """One line for people."""
    match report:
        case PlanReport():
            about = "" if report.documents_exact else "about "
            return f"planned {about}{report.documents} documents of {report.files} files as {report.shards} shards"
        case ShardReport():
            return (
                f"shard {report.shard}: {report.samples_text} samples, {report.samples_error} errors, "
                f"{report.output_tokens} output tokens"
            )
        case FinalReport():
            return json.dumps(report.model_dump(by_alias=True, exclude_none=True, exclude={"kind"}))
