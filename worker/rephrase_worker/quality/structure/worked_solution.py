r"""A calculation and its final answer.

The answer stands in one of the last lines: behind a label (`Answer:`, `The final answer is`, `#### 42`,
`Antwort:`, `答案：`), in a `\boxed{}`, or in a sentence that concludes (`Therefore, ... 42.`, `Donc ...`).
Before it there are numbers that are calculated with. Cut: there is no final answer, or it breaks off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rephrase_worker.quality.structure._lines import ends_sentence

LAST_LINES = 4
"""Where the final answer has to be: an explanation of it may follow."""
LAST_CHARACTERS = 600
FEWEST_NUMBERS = 3
LONGEST_UNPUNCTUATED = 30
"""Characters of an answer that may end without a mark: `42 apples`, `the second train`."""

_NUMBER = re.compile(r"\d[\d.,]{0,24}")
_CALCULATION = re.compile(
    r"[=≈×÷]|\d\s?[-+*/−–]\s?[$€£]?\d|\\(?:frac|times|cdot|div)\b"
    r"|\b(?:plus|minus|times|equals|divided|divid|multipl|subtract|add(?:ed|ing)?)",
    re.IGNORECASE,
)
_LABELS = (
    *("answer", "solution", "result", "antwort", "ergebnis", "lösung", "réponse", "résultat", "respuesta"),
    *("resultado", "resposta", "risposta", "risultato", "antwoord", "svar", "odpowiedź", "odpověď", "ответ"),
    *("відповідь", "cevap", "jawaban", "đáp án", "trả lời", "الجواب", "الإجابة", "उत्तर"),
    *("答案", "答え", "答", "답"),
)
_BEHIND_LABEL = re.compile(
    r"(?:\s(?:finale?|correcta))?[*_]{0,3}\s?(?:[:：=]|(?:is|ist|est|es|é|è|är)\b:?|는|은|は|是)"
    r"[*_]{0,3}\s{0,3}(?=[^\s:*_])"
)
_MARK = re.compile(r"####\s?(?=\S)|\\boxed\{(?=[^{}]{1,80}\})")
_CONCLUSION = re.compile(
    r"[*_\s]{0,4}(?:(?:therefore|thus|hence|so|in total|altogether|in conclusion|finally|this means"
    r"|also|daher|somit|insgesamt|donc|ainsi"
    r"|por lo tanto|por tanto|así|en total|portanto|assim|logo|quindi|pertanto"
    r"|dunque|dus|więc|zatem|таким образом|следовательно|итого|итак|значит|отже)\b"
    r"|因此|所以|故|よって|したがって|따라서|그러므로)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?。！？]\s{1,4}|[。！？\n]")


def holds(text: str) -> bool:
    """Whether numbers are worked on, and a final answer ends the text."""
    stripped = text.rstrip()
    end = _tail(stripped)
    tail = stripped[end:]
    answer = _answer(tail)
    if answer is None:
        return False
    worked = stripped[: end + answer]
    return _has(worked, _NUMBER, FEWEST_NUMBERS) and _CALCULATION.search(worked) is not None


def _tail(text: str) -> int:
    """Where the part begins that may hold the final answer."""
    start, lines = len(text), 0
    while start > 0 and lines < LAST_LINES:
        start = max(0, text.rfind("\n", 0, start))
        lines += bool(text[start : start + LAST_CHARACTERS].strip())
        if len(text) - start > LAST_CHARACTERS:
            return len(text) - LAST_CHARACTERS
    return start


def _answer(tail: str) -> int | None:
    """Where the final answer begins in the text's last lines; None without one, or when it breaks off."""
    tail = tail.lower()
    marks = [*_labelled(tail), *(mark.end() for mark in _MARK.finditer(tail))]
    if marks:
        begin = max(marks)
        return begin if _is_whole(tail[begin:]) else None
    begin = 0
    concluding = None
    for end in [*(mark.end() for mark in _SENTENCE_END.finditer(tail)), len(tail)]:
        sentence = tail[begin:end]
        if _CONCLUSION.match(sentence) and _NUMBER.search(sentence):
            concluding = begin
        begin = end
    return concluding if concluding is not None and ends_sentence(tail) else None


def _labelled(tail: str) -> Iterator[int]:
    """What stands behind the last label of each word. Finding the words first is ten times faster."""
    for word in _LABELS:
        at = tail.rfind(word)
        while at >= 0:
            follows = _BEHIND_LABEL.match(tail, at + len(word))
            if follows and not (word.isascii() and tail[at - 1 : at].isalpha()):
                yield follows.end()
                break
            at = tail.rfind(word, 0, at)


def _is_whole(answer: str) -> bool:
    return ends_sentence(answer) or (
        len(answer) <= LONGEST_UNPUNCTUATED
        and not answer.rstrip("* _").endswith((":", "：", ",", "=", "+", "-", "*", "/"))
    )


def _has(text: str, pattern: re.Pattern[str], fewest: int) -> bool:
    return sum(1 for _, _ in zip(pattern.finditer(text), range(fewest), strict=False)) == fewest
