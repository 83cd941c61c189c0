"""Links, headings and code of every Markdown file that people read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.requirements import ROOT

ELSEWHERE = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "charts/rephrase-operator/README.md",
    "localcluster/README.md",
)
_PARSER = MarkdownIt("commonmark").enable("table")
_IN_HTML = re.compile(r"""\b(?:href|src|srcset)=["']([^"'\s]+)""")


@dataclass(frozen=True)
class Block:
    """A fenced block of code: where it stands, its language, and the rest of the line that opens it."""

    page: Path
    line: int
    language: str
    info: str
    text: str

    @property
    def place(self) -> str:
        """Where to find it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def title(self) -> str:
        """The file that the block shows, from `title="NAME"`; empty for none."""
        found = re.search(r'title="([^"]+)"', self.info)
        return found.group(1) if found else ""


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path
    links: tuple[tuple[int, str], ...]
    anchors: frozenset[str]
    blocks: tuple[Block, ...]
    code: tuple[tuple[int, str], ...]
    """Code within sentences, with the line of its paragraph."""

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return str(self.path.relative_to(ROOT))


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def parse(path: Path, text: str) -> Page:
    """A page from its text."""
    tokens = _PARSER.parse(text)
    inline = [token for token in tokens if token.type == "inline"]
    headings = [tokens[place + 1] for place, token in enumerate(tokens) if token.type == "heading_open"]
    blocks = []
    for token in tokens:
        if token.type == "fence":
            language, _, info = token.info.partition(" ")
            blocks.append(Block(path, _line(token), language, info, token.content))
        assert token.type != "code_block", f"{path}:{_line(token)}: fence code instead of indenting it"
    return Page(
        path=path,
        links=tuple(_links(tokens)),
        anchors=frozenset(slug(_text(heading)) for heading in headings),
        blocks=tuple(blocks),
        code=tuple(
            (_line(token), child.content)
            for token in inline
            for child in token.children or ()
            if child.type == "code_inline"
        ),
    )


@cache
def pages() -> tuple[Page, ...]:
    """Every page that people read."""
    paths = [ROOT / name for name in ELSEWHERE] + sorted((ROOT / "docs").rglob("*.md"))
    return tuple(parse(path, path.read_text()) for path in paths)


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _text(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


def _links(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    for token in tokens:
        if token.type == "html_block":
            yield from ((_line(token), target) for target in _IN_HTML.findall(token.content))
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target:
                yield _line(token), str(target)
            if child.type == "html_inline":
                yield from ((_line(token), found) for found in _IN_HTML.findall(child.content))
