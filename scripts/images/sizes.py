"""How large the images are, layer by layer: unpacked, and as a node downloads them."""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from scripts.images.engines import Engine

_CHUNK = 1 << 20
_GZIP_LEVEL, _GZIP_FORMAT = 6, 31
"""What registries' clients use."""


@dataclass(frozen=True)
class Layer:
    """A layer of an image."""

    made_by: str
    unpacked: int
    """Bytes."""
    download: int
    """Bytes, compressed by gzip."""


def layers(engine: Engine, image: str) -> list[Layer]:
    """The layers of an image, its base's first."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        archive = Path(folder, "image.tar")
        engine.save(image, archive)
        return read(archive)


def read(archive: Path) -> list[Layer]:
    """The layers of an archive as `docker save` writes it, with layers that are not compressed."""
    with tarfile.open(archive) as tar:
        described = json.loads(_content(tar, "manifest.json"))[0]
        history = json.loads(_content(tar, described["Config"]))["history"]
    made_by = [entry.get("created_by", "") for entry in history if not entry.get("empty_layer")]
    names: list[str] = described["Layers"]
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(lambda name: _sizes(archive, name), names))
    unknown = [""] * (len(names) - len(made_by))
    return [Layer(shortened(text), *size) for text, size in zip([*unknown, *made_by], sizes, strict=True)]


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None, f"{name} is not a file"
    return file.read()


def _sizes(archive: Path, name: str) -> tuple[int, int]:
    packer, unpacked, download = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_FORMAT), 0, 0
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file is not None, f"{name} is not a file"
        while chunk := file.read(_CHUNK):
            unpacked += len(chunk)
            download += len(packer.compress(chunk))
    return unpacked, download + len(packer.flush())


def shortened(made_by: str) -> str:
    """What made a layer, for people: the packages that it brings, or the start of its command."""
    text = re.sub(r"/bin/sh -c|#\(nop\)|--mount=\S+|\|\d+ (?:\S+=\S* )*", " ", made_by)
    text = " ".join(text.split())
    if listed := re.search(r"--requirement /requirements/(\S+)", text):
        return f"requirements/{listed[1]}"
    if packages := re.search(r"apt-get install (?:--\S+ )*([^&|]+)", text):
        return f"Debian: {packages[1].strip()}"
    if "sbom.py" in text:
        return "bill of materials"
    if text.startswith("COPY") and "/app" in text:
        return "this project"
    return "base image" if text in ("", "/bin/sh") else text[:60]


def table(sizes: dict[str, list[Layer]]) -> Table:
    """All layers of all images."""
    made = Table(title="Sizes in MB")
    for name, justify in (("image", "left"), ("layer", "left"), ("unpacked", "right"), ("download", "right")):
        made.add_column(name, justify="left" if justify == "left" else "right")
    for image, found in sizes.items():
        total = _megabytes(sum(one.unpacked for one in found)), _megabytes(sum(one.download for one in found))
        made.add_row(image, "all", *total, style="bold")
        for layer in largest(found):
            made.add_row("", layer.made_by, _megabytes(layer.unpacked), _megabytes(layer.download))
    return made


def largest(found: Iterable[Layer]) -> list[Layer]:
    """The layers by size, without those that hold next to nothing."""
    return sorted((one for one in found if one.unpacked >= _CHUNK // 10), key=lambda one: -one.unpacked)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}" if size < 1e7 else f"{size / 1e6:,.0f}"
