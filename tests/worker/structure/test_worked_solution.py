"""Texts that work out an answer, and texts that only look like it."""

from __future__ import annotations

import pytest

from rephrase_worker.quality.structure import holds

PROBLEM = "Problem: A loaf takes 500 grams of flour and 70% water. How much water do 3 loaves take?\n\n"
WORK = (
    "Solution:\n1. Water of a loaf: 500 * 0.7 = 350 grams.\n2. Water of 3 loaves: 350 * 3 = 1050 grams.\n\n"
)
SOLVED = PROBLEM + WORK

GOOD = {
    "as asked": SOLVED + "Answer: 1050 grams",
    "sentence": SOLVED + "Answer: The baker needs 1050 grams of water.",
    "bold": SOLVED + "**Answer:** 1050 grams",
    "bold line": SOLVED + "**Final answer: 1050 grams**",
    "final": SOLVED + "Final Answer: 1,050 g",
    "heading": SOLVED + "### Final Answer\n\nAnswer: 1050 grams.",
    "says what it is": SOLVED + "The final answer is 1050 grams.",
    "so the answer is": SOLVED + "So, the answer is: 1050 grams",
    "hashes": SOLVED + "#### 1050",
    "boxed": SOLVED + "$$\\boxed{1050}$$",
    "boxed in a sentence": SOLVED + "The total is $\\boxed{1050 \\text{ g}}$.".replace("\\text{ g}", "g"),
    "therefore": SOLVED + "Therefore, the baker needs 1050 grams of water.",
    "so": SOLVED + "So they need 1050 grams of water in total.",
    "explained below": SOLVED + "Answer: 1050 grams\n\nNote: a little more in dry air.",
    "words for numbers": PROBLEM + "Each loaf takes 350 grams, so multiply 350 by 3.\n\nAnswer: 1050 grams",
    "latex": PROBLEM + "\\[ 500 \\times 0.7 \\times 3 \\]\n\nAnswer: \\(1050\\)",
    "a name": SOLVED + "Answer: the second baker",
    "windows": (SOLVED + "Answer: 1050 grams").replace("\n", "\r\n"),
    "one paragraph": "If 3 loaves take 500 grams each, then 3 * 500 = 1500. Therefore, they take 1500 grams.",
    "german": "Ein Laib braucht 350 g.\n3 * 350 = 1050\n\nAntwort: 1050 g",
    "german conclusion": "Ein Laib braucht 350 g.\n3 * 350 = 1050\n\nAlso braucht er 1050 g Wasser.",
    "french": "Un pain prend 350 g.\n3 × 350 = 1050\n\nRéponse finale : 1050 g",
    "french conclusion": "Un pain prend 350 g.\n3 × 350 = 1050\n\nDonc il faut 1050 g d'eau.",
    "spanish": "Un pan lleva 350 g.\n3 × 350 = 1050\n\nRespuesta: 1050 g",
    "russian": "На буханку 350 г.\n3 * 350 = 1050\n\nОтвет: 1050 г",
    "chinese": "每个面包需要350克水。\n3 × 350 = 1050\n\n答案：1050克",
    "chinese conclusion": "每个面包需要350克水。\n3 × 350 = 1050\n\n因此，需要1050克水。",
    "japanese": "一つに350グラム。\n3 × 350 = 1050\n\n答え：1050グラム",
    "korean": "하나에 350그램.\n3 × 350 = 1050\n\n답: 1050그램",
}

BAD = {
    "a problem alone": PROBLEM,
    "no final answer": SOLVED,
    "an answer without work": "Answer: 1050 grams",
    "an answer without calculation": "The dough rests for 5 hours at 24 degrees, "
    "12 at 4.\n\nAnswer: 12 hours",
    "an answer that is put off": SOLVED + "which gives us the answer.",
    "cut in the calculation": PROBLEM + "Solution:\n1. Water of a loaf: 500 * 0.7 =",
    "cut in a step": PROBLEM
    + "Solution:\n1. Water of a loaf: 500 * 0.7 = 350 grams.\n2. Now multiply it by the",
    "cut behind the label": SOLVED + "Answer:",
    "cut behind the bold label": SOLVED + "**Final answer:**",
    "cut in the answer": SOLVED + "Answer: The water that the baker needs for the three loaves of bread is",
    "cut in the conclusion": SOLVED + "Therefore, the baker needs 1050 grams of water for",
    "cut in the box": SOLVED + "\\boxed{10",
    "an answer early on, and more work": SOLVED + "Answer: 1050\n\n" + "Another try.\n" * 6,
    "faq": "Q: When was it lit?\nA: In 1823.\nQ: How high is it?\nA: It is 2.5 metres high.",
    "faq with words": "Question: How old?\nAnswer: 1900 years.\nQuestion: How wide?\nAnswer: 43.3 metres.",
    "prose": "The dome has stood for 1900 years. It spans 43.3 "
    "metres. Therefore it is the largest of its kind.",
    "steps": "1. Mix 500 grams of flour.\n2. Wait for 5 hours.\n3. Bake at 230 degrees.",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_holds(text: str) -> None:
    assert holds("worked-solution", text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_does_not_hold(text: str) -> None:
    assert not holds("worked-solution", text)
