"""An article: a title, paragraphs of prose, and at least one section with a heading of its own.

The title is a Markdown heading, a bold line, or a short first line; headings of sections are Markdown
headings or bold lines. Lists and tables in a section are allowed. Cut: the last section is empty, or its
last line breaks off.
"""

from __future__ import annotations

from rephrase_worker.quality.structure._lines import Line, ends_sentence, is_whole, lines

FEWEST_PARAGRAPHS = 2
LONGEST_TITLE = 120


def holds(text: str) -> bool:
    """Whether the text begins with a title and goes on in sections."""
    found = lines(text)
    if not found or not _is_title(found[0]):
        return False
    paragraphs = sum(line.kind == "prose" and ends_sentence(line.body) for line in found[1:])
    sections = any(line.kind == "heading" for line in found[1:])
    return sections and paragraphs >= FEWEST_PARAGRAPHS and is_whole(found)


def _is_title(line: Line) -> bool:
    return line.kind == "heading" or (
        line.kind == "prose" and len(line.body) <= LONGEST_TITLE and not ends_sentence(line.body)
    )
