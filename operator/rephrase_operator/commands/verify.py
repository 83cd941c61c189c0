"""`rephrase verify URI`: recounts a dataset, and says whether anything is lost, doubled or changed."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rephrase_operator.commands.parsers import Commands

if TYPE_CHECKING:
    from rich.console import Console

    from rephrase_worker.verify import Verification

EXIT_COMPLETE, EXIT_FAULTY, EXIT_UNREADABLE, EXIT_INCOMPLETE = range(4)

_ABOUT = """\
Recount a dataset against its frozen plan and its manifests: every planned position is there once for every
prompt and rollout, and every figure agrees. Nothing is written.

exit codes: 0 the dataset is whole; 1 something is wrong; 2 it could not be checked (nothing there, no access,
a wrong option); 3 what is there is right, but shards are missing or the job is not finalized yet.
"""
_FAULTS_SHOWN = 20


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="recount a dataset against its plan and manifests",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "uri",
        help="the folder of the dataset: a path, s3://, gs://, abfs:// or hf://; credentials come from the "
        "environment",
    )
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--quick", action="store_true", help="read sizes and footers of the files only")
    depth.add_argument(
        "--content", action="store_true", help="read every byte: compare checksums and count empty texts too"
    )
    parser.add_argument(
        "--source",
        action="store_true",
        help="read the source again too, and compare its positions with the rows (not with --quick)",
    )
    parser.add_argument("--threads", type=int, default=8, metavar="N", help="shards read at once; default: 8")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_run, parser=parser)


def _run(parsed: argparse.Namespace) -> int:
    if parsed.source and parsed.quick:
        parsed.parser.error("--source compares rows, which --quick does not read: leave one of them out")
    if not 1 <= parsed.threads <= 256:
        parsed.parser.error("--threads: 1 to 256")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from rephrase_worker.spec import WorkerError
    from rephrase_worker.verify import Depth, Outcome, Progress, verify

    depth = Depth.QUICK if parsed.quick else Depth.CONTENT if parsed.content else Depth.ROWS
    columns = (TextColumn("shards"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Console(stderr=True, soft_wrap=True)
    try:
        with Bar(
            *columns,
            TextColumn("{task.description}"),
            console=progress,
            transient=True,
            disable=not progress.is_terminal,
        ) as bar:
            task = bar.add_task("", total=None)

            def show(now: Progress) -> None:
                found = f"{now.rows:,} rows" + (f", {now.faults:,} faults" if now.faults else "")
                bar.update(task, total=now.shards, completed=now.done, description=found)

            result = verify(
                parsed.uri, depth=depth, source=parsed.source, threads=parsed.threads, on_progress=show
            )
    except WorkerError as error:
        progress.print(f"rephrase verify: {error}", style="red", markup=False, highlight=False)
        return EXIT_UNREADABLE
    if parsed.json:
        sys.stdout.write(result.to_json() + "\n")
    else:
        _print(Console(highlight=False, soft_wrap=True), result)
    return {
        Outcome.COMPLETE: EXIT_COMPLETE,
        Outcome.INCOMPLETE: EXIT_INCOMPLETE,
        Outcome.FAULTY: EXIT_FAULTY,
    }[result.outcome]


def _print(console: Console, result: Verification) -> None:
    for fault in result.faults[:_FAULTS_SHOWN]:
        console.print(f"{fault.where}: {fault.what}. [{fault.kind.value}]", style="red", markup=False)
        console.print(f"    {fault.remedy}", style="dim", markup=False)
    if (rest := result.fault_count - min(len(result.faults), _FAULTS_SHOWN)) > 0:
        console.print(f"{rest:,} more faults; --json lists the first {len(result.faults):,}", style="red")
    read = {
        "quick": "sizes and footers were read",
        "rows": "every row's key and counts were read",
        "content": "every byte was read",
    }[result.depth] + (", and the source again" if result.source_read else "")
    account = f"{result.planned:,} planned = {result.text:,} texts + {result.error:,} errors"
    account += f" + {result.filtered:,} left out" if result.filtered else ""
    match result.outcome.value:
        case "complete":
            head, style = f"{result.dataset} is complete: nothing lost, nothing doubled.", "green"
        case "incomplete":
            reasons = [f"shards {result.missing_shards} are missing"] if result.missing_shards else []
            reasons += [] if result.finalized else ["the job is not finalized"]
            unmixed = result.mix_shards - result.mix_shards_finished
            reasons += [f"{unmixed:,} shards of the mix are missing"] if unmixed else []
            which = " and ".join(reasons)
            head, style = f"{result.dataset} is incomplete: {which}. What is there is right.", "yellow"
        case _:
            head, style = f"{result.dataset} has {result.fault_count:,} faults.", "red"
    console.print(head, style=style, markup=False)
    console.print(
        f"{account} + {result.missing:,} missing; {result.shards_finished:,} of {result.shards:,} shards, "
        f"{result.rows:,} rows in {result.files:,} files; {read}.",
        markup=False,
    )
    if result.mix_shards:
        console.print(
            f"The mix: {result.mix_shards_finished:,} of {result.mix_shards:,} shards, "
            f"{result.mix_rows:,} rows.",
            markup=False,
        )
