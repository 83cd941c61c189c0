"""Write requirements/lock.txt from the environment: all packages but PyTorch and this project."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "lock.txt"
ELSEWHERE = {"pip", "torch", "rephrase-operator"}
HEADER = """\
# Every Python package of the development environment except PyTorch, at the versions that work together.
# Installed with --no-deps by scripts/setup.py, so what is not listed here is not installed: vLLM's optional
# parts (triton, torchvision, torchaudio) and the CUDA builds of several GB stay out.
# Made by `make lock` from the environment itself.
"""


def main() -> None:
    """Rewrite the lock file."""
    found = {
        re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower(): distribution.version.split("+")[0]
        for distribution in metadata.distributions()
    }
    pins = [f"{name}=={version}\n" for name, version in sorted(found.items()) if name not in ELSEWHERE]
    LOCK.write_text(HEADER + "".join(pins))


if __name__ == "__main__":
    main()
