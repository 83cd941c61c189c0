"""Texts with a Markdown table, with and without a question, and texts that only look like it."""

from __future__ import annotations

import pytest

from rephrase_worker.quality.structure import holds

TABLE = "| Lamp | Year |\n|---|---|\n| Fresnel | 1823 |\n| Argand | 1780 |"
QUESTION = "\n\nQuestion: Which lamp is older?\nAnswer: Argand's, by 43 years."

TABLES = {
    "as asked": TABLE,
    "introduced": "Here are the facts:\n\n" + TABLE,
    "aligned": "| Lamp     | Year |\n|:---------|-----:|\n| Fresnel  | 1823 |\n| Argand   | 1780 |",
    "without outer pipes": "Lamp | Year\n--- | ---\nFresnel | 1823\nArgand | 1780",
    "without closing pipes": "| Lamp | Year\n|---|---\n| Fresnel | 1823\n| Argand | 1780",
    "one dash": "|Lamp|Year|\n|-|-|\n|Fresnel|1823|\n|Argand|1780|",
    "one column": "| Lamp |\n|---|\n| Fresnel |\n| Argand |",
    "empty cells": "| Lamp | Year |\n|---|---|\n| Fresnel | |\n|  | 1780 |",
    "a pipe in a cell": "| Sign | Use |\n|---|---|\n| a \\| b | or |\n| a & b | and |",
    "fenced": "```markdown\n" + TABLE + "\n```",
    "indented": "  " + TABLE.replace("\n", "\n  "),
    "windows": TABLE.replace("\n", "\r\n"),
    "between paragraphs": "Lamps changed.\n\n" + TABLE + "\n\nThey shone further.",
    "chinese": "| 灯 | 年 |\n|---|---|\n| 菲涅耳 | 1823 |\n| 阿尔冈 | 1780 |",
}

NO_TABLES = {
    "no separator": "| Lamp | Year |\n| Fresnel | 1823 |\n| Argand | 1780 |",
    "no header": "|---|---|\n| Fresnel | 1823 |\n| Argand | 1780 |",
    "one row": "| Lamp | Year |\n|---|---|\n| Fresnel | 1823 |",
    "no rows": "| Lamp | Year |\n|---|---|",
    "a row is short": "| Lamp | Year |\n|---|---|\n| Fresnel | 1823 |\n| Argand |",
    "a row is long": "| Lamp | Year |\n|---|---|\n| Fresnel | 1823 |\n| Argand | 1780 | Paris |",
    "header and separator differ": "| Lamp | Year |\n|---|\n| Fresnel | 1823 |\n| Argand | 1780 |",
    "cut in a row": TABLE + "\n| Swan",
    "cut in the separator": "| Lamp | Year |\n|---|-",
    "spaces for columns": "Lamp     Year\nFresnel  1823\nArgand   1780",
    "a rule is no separator": "Lamp\n---\nFresnel\nArgand",
    "lines of pipes": "||||\n||||\n||||",
    "list": "- Fresnel: 1823\n- Argand: 1780",
    "prose": "Fresnel lit his lamp in 1823 | Argand in 1780.",
}

WITH_QUESTION = {
    "as asked": TABLE + QUESTION,
    "bold": TABLE + "\n\n**Question:** Which is older?\n\n**Answer:** Argand's.",
    "letters": TABLE + "\n\nQ: Which is older?\nA: Argand's.",
    "without labels": TABLE + "\n\nWhich lamp is older?\n\nArgand's is, by 43 years.",
    "one paragraph": TABLE + "\n\nWhich lamp is older? Argand's is, by 43 years.",
    "heading": TABLE + "\n\n### Question\n\nWhich lamp is older?\n\n### Answer\n\nArgand's.",
    "explained": TABLE + QUESTION + "\nExplanation: 1780 is before 1823.",
    "several": TABLE + QUESTION + "\n\nQuestion: By how much?\nAnswer: By 43 years.",
    "an order": TABLE + "\n\nQuestion: Name the older lamp.\nAnswer: Argand's.",
    "fenced": "```\n" + TABLE + "\n```" + QUESTION,
    "right below": TABLE + QUESTION.lstrip("\n").join(["\n", ""]),
    "german": TABLE + "\n\nFrage: Welche ist älter?\nAntwort: Die von Argand.",
    "chinese": TABLE + "\n\n问题：哪个更早？\n答案：阿尔冈。",
}

WITHOUT_QUESTION = {
    "a table alone": TABLE,
    "a sentence": TABLE + "\n\nArgand's lamp is older.",
    "no answer": TABLE + "\n\nQuestion: Which lamp is older?",
    "an empty answer": TABLE + "\n\nQuestion: Which lamp is older?\nAnswer:",
    "an answer without a question": TABLE + "\n\nAnswer: Argand's.",
    "the question is above": "Question: Which is older?\nAnswer: Argand's.\n\n" + TABLE,
    "cut in the question": TABLE + "\n\nQuestion: Which lamp is",
    "cut in the answer": TABLE
    + "\n\nQuestion: Which lamp is older?\nAnswer: The lamp of Argand is older because",
    "no table": QUESTION,
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES.keys())
def test_a_table_holds(text: str) -> None:
    assert holds("table", text)
    assert not holds("prose", text)
    assert not holds("table-and-question", text)
    assert holds("table-and-question", text + QUESTION)


@pytest.mark.parametrize("text", NO_TABLES.values(), ids=NO_TABLES.keys())
def test_no_table(text: str) -> None:
    assert not holds("table", text)
    assert not holds("table-and-question", text + QUESTION)


def test_a_table_that_ends_within_a_cell_is_cut() -> None:
    assert not holds("table", TABLE + "\n| Swan | 18")
    assert holds("table", TABLE + "\n| Swan | 1878 |")


@pytest.mark.parametrize("text", WITH_QUESTION.values(), ids=WITH_QUESTION.keys())
def test_a_table_and_a_question_holds(text: str) -> None:
    assert holds("table-and-question", text)
    assert holds("table", text)


@pytest.mark.parametrize("text", WITHOUT_QUESTION.values(), ids=WITHOUT_QUESTION.keys())
def test_a_table_without_a_question_and_its_answer(text: str) -> None:
    assert not holds("table-and-question", text)
