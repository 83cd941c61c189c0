"""Questions, each followed by its answer: at least two pairs.

Labels (`Q:`, `**Question 1:**`, `Frage:`, `问：`) or, where there are none, questions that are headings,
numbered, bold or lines of their own. Cut: the last question has no answer, or its answer breaks off.
"""

from __future__ import annotations

from collections.abc import Sequence

from rephrase_worker.quality.structure import _labels, _turns
from rephrase_worker.quality.structure._lines import Line, is_whole, lines

FEWEST = 2
MOST_LINES_BEFORE = 4
"""A title and an introduction."""
LONGEST_QUESTION = 300


def holds(text: str) -> bool:
    """Whether questions and answers take turns from the first question to the end."""
    found = lines(text)
    pairs = _labelled_pairs(found)
    if pairs is None:
        pairs = _plain_pairs(found)
    # Answers end as other answers do, which may be without a mark. Questions say nothing about that.
    return pairs >= FEWEST and is_whole([line for line in found if not _labels.is_question(line.body)])


def _labelled_pairs(found: Sequence[Line]) -> int | None:
    """Pairs by their labels: 0 when a question or an answer is missing or empty, None without labels."""
    entries = _labels.entries(found)
    if not any(entry.role == "answer" for entry in entries):
        return None
    roles = [entry.role for entry in entries]
    pairs, rest = divmod(len(roles), 2)
    in_turn = not rest and roles == ["question", "answer"] * pairs
    return pairs if in_turn and all(entry.filled for entry in entries) else 0


def _plain_pairs(found: Sequence[Line]) -> int:
    """Pairs of a line that is a question, and lines that are none; 0 when an answer is missing."""
    questions = [at for at, line in enumerate(found) if _is_question(line)]
    if not questions or questions[0] > MOST_LINES_BEFORE or _turns.taken(found):
        return 0
    for at, following in zip(questions, [*questions[1:], len(found)], strict=True):
        if not any(line.kind != "heading" and line.body for line in found[at + 1 : following]):
            return 0
    return len(questions)


def _is_question(line: Line) -> bool:
    body = _labels.labelled(line)[1]
    if len(body) > LONGEST_QUESTION or not _labels.is_question(body):
        return False
    # In prose, only a paragraph that is one question and nothing else; speech in quotes is none.
    return line.kind in ("heading", "item") or not (
        ". " in body or "! " in body or "? " in body or body[0] in "\"“«'‘"
    )
