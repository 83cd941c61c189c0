"""Questions and answers: lines that are labelled as such, in the languages that outputs are written in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from rephrase_worker.quality.structure._lines import Line

Role = Literal["question", "answer"]

_QUESTION = (
    "question|frage|pregunta|pergunta|domanda|vraag|fråga|spørgsmål|spørsmål|kysymys|pytanie|otázka|kérdés"
    "|întrebare|вопрос|питання|запитання|ερώτηση|soru|pertanyaan|soalan|câu hỏi|hỏi|سؤال|السؤال|پرسش|سوال"
    "|שאלה|प्रश्न|सवाल|প্রশ্ন|คำถาม|問題|问题|問|问|質問|질문"
)
_ANSWER = (
    "answer|antwort|réponse|reponse|respuesta|resposta|risposta|antwoord|svar|vastaus|odpowiedź|odpověď"
    "|odpoveď|válasz|răspuns|ответ|відповідь|απάντηση|cevap|yanıt|jawaban|jawapan|câu trả lời|trả lời|đáp"
    "|جواب|الجواب|الإجابة|إجابة|پاسخ|תשובה|उत्तर|जवाब|উত্তর|คำตอบ|答案|回答|答え|答|답변|답"
)
_WORD = rf"(?:(?P<q>{_QUESTION})|(?P<a>{_ANSWER}))"
_LETTER = r"(?:(?P<ql>[QFP])|(?P<al>[AR]))"
# A lone letter needs its colon: "A) Paris" is a choice, "A. Smith" a person.
_LABEL = re.compile(
    rf"(?:{_WORD}\s?#?\d{{0,3}}[*_]{{0,3}}\s?(?:[:：.)．\-–—]|$)|{_LETTER}\d{{0,3}}[*_]{{0,3}}\s?[:：])[*_]{{0,3}}\s?",
    re.IGNORECASE,
)
_INLINE = re.compile(
    rf"[?？؟.!。！*_\])]\s{{0,4}}[*_(\[]{{0,3}}(?:{_WORD}\s?\d{{0,3}}[*_]{{0,3}}|{_LETTER}\d{{0,3}}[*_]{{0,3}})\s?[:：]",
    re.IGNORECASE,
)
_QUESTION_LABELS = frozenset([*_QUESTION.split("|"), "q", "f", "p"])
_ANSWER_LABELS = frozenset([*_ANSWER.split("|"), "a", "r"])
_QUESTION_MARKS = ("?", "？", "؟", "\u037e")
"""The last is the Greek one."""
_CLOSERS = "*_`\"'”’»」』) "


class Entry(NamedTuple):
    """A question or an answer, and whether it says anything."""

    role: Role
    filled: bool


def entries(found: Sequence[Line]) -> list[Entry]:
    """What is labelled as a question or an answer, in order; unlabelled lines belong to the one before."""
    parts: list[tuple[Role, bool]] = []
    for line in found:
        role, body = labelled(line)
        if role is None:
            if parts and line.body and line.kind != "heading":
                parts[-1] = (parts[-1][0], True)
            continue
        parts += _split(role, body)
    return [Entry(role, filled) for role, filled in parts]


def labelled(line: Line) -> tuple[Role | None, str]:
    """The line's role, and what it says behind its label."""
    if line.label:
        if line.label in _QUESTION_LABELS:
            return "question", line.body
        if line.label in _ANSWER_LABELS:
            return "answer", line.body
    if label := _LABEL.match(line.body):
        return _role(label), line.body[label.end() :]
    return None, line.body


def is_question(body: str) -> bool:
    """Whether the words end with a question mark."""
    return body[-40:].rstrip(_CLOSERS)[-1:] in _QUESTION_MARKS


def has_question_with_answer(found: Sequence[Line]) -> bool:
    """Whether there is a question, labelled or with its mark, and then something that is none."""
    known = entries(found)
    if any(entry.role == "question" and entry.filled for entry in known):
        return any(
            question.role == "question" and question.filled and answer.role == "answer" and answer.filled
            for question, answer in pairwise(known)
        ) or _answered(found)
    return _answered(found)


def _answered(found: Sequence[Line]) -> bool:
    """Whether a question, known by its mark, has words behind it, on its line or below."""
    for at, line in enumerate(found):
        if is_question(line.body):
            below = found[at + 1 :]
            return any(
                other.body and other.kind != "heading" and not is_question(other.body) for other in below
            )
        if any(f"{mark} " in line.body or f"{mark}*" in line.body for mark in _QUESTION_MARKS):
            return True
    return False


def _split(role: Role, body: str) -> list[tuple[Role, bool]]:
    """The entries of one line: `Q: ... A: ...` are two."""
    parts: list[tuple[Role, bool]] = []
    start = 0
    for label in _INLINE.finditer(body):
        parts.append((role, bool(body[start : label.start() + 1].strip(" *_"))))
        role, start = _role(label), label.end()
    parts.append((role, bool(body[start:].strip(" *_"))))
    return parts


def _role(label: re.Match[str]) -> Role:
    return "question" if label["q"] or label["ql"] else "answer"
