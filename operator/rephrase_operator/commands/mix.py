"""`rephrase mix URI --original URI`: mixes a finished dataset with original data, without a cluster."""

from __future__ import annotations

import argparse
from functools import cache
from typing import TYPE_CHECKING, Any

from rephrase_operator.commands.parsers import Commands
from rephrase_worker.spec import MIX_FOLDER, Reason, WorkerError

if TYPE_CHECKING:
    from rephrase_worker.mixes import MixAccount
    from rephrase_worker.spec import Mix

_ABOUT = """\
Mix the outputs of a finished dataset with original data, by share of tokens, into OUTPUT/mix. Run it again
after an interruption: it goes on where it was, and ends with the same files. Without --original it goes on
with the mix that was begun at the output, such as that of a job.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("mix", help="mix a finished dataset with original data", description=_ABOUT)
    parser.add_argument("uri", metavar="URI", help="the dataset: a job's output")
    parser.add_argument(
        "--original", metavar="URI", help="original data: files, a folder or a glob, as of spec.source"
    )
    parser.add_argument("--output", metavar="URI", help="where the mix goes; default: the dataset itself")
    parser.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="PROMPT=SHARE",
        help="share of a prompt's outputs in the tokens, such as faq=0.6; repeatable",
    )
    parser.add_argument("--tokens", type=int, metavar="N", help="size of the mix; default: every output once")
    parser.add_argument("--max-repetitions", type=int, metavar="N", help="uses of a text at most; default: 4")
    parser.add_argument("--seed", type=int, metavar="N", help="default: 0")
    parser.add_argument("--shards", type=int, metavar="N", help="files of the mix; default: by its size")
    parser.add_argument(
        "--format", choices=["auto", "parquet", "jsonl"], help="of the original data; default: by suffix"
    )
    parser.add_argument("--text-field", metavar="NAME", help="column of the original text; default: text")
    parser.add_argument("--id-field", metavar="NAME", help="column of the original id; default: none")
    parser.add_argument("--revision", metavar="REVISION", help="of an hf:// dataset; default: main")
    parser.add_argument("--max-documents", type=int, metavar="N", help="original documents to use at most")
    parser.add_argument(
        "--tokenizer",
        metavar="MODEL",
        help="counts the tokens: an id on the Hub or a folder; default: the dataset's model",
    )
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from rephrase_worker.bookkeeping import read_recipe
    from rephrase_worker.finalizer import describe
    from rephrase_worker.mix.run import mix_shard
    from rephrase_worker.mix.tokens import counter_of
    from rephrase_worker.planner.by_hand import begun_mix, plan_mix
    from rephrase_worker.spec import Model
    from rephrase_worker.store import Store

    dataset = Store(parsed.uri)
    target = dataset if parsed.output is None else Store(parsed.output)
    if parsed.original is None:
        plan = begun_mix(target)
    else:
        tokenizer = None if parsed.tokenizer is None else Model(name=parsed.tokenizer)
        plan = plan_mix(dataset, target, _mix_of(parsed), tokenizer)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    account: MixAccount | None = None
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("shards", total=plan.shards)
        read, counter = 0, cache(counter_of)  # Loading a tokenizer takes seconds.

        def count(tokens: int) -> None:
            nonlocal read
            read += tokens
            bar.update(task, description=f"shards, {read:,} tokens read")

        for shard in range(plan.shards):
            account = mix_shard(target, shard, on_tokens=count, counter=counter)
            bar.advance(task)
    assert account is not None
    if target.uri == dataset.uri:
        # The mix is a part of this dataset, so that its card and report show it.
        describe(dataset, read_recipe(dataset))
    _print(account, target.uri)
    return 0


def _mix_of(parsed: argparse.Namespace) -> Mix:
    from pydantic import ValidationError

    from rephrase_worker.spec import Mix, Source

    source = {"uri": parsed.original} | _given(
        parsed, "format", "text_field", "id_field", "revision", "max_documents"
    )
    try:
        return Mix(
            source=Source(**source),
            share=dict(map(_share, parsed.share)),
            **_given(parsed, "tokens", "max_repetitions", "seed", "shards"),
        )
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        option = str(next((part for part in found["loc"] if part != "source"), "original"))
        option = "original" if option == "uri" else option.replace("_", "-")
        wrong = found["msg"].removeprefix("Value error, ")
        raise WorkerError(Reason.INVALID_RECIPE, f"--{option}: {wrong}, not {found['input']!r}.") from error


def _given(parsed: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None}


def _share(text: str) -> tuple[str, float]:
    name, equals, share = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return name, float(share)
    except ValueError:
        raise WorkerError(
            Reason.INVALID_RECIPE, f"--share {text}: expected PROMPT=SHARE, such as faq=0.6."
        ) from None


def _print(account: MixAccount, uri: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    rows = _rows(account)
    # What says nothing is left out: a table of all columns is wider than most terminals.
    shown = [name for name in rows[0] if any(row[name] not in ("", "0") for row in rows)]
    if account.most_repetitions < 2:
        shown = [name for name in shown if name != "rows"]
    for name in shown:
        table.add_column(name, justify="right" if name else "left")
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"{uri}/{MIX_FOLDER}: {account.rows:,} rows, {account.tokens:,} tokens in {account.shards:,} files; "
        f"{account.share_reached:.1%} of the tokens synthetic, {account.share_asked:.1%} asked for.",
        markup=False,
    )
    if account.most_repetitions > 1:
        console.print(f"Some texts are there {account.most_repetitions} times.", markup=False)
    if account.short:
        console.print(account.short, style="yellow", markup=False)


def _rows(account: MixAccount) -> list[dict[str, str]]:
    rows = [
        {
            "": name,
            "planned": f"{prompt.planned:,}",
            "used": f"{prompt.used:,}",
            "errors": f"{prompt.error:,}",
            "empty": f"{prompt.empty:,}",
            "unused": f"{prompt.unused:,}",
            "left out": f"{prompt.filtered:,}",
            "missing": f"{prompt.missing:,}",
            "rows": f"{prompt.rows:,}",
            "tokens": f"{prompt.tokens:,}",
            "share": f"{prompt.share_reached:.1%}",
            "asked": f"{prompt.share_asked:.1%}",
        }
        for name, prompt in account.prompts.items()
    ]
    original = account.original
    about = "" if original.documents_exact else "about "
    rows.append(
        dict.fromkeys(rows[0], "")
        | {
            "": "original",
            "planned": f"{about}{original.documents:,}",
            "used": f"{original.used:,}",
            "errors": f"{original.unusable:,}",
            "unused": f"{about}{original.unused:,}",
            "rows": f"{original.rows:,}",
            "tokens": f"{original.tokens:,}",
        }
    )
    return rows
