"""A text's language, cheaply: its script, and for some scripts the language whose small words it uses.

It is there to notice an output in another language than its document, at some ten microseconds a text. It
tells scripts apart, and the languages listed here in texts of a few sentences. It says nothing of close
relatives that are not listed (Danish may pass for Norwegian, Urdu for Arabic), of quotations, of code, or
of texts with fewer than `_LEAST_WORDS` of the small words: such a text has its script only, `Latn`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np

_CHARACTERS = 600
"""Characters at the start of a text that are looked at."""

_LEAST_WORDS = 4
"""Small words that a text must have of one language."""

_LEAD = 1.5
"""How many times as many small words the language must have as the next one."""

_LETTER = re.compile("[A-Za-z]")

_RANGES: tuple[tuple[int, str], ...] = (
    (0x0000, ""),
    (0x0041, "Latn"),
    (0x005B, ""),
    (0x0061, "Latn"),
    (0x007B, ""),
    (0x00C0, "Latn"),
    (0x02B0, ""),
    (0x0370, "Grek"),
    (0x0400, "Cyrl"),
    (0x0530, "Armn"),
    (0x0590, "Hebr"),
    (0x0600, "Arab"),
    (0x0700, ""),
    (0x0750, "Arab"),
    (0x0780, ""),
    (0x0900, "Deva"),
    (0x0980, "Beng"),
    (0x0A00, "Guru"),
    (0x0A80, "Gujr"),
    (0x0B00, ""),
    (0x0B80, "Taml"),
    (0x0C00, "Telu"),
    (0x0C80, "Knda"),
    (0x0D00, "Mlym"),
    (0x0D80, "Sinh"),
    (0x0E00, "Thai"),
    (0x0E80, "Laoo"),
    (0x0F00, ""),
    (0x1000, "Mymr"),
    (0x10A0, "Geor"),
    (0x1100, "Hang"),
    (0x1200, "Ethi"),
    (0x13A0, ""),
    (0x1780, "Khmr"),
    (0x1800, ""),
    (0x1E00, "Latn"),
    (0x1F00, "Grek"),
    (0x2000, ""),
    (0x3040, "Kana"),
    (0x3100, ""),
    (0x3400, "Hani"),
    (0x4DC0, ""),
    (0x4E00, "Hani"),
    (0xA000, ""),
    (0xAC00, "Hang"),
    (0xD800, ""),
    (0xF900, "Hani"),
    (0xFB00, ""),
    (0x20000, "Hani"),
    (0x323B0, ""),
)
"""Where runs of characters of one script (ISO 15924) begin; "" is everything that has none."""

_STARTS = np.array([start for start, _ in _RANGES], dtype=np.uint32)
_SCRIPTS = [script for _, script in _RANGES]

_SMALL_WORDS: Mapping[str, Mapping[str, str]] = {
    "Latn": {
        "en": "the and of to is that it for was with as are this be from have not which you they by",
        "de": "der die und das ist nicht ein eine zu den mit von sich auf für dem des auch wird als",
        "fr": "le les et des est une dans pour que qui pas sur du au avec ce sont plus par vous",
        "es": "el los las y es una en que por para con del se su como más pero está lo al",
        "it": "il di che è per una gli con non sono del della dei nel alla anche più come si ha",
        "pt": "o os as e é uma em que para com não do da dos das no na por mais ao",
        "nl": "de het een en van is dat niet met voor zijn op te aan ook door maar bij wordt er",
        "sv": "och att det som en är på för av med den till inte om ett han var jag från har",
        "da": "og at det som en er på for af med den til ikke om et han var jeg fra har",
        "pl": "i w na z do się nie jest że to jak za od przez dla po oraz które jego ale",
        "tr": "ve bir bu için ile da de olarak çok daha gibi en olan sonra kadar ne ya her",
        "id": "yang dan di untuk dengan dari pada adalah ini itu tidak dalam akan ke oleh atau juga",
    },
    "Cyrl": {
        "ru": "и в не на что он с как это по но из для к от так его было же она",
        "uk": "і в не на що з та як це до але для від його у про за був або є",
        "bg": "и в не на че с за да от се по са като но до или със това",
    },
}
_BY_WORD: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    script: {
        word: tuple(language for language, words in languages.items() if word in words.split())
        for words in languages.values()
        for word in words.split()
    }
    for script, languages in _SMALL_WORDS.items()
}

UNKNOWN = ""
"""What a text without letters has."""


def language_of(text: str) -> str:
    """The language of a text (`en`) if it can be told, else its script (`Latn`); "" without letters.

    Japanese is `Kana`, with and without Chinese characters.
    """
    start = text[:_CHARACTERS]
    script = _script(start)
    if script not in _BY_WORD:
        return script
    known = _BY_WORD[script]
    votes = dict.fromkeys(_SMALL_WORDS[script], 0)
    for word in start.lower().split():
        if word in known:
            for language in known[word]:
                votes[language] += 1
    best = max(votes, key=votes.__getitem__)
    most = votes.pop(best)
    return best if most >= _LEAST_WORDS and most >= _LEAD * max(votes.values()) else script


def differs(document: str, output: str) -> bool | None:
    """Whether an output is in another language than its document; None where that can't be told."""
    if UNKNOWN in (document, output):
        return None
    if document == output:
        return False
    if _script_of(document) != _script_of(output):
        return True
    # One of the two is known by its script alone, or both are known.
    return True if _is_language(document) and _is_language(output) else None


def _script(text: str) -> str:
    if text.isascii():
        return "Latn" if _LETTER.search(text) else UNKNOWN
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    found = np.bincount(np.searchsorted(_STARTS, codes, side="right") - 1, minlength=len(_SCRIPTS))
    totals: Counter[str] = Counter()
    for script, number in zip(_SCRIPTS, found.tolist(), strict=True):
        if script and number:
            totals[script] += number
    if not totals:
        return UNKNOWN
    if totals["Kana"] * 10 >= totals["Hani"] and totals["Kana"]:
        totals["Kana"] += totals.pop("Hani", 0)
    return max(totals, key=lambda script: (totals[script], script))


def _script_of(language: str) -> str:
    return next((script for script, known in _SMALL_WORDS.items() if language in known), language)


def _is_language(language: str) -> bool:
    return _script_of(language) != language
