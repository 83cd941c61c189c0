"""Changes to a copy of the tiny model's folder: other chat templates, other added tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Change = Callable[[Path], None]


def edit(file: str, change: Callable[[dict[str, Any]], None]) -> Change:
    def go(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        change(content)
        (folder / file).write_text(json.dumps(content))

    return go


def template(text: str) -> Change:
    return lambda folder: (folder / "chat_template.jinja").write_text(text) and None


def added_token(content: str, number: int, **flags: bool) -> Callable[[dict[str, Any]], None]:
    """An added token that takes over the id of a word of the vocabulary, as `unused` ones do."""

    def go(tokenizer: dict[str, Any]) -> None:
        vocab = tokenizer["model"]["vocab"]
        word = next(word for word, id_ in vocab.items() if id_ == number)
        del vocab[word]
        vocab[content] = number
        tokenizer["model"]["merges"] = [
            merge for merge in tokenizer["model"]["merges"] if word not in (*merge, "".join(merge))
        ]
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        tokenizer["added_tokens"].append({"id": number, "content": content, **plain, **flags})

    return go
