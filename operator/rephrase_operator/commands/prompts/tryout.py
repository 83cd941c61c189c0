"""`rephrase prompts try`: a few documents through one or several prompts, beside each other."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_operator.commands.parsers import Commands
from rephrase_operator.library import Layout

if TYPE_CHECKING:
    from rich.console import Console

    from rephrase_operator.commands.prompts.trying.answers import (
        Answer,
        Answering,
        Document,
        Row,
        TriedPrompt,
    )

EXIT_ERRORS, EXIT_NOT_TRIED = 1, 2
POLL_SECONDS = 0.3

_ABOUT = """\
Send a few documents of your own file through one or several prompts, and show the outputs beside each other.
The model is one on this machine (--model alone; vLLM starts once) or one behind any OpenAI-compatible URL.

exit codes: 0 every prompt has an output for every document; 1 some have an error; 2 nothing could be tried
"""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "try",
        help="try prompts on a few documents, with a local model or a URL",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "prompts", nargs="+", metavar="NAME|FILE", help="prompts of the library, and prompt files of your own"
    )
    parser.add_argument(
        "--input", required=True, metavar="FILE", help=".jsonl, .parquet or .txt, or any source of a job"
    )
    parser.add_argument(
        "--text-field", default="text", metavar="NAME", help="column of the text; default: text"
    )
    parser.add_argument("--documents", type=int, default=3, metavar="N", help="how many; default: 3")
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="documents to leave out before them")
    parser.add_argument(
        "--model", metavar="NAME", help="a folder, or an id on the Hub; with --url the server's name of it"
    )
    parser.add_argument("--url", help="an OpenAI-compatible server, such as http://localhost:8000/v1")
    parser.add_argument(
        "--api-key-env", metavar="VARIABLE", help="environment variable that holds the server's key"
    )
    parser.add_argument(
        "--layout",
        choices=[*(layout.value for layout in Layout), "both"],
        help="where the document stands; both compares; default: DocumentFirst",
    )
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="for all prompts; default: each prompt's own"
    )
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="longest output; default: each prompt's own"
    )
    parser.add_argument(
        "--max-model-len",
        type=int,
        metavar="N",
        help="context of a local model; default: its own, up to 4096",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with everything, too")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="run again whenever a prompt file changes; the model stays loaded",
    )
    parser.set_defaults(run=_run, parser=parser)


def _run(parsed: argparse.Namespace) -> int:
    _check(parsed)
    from rich.console import Console

    from rephrase_operator.commands.prompts.trying.answers import TryError

    try:
        return asyncio.run(_Try(parsed, Console(highlight=False)).run())
    except TryError as error:
        sys.stderr.write(f"rephrase prompts try: {error}\n")
        return EXIT_NOT_TRIED


def _check(parsed: argparse.Namespace) -> None:
    fail: Callable[[str], None] = parsed.parser.error
    if parsed.model is None and parsed.url is None:
        fail("name a model: --model FOLDER_OR_ID for one on this machine, or --url http://HOST:PORT/v1")
    if parsed.api_key_env is not None and parsed.url is None:
        fail("--api-key-env is for --url")
    if parsed.api_key_env is not None and not os.environ.get(parsed.api_key_env):
        fail(f"--api-key-env: the environment variable {parsed.api_key_env} is not set")
    if parsed.max_model_len is not None and (parsed.url is not None or parsed.max_model_len < 64):
        fail("--max-model-len: 64 or more, and for a local model only")
    if not 1 <= parsed.documents <= 1000 or parsed.skip < 0:
        fail("--documents: 1 to 1000; --skip: 0 or more")
    if parsed.temperature is not None and not 0 <= parsed.temperature <= 2:
        fail("--temperature: 0 to 2")
    if parsed.max_tokens is not None and not 1 <= parsed.max_tokens <= 131_072:
        fail("--max-tokens: 1 to 131072")


class _Try:
    """One call of the command."""

    def __init__(self, parsed: argparse.Namespace, console: Console) -> None:
        self._parsed = parsed
        self._console = console
        self._notes = type(console)(stderr=True, highlight=False)
        self._known: dict[tuple[str, ...], Answer] = {}

    async def run(self) -> int:
        """Try, and with --watch again after every change, until Ctrl-C."""
        from rephrase_operator.commands.prompts.trying.answers import TryError

        prompts, documents = self._read()
        answering = self._answering()
        began = time.monotonic()
        try:
            with self._notes.status(f"starting {self._parsed.model or self._parsed.url}"):
                await answering.start()
            self._notes.print(f"ready after {time.monotonic() - began:.1f} s", style="dim", markup=False)
            code = await self._tried(answering, prompts, documents)
            while self._parsed.watch:
                await self._change()
                try:
                    prompts, documents = self._read()
                    code = await self._tried(answering, prompts, documents)
                except TryError as error:  # a file in the middle of being edited: the next change may mend it
                    self._notes.print(str(error), style="red", markup=False)
            return code
        finally:
            await answering.close()

    def _read(self) -> tuple[list[TriedPrompt], list[Document]]:
        from rephrase_operator.commands.prompts.trying.inputs import read_documents, read_prompts

        parsed = self._parsed
        layouts = (
            list(Layout) if parsed.layout == "both" else [Layout(parsed.layout) if parsed.layout else None]
        )
        prompts = read_prompts(
            parsed.prompts, layouts, temperature=parsed.temperature, max_tokens=parsed.max_tokens
        )
        templates = [tried.prompt for tried in prompts]
        documents = read_documents(
            parsed.input, parsed.text_field, templates, skip=parsed.skip, count=parsed.documents
        )
        return prompts, documents

    def _answering(self) -> Answering:
        parsed = self._parsed
        if parsed.url is not None:
            from rephrase_operator.commands.prompts.trying.server import Server

            return Server(parsed.url, parsed.model, os.environ.get(parsed.api_key_env or ""))
        from rephrase_operator.commands.prompts.trying.local import LocalModel

        return LocalModel(parsed.model, parsed.max_model_len)

    async def _tried(
        self, answering: Answering, prompts: list[TriedPrompt], documents: list[Document]
    ) -> int:
        """A round. Of the errors that end it only the first is of interest: the others are its like."""
        try:
            return await self._round(answering, prompts, documents)
        except ExceptionGroup as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from group

    async def _round(
        self, answering: Answering, prompts: list[TriedPrompt], documents: list[Document]
    ) -> int:
        """Ask for everything at once; show each document as soon as its outputs are there."""
        from rephrase_operator.commands.prompts.trying import terminal

        async with asyncio.TaskGroup() as group:
            tasks = [
                [group.create_task(self._answer(answering, prompt, document)) for prompt in prompts]
                for document in documents
            ]
            rows: list[Row] = []
            for document, asked in zip(documents, tasks, strict=True):
                with self._notes.status(f"{answering.model}: {document.name}"):
                    rows.append((document, [await task for task in asked]))
                terminal.show(self._console, prompts, rows[-1])
        self._console.print(terminal.summary(prompts, rows))
        self._write(answering.model, prompts, rows)
        errors = any(answer.error is not None for _, answers in rows for answer in answers)
        return EXIT_ERRORS if errors else 0

    async def _answer(self, answering: Answering, prompt: TriedPrompt, document: Document) -> Answer:
        """The answer, kept for later rounds: only prompts that have changed are asked again."""
        key = (
            document.text,
            repr(sorted(document.fields.items())),
            prompt.prompt.template,
            prompt.prompt.system or "",
            prompt.sampling.to_json(),
        )
        if key not in self._known:
            self._known[key] = await answering.answer(prompt, document)
        return self._known[key]

    def _write(self, model: str, prompts: list[TriedPrompt], rows: list[Row]) -> None:
        if self._parsed.html is None:
            return
        from rephrase_operator.commands.prompts.trying import page
        from rephrase_operator.commands.prompts.trying.answers import TryError

        path: Path = self._parsed.html
        try:
            page.write(path, page.page(model, prompts, rows, reloads=self._parsed.watch))
        except OSError as error:
            raise TryError(f"--html {path} can't be written: {error.strerror}") from error
        self._notes.print(f"page: {path}", style="dim", markup=False)

    async def _change(self) -> None:
        """Wait until a prompt file has changed."""
        before = self._stamps()
        self._notes.print("waiting for a change of a prompt file; Ctrl-C ends", style="dim", markup=False)
        while self._stamps() == before:  # noqa: ASYNC110, nothing tells of a file's change everywhere
            await asyncio.sleep(POLL_SECONDS)

    def _stamps(self) -> list[tuple[int, int] | None]:
        return [_stamp(Path(name.removeprefix("@"))) for name in self._parsed.prompts]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
