"""`rephrase publish URI --to OWNER/NAME`: puts a finished dataset on the Hub."""

from __future__ import annotations

import argparse

from rephrase_operator.commands.parsers import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    about = "put a finished dataset on the Hugging Face Hub, or the rest of it"
    parser = commands.add_parser("publish", help=about, description=f"{about[0].upper()}{about[1:]}.")
    parser.add_argument("uri", metavar="URI", help="the dataset: a job's output")
    parser.add_argument("--to", required=True, metavar="OWNER/NAME", help="dataset repository")
    parser.add_argument("--public", action="store_true", help="create it as a public one, if it is not there")
    parser.add_argument("--incomplete", action="store_true", help="take a dataset with shards missing, too")
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    from pydantic import ValidationError
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from rephrase_worker.bookkeeping import read_recipe
    from rephrase_worker.publisher import publish
    from rephrase_worker.spec import Output, Publish, Reason, WorkerError
    from rephrase_worker.store import Store

    try:
        to = Publish(repository=parsed.to, private=not parsed.public)
    except ValidationError as error:
        raise WorkerError(Reason.INVALID_RECIPE, f"--to {parsed.to}: expected OWNER/NAME.") from error
    recipe = read_recipe(Store(parsed.uri)).model_copy(update={"output": Output(uri=parsed.uri)})
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), "files", TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("publishing")
        report = publish(
            recipe,
            to,
            incomplete=parsed.incomplete,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    print(
        f"{report.files} files ({report.bytes:,} bytes) are in {report.repository} at {report.revision}; "
        f"{report.commits} commits were made."
    )
    return 0
