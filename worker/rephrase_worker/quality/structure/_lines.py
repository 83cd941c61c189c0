"""The lines of an output, with their Markdown told apart from their words.

Models decorate: `**1. Title**`, `### Step 2:`, `> - fact`, a table in a code fence. A line is taken apart
once, so that every checker sees what it is and what it says. Every pattern is anchored at a line's start
and bounded, so that no text takes more than linear time.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

Kind = Literal["heading", "item", "row", "prose"]


class Line(NamedTuple):
    """A line that is not blank."""

    kind: Kind
    indent: int
    """Characters of white space before it."""
    label: str
    """The word before the number of `Step 1:` in lower case; empty without one."""
    number: int | None
    """Of a numbered line."""
    body: str
    """What it says, without marks of heading, item and number, and without emphasis around it."""


_QUOTE = re.compile(r"(?:>[ \t]?){1,8}")
_FENCE = re.compile(r"(?:`{3,}|~{3,})[\w+-]{0,20}$")
_RULE = re.compile(r"([-*_=])(?:[ \t]*\1){2,}$")
_HASHES = re.compile(r"#{1,6}(?!#)\s*")
_BULLET = re.compile(r"[-+*•‣◦▪●·–][ \t\u00a0]+")
_DIGITS = r"(?P<number>\d{1,3})"
_NUMBER = re.compile(
    rf"\(?(?:{_DIGITS}\s?(?:[.:)：）．]\)?(?!\d)|、|-\s|–\s)|(?P<han>[一二三四五六七八九十]{{1,3}})[、.．])"
)
_LABELLED = re.compile(
    rf"(?P<label>[^\W\d_]{{1,16}}(?:\s[^\W\d_]{{1,12}})?)\s?#?\s?{_DIGITS}\s?(?:[.:)：．]|[-–—]\s|[*_]{{1,3}}|$)"
)
_ORDINAL = re.compile(
    rf"第?\s?(?:{_DIGITS}|(?P<han>[一二三四五六七八九十]{{1,3}}))\s?(?P<label>步骤?|단계|ステップ)\s?[:：.、]?"
)
_EMPHASIS = "*_ \t"
_HAN = {digit: value for value, digit in enumerate("一二三四五六七八九十", start=1)}


def lines(text: str) -> list[Line]:
    """The lines that say something: blank lines, rules and the fences of code are left out."""
    return [line for raw in text.splitlines() if (line := _line(raw)) is not None]


def _line(raw: str) -> Line | None:
    stripped = raw.strip()
    if not stripped:
        return None
    indent = len(raw) - len(raw.lstrip())
    first = stripped[0]
    if first == ">" and (quote := _QUOTE.match(stripped)):
        stripped = stripped[quote.end() :].strip()
        first = stripped[:1]
    if not stripped or _is_decoration(stripped, first):
        return None
    if first == "|" or (first != "#" and " | " in stripped and stripped.count("|") > 1):
        return Line("row", indent, "", None, stripped)
    kind: Kind = "prose"
    if first == "#" and (hashes := _HASHES.match(stripped)):
        kind, stripped = "heading", stripped[hashes.end() :]
    elif bullet := _BULLET.match(stripped):
        kind, stripped = "item", stripped[bullet.end() :]
    return _numbered(kind, indent, stripped)


def _is_decoration(stripped: str, first: str) -> bool:
    return (first in "`~" and _FENCE.match(stripped) is not None) or (
        first in "-*_=" and _RULE.match(stripped) is not None
    )


def _numbered(kind: Kind, indent: int, stripped: str) -> Line:
    """The line with its number taken off: that of an item, or that of a heading or a label."""
    bold = stripped.startswith(("**", "__")) and stripped.rstrip(":：").endswith(("**", "__"))
    words = stripped.lstrip(_EMPHASIS)
    label, number = "", None
    if found := _number_at_start(words):
        number, label, end = found
        words = words[end:]
        kind = "item" if kind == "prose" else kind
    elif kind == "prose" and bold:
        kind = "heading"
    return Line(kind, indent, label, number, words.strip(_EMPHASIS))


def _number_at_start(words: str) -> tuple[int, str, int] | None:
    """The number that a line begins with, the word before it, and where they end."""
    found = _NUMBER.match(words) or _LABELLED.match(words) or _ORDINAL.match(words)
    if found is None:
        return None
    groups = found.groupdict()
    number = int(groups["number"]) if groups.get("number") else _han(groups["han"])
    return number, (groups.get("label") or "").lower(), found.end()


def _han(digits: str) -> int:
    """A number up to 99 in Chinese digits, such as 十二."""
    tens, ten, ones = digits.rpartition("十")
    value = _HAN.get(ones[:1], 0)
    return (_HAN.get(tens[:1], 1) * 10 if ten else 0) + value


_CLOSERS = "*_`\"'”’»›」』】〉》"
_ENDS = frozenset(".!?…。．！？؟۔।॥)]}$）")
_UNPUNCTUATED = (("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff"))
"""Thai and Lao, Burmese, Khmer: sentences end without a mark."""


def ends_sentence(body: str) -> bool:
    """Whether the words end as a sentence does: with a mark, a bracket, or a symbol such as a smiley."""
    bare = body[-40:].rstrip().rstrip(_CLOSERS).rstrip()
    last = bare[-1:] or body[-1:]
    return (
        last in _ENDS
        or unicodedata.category(last or " ") in ("So", "Sk")
        or any(first <= last <= until for first, until in _UNPUNCTUATED)
    )


def is_whole(found: list[Line]) -> bool:
    """Whether the last line does not look cut.

    It looks cut when it only opens something (a heading, a colon, a bare number), or when it ends without a
    mark although most lines of its kind before it have one: items of some lists end with periods, those of
    others do not. Prose without lines to compare it with has to end as a sentence.
    """
    if not found:
        return False
    last = found[-1]
    if last.kind == "row":
        return last.body.rstrip().endswith("|") or not last.body.startswith("|")
    if not last.body or last.kind == "heading" or last.body.endswith((":", "：", ",", "，", "、")):
        return False
    if ends_sentence(last.body):
        return True
    like = [ends_sentence(line.body) for line in found[:-1] if line.kind == last.kind]
    if not like:
        return last.kind != "prose"
    return 2 * sum(like) < len(like)
