"""The `rephrase` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from rephrase_operator.commands import (
    mix,
    plan,
    prompts,
    publish,
    run,
    selftest,
    upgrade_crds,
    verify,
    watch,
)
from rephrase_worker.spec import ExitCode, WorkerError

COMMANDS = (run, watch, prompts, plan, verify, mix, publish, upgrade_crds, selftest)
"""Every command, in the order in which `rephrase --help` lists them."""


def parser() -> argparse.ArgumentParser:
    """The command line with every command."""
    whole = argparse.ArgumentParser(
        prog="rephrase", description="Turn datasets into rephrasings of them, on Kubernetes."
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: the worker's own (sysexits) for what it refuses."""
    parsed = parser().parse_args(arguments)
    chosen: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return chosen(parsed)
    except WorkerError as error:
        return _failed(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("rephrase_"):
            raise
        return _failed(
            f"This command needs the Python package {error.name}, which is not installed: "
            "pip install 'rephrase-operator[operator,worker-cpu]'",
            ExitCode.CONFIG,
        )
    except KeyboardInterrupt:
        return 130


def _failed(message: str, code: int) -> int:
    print(f"rephrase: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
