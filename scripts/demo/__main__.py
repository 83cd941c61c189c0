"""`make demo`, `make demo-up` and `make demo-down`."""

from __future__ import annotations

import argparse
import signal
import sys

from scripts.demo import local
from scripts.demo.shell import DemoError, console


def main() -> int:
    """Run the demo, with `--keep` leave it running, or stop it with `--down`. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="demo", description="Rephrase a handful of documents on this machine."
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running, with live panels")
    parser.add_argument("--down", action="store_true", help="end what --keep left running")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if arguments.down:
            local.down()
        else:
            local.run(keep=arguments.keep)
    except KeyboardInterrupt:
        console.print("\nInterrupted. [bold]make demo[/] carries on from the last commit.")
        return 130
    except DemoError as error:
        console.print("[red]demo:[/]", end=" ")
        console.print(str(error), markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
