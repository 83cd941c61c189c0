"""Texts that are a list, and texts that only look like it."""

from __future__ import annotations

import pytest

from rephrase_worker.quality.structure import holds

FACTS = "- Yeast lifts the dough.\n- Bacteria make acid.\n- Salt slows both."

GOOD = {
    "as asked": FACTS,
    "two": "- Yeast lifts the dough.\n- Bacteria make acid.",
    "introduced": "Here are the facts:\n\n" + FACTS,
    "under a title": "## Facts\n\n" + FACTS,
    "under headings": "## Dough\n- Yeast.\n- Salt.\n\n## Oven\n- Heat.\n- Steam.",
    "concluded": FACTS + "\n\nThese are the facts of the text.",
    "stars": FACTS.replace("- ", "* "),
    "plus": FACTS.replace("- ", "+ "),
    "dots": FACTS.replace("- ", "• "),
    "dashes": FACTS.replace("- ", "– "),
    "numbers": "1. Yeast lifts the dough.\n2. Bacteria make acid.\n3. Salt slows both.",
    "brackets": "1) Yeast lifts the dough.\n2) Bacteria make acid.",
    "words": "Fact 1: Yeast lifts the dough.\nFact 2: Bacteria make acid.",
    "bold terms": "- **Yeast:** lifts the dough.\n- **Bacteria:** make acid.",
    "without periods": "- Yeast lifts the dough\n- Bacteria make acid\n- Salt slows both",
    "nested": "- Dough:\n  - yeast\n  - salt\n- Oven:\n  - heat\n  - steam",
    "wrapped": "- Yeast lifts\n  the dough.\n- Bacteria make\n  acid.",
    "blank lines": FACTS.replace("\n", "\n\n"),
    "windows": FACTS.replace("\n", "\r\n"),
    "quoted": "> " + FACTS.replace("\n", "\n> "),
    "fenced": "```\n" + FACTS + "\n```",
    "chinese": "- 酵母使面团膨胀。\n- 细菌产生酸。",
    "thai": "- ยีสต์ทำให้แป้งขึ้น\n- แบคทีเรียสร้างกรด",
    "mixed ends": "- Yeast\n- Bacteria make acid, and so on\n- Salt slows both.",
}

BAD = {
    "one": "- Yeast lifts the dough.",
    "prose": "Yeast lifts the dough. Bacteria make acid. Salt slows both.",
    "lines": "Yeast lifts the dough.\nBacteria make acid.\nSalt slows both.",
    "a list in an article": "Bread is old.\n\nIt is baked everywhere.\n\nIt "
    "needs:\n\n- flour\n- water\n\nThen it is baked.",
    "minus signs": "-5 degrees\n-10 degrees",
    "stars for emphasis": "*Yeast* lifts the dough.\n*Bacteria* make acid.",
    "a table": "| a | b |\n|---|---|\n| - c | d |\n| - e | f |",
    "hyphens": "well-known\nlong-lived",
    "rules": "---\n***\n---",
    "empty items": "- \n- \n- ",
    "cut behind the bullet": FACTS + "\n-",
    "cut in an item": FACTS + "\n- In a refrigerator at 4 degrees the",
    "cut behind a term": "- **Yeast:** lifts the dough.\n- **Bacteria:** make acid.\n- **Salt:**",
    "cut in an open list": "- Yeast:\n  - lifts\n- Bacteria:",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_holds(text: str) -> None:
    assert holds("list", text)
    assert not holds("prose", text)
    assert not holds("dialogue", text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_does_not_hold(text: str) -> None:
    assert not holds("list", text)
