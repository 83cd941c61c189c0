"""What the demo's own pods do in the cluster, with the worker's image: it runs there as it stands.

`seed` puts the documents onto the claim and removes the output of an earlier run. `read` writes documents
and output to its log, so that the demo can show them: pods share no disk with the machine that `make` runs
on, and the worker's image need not have the `tar` that `kubectl cp` calls.
"""

import base64
import io
import os
import shutil
import sys
import tarfile
import time
from pathlib import Path

LINE = 4000
"""Characters of a line in the log; container runtimes cut lines of 16 KiB."""


def seed(documents: Path, claim: Path) -> None:
    """Put documents onto the claim."""
    shutil.rmtree(claim / "output", ignore_errors=True)
    shutil.rmtree(claim / "input", ignore_errors=True)
    (claim / "input").mkdir()
    # A ConfigMap's volume also holds links and folders of the kubelet, whose names begin with two dots.
    for file in documents.iterdir():
        if not file.name.startswith(".."):
            target = claim / "input" / file.name
            shutil.copyfile(file, target)
            # The plan knows files by size and time. An archive keeps whole seconds only, so that a finer time
            # would make a document's copy on the user's machine look changed.
            now = int(time.time())
            os.utime(target, (now, now))
            print(f"{file.name}: {file.stat().st_size} bytes")


def read(claim: Path) -> None:
    """Write documents and output to standard output: an archive in base64."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in ("input", "output"):
            tar.add(claim / name, arcname=name)
    text = base64.b64encode(archive.getvalue()).decode()
    for start in range(0, len(text), LINE):
        print(text[start : start + LINE])


if __name__ == "__main__":
    if sys.argv[1] == "seed":
        seed(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        read(Path(sys.argv[2]))
