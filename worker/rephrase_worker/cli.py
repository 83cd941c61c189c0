"""`rephrase-worker plan|generate|finalize|mix|publish`: the commands that the operator's Jobs run.

Each prints a line for people, logs to stderr, leaves its report as the container's termination
message and ends with an exit code of `spec.ExitCode`. Nothing of the environment is ever printed.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import ValidationError

from rephrase_worker.clock import MonotonicClock
from rephrase_worker.rendering.placeholders import check_templates
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.report.termination import TerminationMessage
from rephrase_worker.signals import Terminated, on_sigterm, terminate
from rephrase_worker.spec import (
    Contract,
    EngineSettings,
    ExitCode,
    Failure,
    FinalReport,
    MixReport,
    PlanReport,
    PublishReport,
    Reason,
    Recipe,
    Report,
    ShardReport,
    WorkerError,
)
from rephrase_worker.uris import OUTPUT_PROTOCOLS, SOURCE_PROTOCOLS, protocol_of

log = logging.getLogger("rephrase_worker")

C = TypeVar("C", bound=Contract)
Outcome = tuple[Report, ExitCode]
Command = Callable[[argparse.Namespace], Outcome]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the process: runs the command and ends it for good.

    It skips the interpreter's own shutdown, which waits for threads: a store or an engine that hangs must not
    keep a GPU after the work is committed.
    """
    code = run(argv)
    for child in multiprocessing.active_children():
        child.kill()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(argv: Sequence[str] | None = None) -> ExitCode:
    """Run one command and return its exit code. Only for the main thread."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s level=%(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    command: Command = arguments.run
    try:
        with on_sigterm(terminate):
            report, code = command(arguments)
    except _FAILURES as error:
        failure, code = _failure(error)
        report = arguments.empty_report.model_copy(update={"failure": failure})
    if report.failure is None:
        print(_summary(report))
    else:
        log.error(
            "command=%s reason=%s exit_code=%d: %s",
            arguments.command,
            report.failure.reason,
            code,
            report.failure.message,
        )
    TerminationMessage.from_environment().write(report)
    return code


def parser() -> argparse.ArgumentParser:
    """The command line with every command."""
    whole = _Parser(prog="rephrase-worker", description="Rephrase a dataset, one shard at a time.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, about: str, run: Command, empty_report: Report) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument("--recipe", required=True, type=Path, metavar="FILE", help="recipe, as JSON")
        command.set_defaults(command=name, run=run, empty_report=empty_report)
        return command

    planning = add("plan", "Freeze the plan: which documents are which shard.", _plan, PlanReport())
    planning.add_argument(
        "--engine",
        type=Path,
        metavar="FILE",
        help="engine, as JSON: its context is then part of what is checked",
    )
    generate = add(
        "generate",
        "Generate the missing samples of one shard.",
        _generate,
        ShardReport(shard=0, state="failed"),
    )
    generate.add_argument("--engine", required=True, type=Path, metavar="FILE", help="engine, as JSON")
    add("finalize", "Add up the account and write the dataset card.", _finalize, FinalReport())
    add("publish", "Put the finished dataset into its repository of the Hub.", _publish, PublishReport())
    mix = add("mix", "Mix one shard of outputs and original data.", _mix, MixReport())
    for command in (generate, mix):
        command.add_argument("--shard", type=int, metavar="N", help="default: $JOB_COMPLETION_INDEX")
    return whole


class _Parser(argparse.ArgumentParser):
    """A wrong command line ends with sysexits' USAGE: the failure policy does not know argparse's 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


# Commands import what they need themselves, so that `--help` and a faulty recipe need not wait for Arrow.


def _plan(arguments: argparse.Namespace) -> Outcome:
    recipe = _recipe(arguments.recipe)
    engine = None if arguments.engine is None else _read(arguments.engine, EngineSettings, "engine")
    from rephrase_worker.planner import plan

    return plan(recipe, engine), ExitCode.OK


def _finalize(arguments: argparse.Namespace) -> Outcome:
    recipe = _recipe(arguments.recipe)
    from rephrase_worker.finalizer import finalize

    return finalize(recipe), ExitCode.OK


def _publish(arguments: argparse.Namespace) -> Outcome:
    recipe = _recipe(arguments.recipe)
    if recipe.publish is None:
        raise WorkerError(Reason.INVALID_RECIPE, "publish: the recipe names no repository to publish to.")
    from rephrase_worker.publisher import publish

    return publish(recipe, recipe.publish), ExitCode.OK


def _mix(arguments: argparse.Namespace) -> Outcome:
    recipe, shard = _recipe(arguments.recipe), _shard(arguments.shard)
    from rephrase_worker.bookkeeping import read_plan_of
    from rephrase_worker.mix.account import report_of
    from rephrase_worker.mix.run import mix_shard
    from rephrase_worker.store import Patience, Store

    store = Store(recipe.output.uri, patience=Patience(MonotonicClock()))
    read_plan_of(store, recipe)
    account = mix_shard(store, shard)
    if account is not None:
        from rephrase_worker.finalizer import describe

        describe(store, recipe)
    return report_of(shard, account), ExitCode.OK


def _generate(arguments: argparse.Namespace) -> Outcome:
    clock = MonotonicClock()
    began = clock.now()
    recipe, engine = _recipe(arguments.recipe), _read(arguments.engine, EngineSettings, "engine")
    shard = _shard(arguments.shard)
    from rephrase_worker.generate.shard import Job, final_report, generate
    from rephrase_worker.report.telemetry import Telemetry, address

    job = Job(
        recipe=recipe, engine=engine, shard=shard, pod_uid=os.environ.get("POD_UID") or uuid.uuid4().hex
    )
    progress = ShardProgress(shard=shard, pod_uid=job.pod_uid, now=clock.now)
    progress.step_took("import", clock.now() - began)
    message = TerminationMessage.from_environment()
    host, port = address()
    with Telemetry(progress, host=host, port=port) as telemetry:
        log.info("shard=%d pod_uid=%s telemetry=%s", shard, job.pod_uid, telemetry.url)
        try:
            manifest = generate(
                job, progress, on_commit=lambda: message.write(progress.report()), clock=clock
            )
        except _FAILURES as error:
            failure, code = _failure(error)
            progress.failed(failure, hangs=failure.reason is Reason.ENGINE_HANGS)
            return progress.report(), code
        return final_report(manifest, progress), ExitCode.OK


def _shard(given: int | None) -> int:
    if given is not None:
        return given
    index = os.environ.get("JOB_COMPLETION_INDEX", "")
    if not index.isdecimal():
        raise WorkerError(
            Reason.INVALID_RECIPE,
            "No shard is given: use --shard N, or set JOB_COMPLETION_INDEX as an Indexed Job does.",
        )
    return int(index)


def _recipe(path: Path) -> Recipe:
    recipe = _read(path, Recipe, "recipe")
    check_templates(recipe.prompts)
    _check_protocol("source.uri", recipe.source.uri, (*SOURCE_PROTOCOLS, *_BY_HAND))
    if recipe.mix is not None:
        _check_protocol("mix.source.uri", recipe.mix.source.uri, (*SOURCE_PROTOCOLS, *_BY_HAND))
    _check_protocol("output.uri", recipe.output.uri, OUTPUT_PROTOCOLS)
    return recipe


_BY_HAND = ("http", "https")
"""Sources that a person may read. A job may not: a message could echo what an internal address answers."""


def _check_protocol(field: str, uri: str, known: tuple[str, ...]) -> None:
    if (protocol := protocol_of(uri)) and protocol not in known:
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"{field}: {protocol}:// is not supported. Use an absolute path or one of "
            f"{', '.join(f'{name}://' for name in known)}.",
        )


def _read(path: Path, model: type[C], what: str) -> C:
    """A file of the contract, called `what` in errors. Raises WorkerError(INVALID_RECIPE) with the fields."""
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WorkerError(Reason.INVALID_RECIPE, f"{path} can't be read: {error.strerror}.") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise WorkerError(Reason.INVALID_RECIPE, f"{path.name} is not a valid {what}: {faults}.") from error


_FAILURES = (Exception, Terminated)
"""Exceptions that end a command with a report. An unforeseen one is a defect, and is reported too."""


def _failure(error: BaseException) -> tuple[Failure, ExitCode]:
    """The failure and exit code for an exception. The traceback of an unforeseen one is logged."""
    match error:
        case WorkerError():
            return error.failure, error.exit_code
        case Terminated():
            message = "The worker was asked to stop (SIGTERM). Its commits are kept."
            return Failure(reason=Reason.PREEMPTED, message=message), ExitCode.PREEMPTED
        case _:
            log.error("unforeseen", exc_info=error)
            message = f"{type(error).__name__}: {error}. This is a defect; the log has the traceback."
            return Failure(reason=Reason.INTERNAL, message=message), ExitCode.INTERNAL


def _summary(report: Report) -> str:
    """One line for people."""
    match report:
        case PlanReport():
            about = "" if report.documents_exact else "about "
            return f"{about}{report.documents} documents in {report.files} files, {report.shards} shards"
        case ShardReport():
            return (
                f"shard {report.shard}: {report.samples_text} samples{_empty(report)}, "
                f"{report.samples_error} errors, {report.output_tokens} output tokens"
            )
        case PublishReport():
            return (
                f"{report.files} files ({report.bytes} bytes) are in {report.repository} at "
                f"{report.revision}, {report.commits} commits made"
            )
        case MixReport() if report.complete:
            return (
                f"{report.rows} rows, {report.tokens} tokens, {report.share_reached:.1%} of them synthetic "
                f"(asked for: {report.share_asked:.1%}) {report.short}".rstrip()
            )
        case MixReport():
            return f"shard {report.shard} of the mix is done"
        case FinalReport():
            left_out = f"{report.samples_filtered} left out, " if report.samples_filtered else ""
            shards = f" (shards {report.missing_shard_numbers})" if report.missing_shards else ""
            return (
                f"{report.documents} documents, {report.samples_text} samples{_empty(report)}, "
                f"{report.samples_error} errors, {left_out}{report.samples_missing} missing{shards}, "
                f"{report.output_tokens} output tokens"
            )


def _empty(report: ShardReport | FinalReport) -> str:
    return f" ({report.samples_empty} empty)" if report.samples_empty else ""
