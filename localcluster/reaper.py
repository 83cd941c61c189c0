"""Ends the process groups of a kubelet that is gone, however it went; run as a script, it imports nothing of ours.

Standard input is a pipe from the kubelet: `+PID` and `-PID` lines say which groups there are, end of file that the
kubelet has died. The `+` is written by the child itself before it executes anything, so none can be missed.
"""

import os
import signal
import sys


def main() -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    alive: set[int] = set()
    for line in sys.stdin:
        (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
    for group in alive:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
