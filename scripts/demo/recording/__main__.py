"""`make demo-recording`: run `make demo` and write docs/images/demo.svg."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import sys
from dataclasses import asdict
from pathlib import Path

from scripts.demo import local
from scripts.demo.recording.capture import capture
from scripts.demo.recording.film import Written, shots, still
from scripts.demo.recording.svg import draw
from scripts.demo.shell import ROOT, DemoError

PICTURE = ROOT / "docs" / "images" / "demo.svg"
NOTES = ROOT / ".local" / "recording.json"
"""What the last run wrote: `--again` draws it anew."""

TITLE = "make demo"
LARGEST = 300_000
"""Bytes of a picture that a README should load."""


def main() -> int:
    """Record and draw; returns the exit code."""
    parser = argparse.ArgumentParser(prog="demo-recording")
    parser.add_argument("--again", action="store_true", help="draw the last recording again")
    try:
        if parser.parse_args().again:
            run = [Written(**each) for each in json.loads(NOTES.read_text())]
        else:
            local.processes.stop()
            shutil.rmtree(local.HOME, ignore_errors=True)  # a run that was interrupted would go on
            run = capture(["make", "--no-print-directory", "demo"])
            NOTES.parent.mkdir(exist_ok=True)
            NOTES.write_text(json.dumps([asdict(each) for each in run]))
        picture = make(run)
    except DemoError as error:
        print(f"demo-recording: {error}", file=sys.stderr)
        return 1
    PICTURE.write_text(picture)
    print(f"{PICTURE.relative_to(ROOT)}: {len(picture.encode()):,} bytes")
    return 0


def make(run: list[Written]) -> str:
    """The picture of a run. Raises DemoError if it should not be published."""
    text = "".join(each.text for each in run)
    for private in (str(ROOT), str(Path.home()), socket.gethostname()):
        if re.search(rf"{re.escape(private)}\b", text):
            raise DemoError(f"the demo has written {private}, which is no concern of the README's readers")
    film = shots(run, TITLE)
    picture = draw(film, still(film, "get rephrasejobs"), f"Terminal recording of {TITLE}")
    if len(picture.encode()) > LARGEST:
        raise DemoError(f"the picture has {len(picture.encode()):,} bytes, more than {LARGEST:,}")
    return picture


if __name__ == "__main__":
    sys.exit(main())
