"""The page of the commands: flags of `rephrase`, exit codes and reasons of the worker."""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import textwrap
from collections.abc import Iterator
from enum import Enum

from rephrase_operator import cli
from rephrase_worker.spec import EXIT_CODES, ExitCode, Reason
from scripts.reference.markdown import GENERATED, code, table

INTRODUCTION = """\
# Commands reference

`rephrase` is for people, and `rephrase run` is the operator itself: the Helm chart sets its flags from its
values (see [Installing the operator](../install.md)). `rephrase-worker` is what the pods of jobs run.
"""

EXIT = """\
## Exit codes of `rephrase-worker`

They follow sysexits.h. The Job's pod failure policy goes by them.
"""

REASONS = """\
## Reasons of `rephrase-worker`

Why a command of the worker failed. The reason is in the container's termination message, in
`status.failures` and in the conditions of the job, with a message that says what to do.
"""


def page() -> str:
    """The page's text."""
    exits, reasons = member_docs(ExitCode), member_docs(Reason)
    return "\n".join(
        [
            GENERATED,
            INTRODUCTION,
            *(f"## `{name}`\n\n```\n{text}```\n" for name, text in _commands()),
            EXIT,
            table(
                ["Code", "Name", "Meaning"],
                [[str(exit_code.value), exit_code.name, exits[exit_code.name]] for exit_code in ExitCode],
            ),
            REASONS,
            table(
                ["Reason", "Exit code", "Meaning"],
                [
                    [code(reason.value), str(EXIT_CODES[reason].value), reasons[reason.name]]
                    for reason in Reason
                ],
            ),
        ]
    )


def member_docs(enum: type[Enum]) -> dict[str, str]:
    """The docstrings under the members of an enum, which Python itself does not keep.

    Raises ValueError with the members that have none.
    """
    definition = ast.parse(textwrap.dedent(inspect.getsource(enum))).body[0]
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        match statement, following:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    missing = [member.name for member in enum if member.name not in found]
    if missing:
        raise ValueError(f"{enum.__name__} has members without a docstring: {', '.join(missing)}")
    return found


def _commands() -> list[tuple[str, str]]:
    """Each command of `rephrase` and what its --help prints, at a width that no terminal changes."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "110"
    try:
        return [(command.prog, command.format_help()) for command in _leaves(cli.parser())]
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The commands that have no subcommands of their own."""
    groups = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    for group in groups:
        for inner in group.values():
            yield from _leaves(inner)
    if not groups:
        yield parser
