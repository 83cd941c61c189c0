"""Builds the docs site strictly into build/docs/site; with `--serve` shows it and follows changes.

The pages are copied into a folder of their own first. Zensical keeps a cache in `.cache` beside its
configuration and empties that folder on `--clean`; at the root of the repository it would take kubectl, helm
and the demo's model along. Copying also brings in the pages that lie at the root.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "docs"
FROM_THE_ROOT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files at the root that are pages of the site, and their names there."""


def sources() -> dict[Path, Path]:
    """Every file of the site: where zensical finds it, and where it lies in the repository."""
    docs = ROOT / "docs"
    pages = {Path("docs") / path.relative_to(docs): path for path in docs.rglob("*") if path.is_file()}
    pages |= {Path("docs") / page: ROOT / name for name, page in FROM_THE_ROOT.items()}
    return {Path("zensical.toml"): ROOT / "zensical.toml", **pages}


def stage(folder: Path) -> None:
    """Make the folder hold the site's files as they are now. Files that are the same are not touched."""
    wanted = sources()
    for path, source in wanted.items():
        target = folder / path
        if not target.exists() or not filecmp.cmp(source, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for path in (folder / "docs").rglob("*"):
        if path.is_file() and path.relative_to(folder) not in wanted:
            path.unlink()


def zensical(*arguments: str) -> list[str]:
    """The command of this environment's zensical."""
    return [str(Path(sys.executable).with_name("zensical")), *arguments]


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site in the folder. It fails when a page or an anchor that is linked to does not exist."""
    stage(folder)
    command = zensical("build", "--strict", "--clean")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def serve(folder: Path, address: str) -> int:
    """Show the site at an address such as localhost:8000 until interrupted."""
    stage(folder)
    with subprocess.Popen(zensical("serve", "--dev-addr", address), cwd=folder) as server:
        try:
            while server.poll() is None:
                time.sleep(1)
                stage(folder)
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()
    return server.returncode


def main() -> int:
    """Entry point; returns 1 when the site can't be built."""
    parser = argparse.ArgumentParser(prog="python -m scripts.docs_site", description="Build the docs site.")
    parser.add_argument("--serve", metavar="HOST:PORT", help="show it there, and follow changes")
    address = parser.parse_args().serve
    if address:
        return serve(BUILD, address)
    done = build(BUILD)
    if done.returncode:
        print(done.stdout, done.stderr.partition("Traceback")[0], sep="", file=sys.stderr)
        return 1
    print(f"open {(BUILD / 'site' / 'index.html').relative_to(ROOT)}, or run `make docs-serve`")
    return 0


if __name__ == "__main__":
    sys.exit(main())
