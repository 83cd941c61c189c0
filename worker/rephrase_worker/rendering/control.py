"""Control strings: which added tokens of a tokenizer are more than text, and how documents can't forge them.

The tokenizers library looks for added tokens everywhere in a text, so a `<|im_end|>` in a web page ends the
user's turn. Its own switch, `encode_special_tokens`, spares only tokens that are flagged special, and leaves
those that the model's vocabulary holds as words (Unigram, WordLevel, `ignore_merges`).

`Guard` therefore makes a second tokenizer in which every control token has another spelling that no document
can know, and no word of the vocabulary has the old one. Everything else about it is the same: normalizer,
pre-tokenizer, the tokens' ids and what they do with white space around them. A prompt whose own control
tokens are written in the new spelling is encoded by it in one pass, as the library encodes any prompt, and
what a document spells in the old way is plain text.
"""

from __future__ import annotations

import json
import re
import secrets
import string
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tokenizers

from rephrase_worker.rendering.errors import RenderError, third_party

_NONCE_LETTERS = 24
_NONCE_ATTEMPTS = 100
_ID_LETTERS = 8
_WORD_CATEGORIES = ("L", "M", "N", "Z")
"""Unicode categories of what words consist of: letters, marks, numbers, separators."""
_SPACES = "\u2581\t\n\r\v\f"
"""White space of category C, and the sign that SentencePiece writes for a space."""


@dataclass(frozen=True, slots=True)
class ControlToken:
    """An added token that has a meaning beyond its characters."""

    id: int
    content: str


def control_tokens(backend: tokenizers.Tokenizer, used_by_template: Iterable[int]) -> list[ControlToken]:
    """The added tokens that no document may contain as such.

    These are all that are flagged special, all that the chat template writes, and all whose text is not made
    of words and white space alone. The rest are ordinary text that was given an id of its own (Gemma's runs
    of newlines, DeepSeek's single letters, words of a domain), and a document uses them as any other text.
    """
    written = set(used_by_template)
    return [
        ControlToken(id=number, content=token.content)
        for number, token in sorted(backend.get_added_tokens_decoder().items())
        if token.content and not _is_blank(token.content)
        if token.special or number in written or not _is_text(token.content)
    ]


def _is_blank(content: str) -> bool:
    return all(character.isspace() or character in _SPACES for character in content)


def _is_text(content: str) -> bool:
    if len(content) == 1:
        return True
    return all(
        character in _SPACES or unicodedata.category(character).startswith(_WORD_CATEGORIES)
        for character in content
    )


def secret_word(added: Collection[str]) -> str:
    """A word of lower-case letters that no document can know, without any of these added tokens in it.

    No normalizer changes it. Raises RenderError when no such word is found.
    """
    for _ in range(_NONCE_ATTEMPTS):
        word = "".join(secrets.choice(string.ascii_lowercase) for _ in range(_NONCE_LETTERS))
        if not any(content in word for content in added):
            return word
    raise RenderError("its added tokens are single letters, which can't be told from text")


class Guard:
    """The tokenizer in which control tokens have a spelling that no document knows.

    Raises RenderError when the tokenizer can't be rebuilt so.
    """

    def __init__(self, backend: tokenizers.Tokenizer, control: Iterable[ControlToken]) -> None:
        self._control = {token.id: token for token in control}
        self.ids = frozenset(self._control)
        nonce = secret_word([token.content for token in backend.get_added_tokens_decoder().values()])
        self._spelling = {number: _spelling(token, nonce) for number, token in self._control.items()}
        self.contents = sorted((token.content for token in self._control.values()), key=len, reverse=True)
        self.longest = max(map(len, self.contents), default=1)
        """Characters of the longest control string."""
        # The longest first: the library takes the longest of those that begin at the same place, too.
        self._pattern = re.compile("|".join(map(re.escape, self.contents)) or r"(?!)")
        with third_party("its tokenizer can't be taken apart"):
            rebuilt = json.loads(backend.to_str())
            self._respell(rebuilt)
            self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(rebuilt))
        for number, spelling in self._spelling.items():
            if self._tokenizer.token_to_id(spelling) != number:
                raise RenderError(
                    f"its added token {self._control[number].content} has the id {number}, which its "
                    "vocabulary gives to another one"
                )

    def occurrences(self, text: str) -> list[re.Match[str]]:
        """The control strings that the text spells out."""
        return list(self._pattern.finditer(text))

    def occurs_in(self, text: str) -> bool:
        """Whether the text spells out any control string."""
        return self._pattern.search(text) is not None

    def among(self, ids: list[int]) -> list[int]:
        """Those of the ids that are control tokens, in order."""
        control = self.ids
        return [number for number in ids if number in control]

    def encode(self, text: str) -> tokenizers.Encoding:
        """Encode a text in which control tokens have the secret spelling."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def respelt(self, text: str, encoding: tokenizers.Encoding) -> str:
        """The text with every control token that the encoding found in it in the secret spelling."""
        pieces, end = [], 0
        for number, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True):
            if number in self._control and (span := self._span(text, number, start, stop)) is not None:
                pieces += [text[end : span[0]], self._spelling[number]]
                end = span[1]
        return "".join([*pieces, text[end:]])

    def _span(self, text: str, number: int, start: int, stop: int) -> tuple[int, int] | None:
        """Where in the token's range its own characters stand: a token may take white space with it."""
        content = self._control[number].content
        at = text.find(content, start, stop)
        if at >= 0:
            return at, at + len(content)
        piece = text[start:stop]
        if number == self.unknown_id or not piece.strip():
            return None  # characters that the vocabulary lacks
        lead = len(piece) - len(piece.lstrip())
        return start + lead, start + lead + len(piece.strip())

    def _respell(self, rebuilt: dict[str, Any]) -> None:
        """Change the tokenizer's JSON form."""
        rebuilt["truncation"] = rebuilt["padding"] = None
        # Adds nothing when no special tokens are asked for, but trims offsets.
        rebuilt["post_processor"] = None
        for token in rebuilt["added_tokens"]:
            token["content"] = self._spelling.get(token["id"], token["content"])
        model = rebuilt["model"]
        unknown = _unknown_token(model)
        self.unknown_id = next(
            (number for number, token in self._control.items() if token.content == unknown), None
        )
        names = {token.content: self._spelling[number] for number, token in self._control.items()}
        if isinstance(model["vocab"], list):
            model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
            return
        model["vocab"] = {names.get(word, word): number for word, number in model["vocab"].items()}
        if model.get("unk_token") in names:
            model["unk_token"] = names[model["unk_token"]]
        if "merges" in model:
            model["merges"] = [merge for merge in model["merges"] if not _makes(merge, names)]


def _unknown_token(model: Mapping[str, Any]) -> str | None:
    """What the model writes for characters that it does not know."""
    if isinstance(model["vocab"], list):
        number = model.get("unk_id")
        return None if number is None else str(model["vocab"][number][0])
    return model.get("unk_token")


def _spelling(token: ControlToken, nonce: str) -> str:
    """The secret spelling of a token.

    It begins and ends as the token does: neighbours that match whole words only (`single_word`) and
    normalizers that strip white space look at these characters.
    """
    number = "".join(chr(ord("a") + int(digit)) for digit in f"{token.id:0{_ID_LETTERS}d}")
    return f"{token.content[0]}{nonce}{number}{token.content[-1]}"


def _makes(merge: list[str] | str, names: Mapping[str, str]) -> bool:
    """Whether a merge of BPE has a control token in it or makes one."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names
