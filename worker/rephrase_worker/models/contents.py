"""Which files of a model's repository or folder a worker needs, and whether it can be loaded from them.

vLLM takes weights from the top folder: `*.safetensors` if there are any, `*.bin` otherwise, `*.pt` at last. A
repository often holds the same weights in several formats, and only one of them is fetched.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = "config.json"
WEIGHTS = (".safetensors", ".bin", ".pt")
"""What vLLM loads weights from, best first."""

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")
_SMALL = (".json", ".jinja", ".txt", ".model")
_TEMPLATES = "additional_chat_templates"
_NOT_WEIGHTS = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt")
"""What trainers leave beside the weights; vLLM leaves it out too."""
_OTHER_WEIGHTS = (".gguf", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".ot", ".nemo", ".mlmodel")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


class UnusableModelError(ValueError):
    """The model can't be used as it is; the text is the end of a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Files of a model that a worker needs, as paths below its top folder."""

    small: tuple[str, ...]
    """Configuration, tokenizer and chat templates."""
    weights: tuple[str, ...]


def choose(files: Iterable[str]) -> Contents:
    """What is needed of these files. Raises UnusableModelError."""
    names = sorted(files)
    top = [name for name in names if "/" not in name]
    if CONFIG not in top:
        adapter = "adapter_config.json" in top
        raise UnusableModelError(
            "is an adapter (adapter_config.json and no config.json): merge it into its base model first"
            if adapter
            else "has no config.json"
        )
    if not any(name in top for name in _TOKENIZERS):
        raise UnusableModelError("has no tokenizer")
    small = [name for name in top if name.endswith(_SMALL)]
    small += [name for name in names if posixpath.dirname(name) == _TEMPLATES and name.endswith(".jinja")]
    return Contents(tuple(small), tuple(_weights(top)))


def check_indexes(contents: Contents, read: Callable[[str], bytes]) -> None:
    """Make sure that the weights which an index names are there. Raises UnusableModelError."""
    suffix = posixpath.splitext(contents.weights[0])[1]
    for index in _INDEXES:
        if index not in contents.small or not index.endswith(f"{suffix}.index.json"):
            continue
        try:
            named = set(json.loads(read(index))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UnusableModelError(f"has a {index} that is no index of weights") from error
        if absent := sorted(str(name) for name in named if name not in contents.weights):
            raise UnusableModelError(f"lacks weights that {index} names: {', '.join(absent[:3])}")


def weights_bytes(folder: Path) -> int | None:
    """Size of the weights of a model in a folder, from their index or their files; None if neither is there.

    What a model has in 32 bits is counted as 16, because vLLM loads it as such.
    """
    stored = _indexed_bytes(folder) or _stored_bytes(folder)
    config = _json(folder / CONFIG)
    parts = [part for part in (config, config.get("text_config")) if isinstance(part, dict)]
    in_32_bits = any(part.get(key) == "float32" for part in parts for key in ("dtype", "torch_dtype"))
    return stored // 2 if stored and in_32_bits else stored


def _indexed_bytes(folder: Path) -> int | None:
    for index in _INDEXES:
        metadata = _json(folder / index).get("metadata")
        size = metadata.get("total_size") if isinstance(metadata, dict) else None
        if isinstance(size, int | float) and size > 0:
            return int(size)
    return None


def _stored_bytes(folder: Path) -> int | None:
    try:
        names = _weights([path.name for path in folder.glob("*")])
    except UnusableModelError:
        return None  # The Hub has them, and planning has fetched the small files only.
    return sum((folder / name).stat().st_size for name in names) or None


def _json(file: Path) -> dict[str, Any]:
    """An object in a file; an empty one if there is no such file or it holds something else."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _weights(top: list[str]) -> list[str]:
    for suffix in WEIGHTS:
        found = [
            name
            for name in top
            if name.endswith(suffix) and not name.endswith(_NOT_WEIGHTS) and not name.startswith("adapter_")
        ]
        # Mistral's own format beside the Hub's: the same weights once more, which vLLM would prefer.
        plain = [name for name in found if not name.startswith("consolidated")]
        if found:
            return plain or found
    others = sorted({posixpath.splitext(name)[1] for name in top if name.endswith(_OTHER_WEIGHTS)})
    if others:
        raise UnusableModelError(
            f"has weights in {', '.join(others)} only, and the worker loads {', '.join(WEIGHTS)}: "
            "choose the repository that it was made from"
        )
    raise UnusableModelError(f"has no weights ({', '.join(WEIGHTS)})")
