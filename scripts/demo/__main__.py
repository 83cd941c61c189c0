"""`make demo`, `make demo-up` and `make demo-down`, each on this machine or with KUBECONFIG=..."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from scripts.demo import local
from scripts.demo.own import run as own
from scripts.demo.shell import DemoError, console


def main() -> int:
    """Run the demo, or remove what it left. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="Rephrase a handful of documents.")
    parser.add_argument("--keep", action="store_true", help="leave everything running, with live panels")
    parser.add_argument("--down", action="store_true", help="end what --keep left running")
    parser.add_argument("--kubeconfig", help="of your own cluster; without it a local one is started")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kubeconfig = Path(arguments.kubeconfig).expanduser().absolute() if arguments.kubeconfig else None
    try:
        if kubeconfig is not None:
            if arguments.keep:
                raise DemoError(
                    "make demo-up runs on this machine; make demo KUBECONFIG=... keeps its job anyway"
                )
            if arguments.down:
                own.down(kubeconfig)
            else:
                own.run(kubeconfig, os.environ)
        elif arguments.down:
            local.down()
        else:
            local.run(keep=arguments.keep)
    except KeyboardInterrupt:
        goes_on = "goes on in your cluster, and [bold]make demo[/] follows it again"
        carries_on = "stopped, and [bold]make demo[/] carries on from the last commit"
        console.print(f"\nInterrupted. The job {goes_on if kubeconfig else carries_on}.")
        return 130
    except DemoError as error:
        console.print("[red]demo:[/]", end=" ")
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
