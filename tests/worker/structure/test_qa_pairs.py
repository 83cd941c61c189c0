"""Texts that are questions with their answers, and texts that only look like it."""

from __future__ import annotations

import pytest

from rephrase_worker.quality.structure import holds

PAIRS = "Q: What lifts the dough?\nA: Gas from yeast.\n\nQ: Why is it sour?\nA: Bacteria make acid."

GOOD = {
    "as asked": PAIRS,
    "introduced": "Here is a FAQ about the text:\n\n" + PAIRS,
    "under a title": "# FAQ: Sourdough\n\n" + PAIRS,
    "bold labels": PAIRS.replace("Q:", "**Q:**").replace("A:", "**A:**"),
    "bold before the colon": PAIRS.replace("Q:", "**Q**:").replace("A:", "**A**:"),
    "bold lines": "**Q: What lifts the dough?**\nA: Gas.\n\n**Q: Why is it sour?**\nA: Acid.",
    "numbered labels": "Q1: What?\nA1: Gas.\nQ2: Why?\nA2: Acid.",
    "words for labels": PAIRS.replace("Q:", "Question:").replace("A:", "Answer:"),
    "numbered words": "**Question 1:** What?\n**Answer:** Gas.\n\n**Question 2:** Why?\n**Answer:** Acid.",
    "headings with numbers": "### Question 1\nWhat?\n### Answer\nGas.\n"
    "### Question 2\nWhy?\n### Answer\nAcid.",
    "numbers before labels": "1. Q: What?\n   A: Gas.\n2. Q: Why?\n   A: Acid.",
    "bullets before labels": "- Q: What?\n- A: Gas.\n- Q: Why?\n- A: Acid.",
    "quoted": "> Q: What?\n> A: Gas.\n>\n> Q: Why?\n> A: Acid.",
    "a pair a line": "Question: What lifts it? Answer: Gas.\nQuestion: Why is it sour? Answer: Acid.",
    "one line": "Q: What lifts it? A: Gas. Q: Why is it sour? A: Acid.",
    "label alone on its line": "Question:\nWhat?\nAnswer:\nGas.\n\nQuestion:\nWhy?\nAnswer:\nAcid.",
    "answers in paragraphs": "Q: What?\nA: Gas.\n\nIt comes from yeast.\n"
    "\nQ: Why?\nA: Acid.\n\nIt keeps mould off.",
    "answers with lists": "Q: What is in it?\nA: Three things:\n- flour\n"
    "- water\n- salt\n\nQ: Why?\nA: Taste.",
    "short answers without periods": "Q: Who built it?\nA: Harrison\nQ: When?\nA: In 1761\nQ: Where?\nA: Kew",
    "orders as questions": "Q: Name the country.\nA: Canada.\nQ: Name the bay.\nA: Fundy.",
    "questions as headings": "## What lifts the dough?\n\nGas from yeast.\n"
    "\n## Why is it sour?\n\nBacteria make acid.",
    "questions in bold": "**What lifts the dough?**\nGas.\n\n**Why is it sour?**\nAcid.",
    "questions numbered": "1. What lifts the dough?\nGas.\n\n2. Why is it sour?\nAcid.",
    "questions bare": "What lifts the dough?\nGas from yeast.\n\nWhy is it sour?\nBacteria make acid.",
    "no blank lines, windows": PAIRS.replace("\n\n", "\n").replace("\n", "\r\n"),
    "german": "Frage: Was hebt den Teig?\nAntwort: Gas.\n\nFrage 2: Warum ist er sauer?\nAntwort: Säure.",
    "french": "Q : Quoi ?\nR : Du gaz.\n\nQ : Pourquoi ?\nR : L'acide.",
    "french words": "**Question 1 :** Quoi ?\n**Réponse :** Du gaz.\n"
    "\n**Question 2 :** Où ?\n**Réponse :** Ici.",
    "spanish": "Pregunta: ¿Qué es?\nRespuesta: Gas.\n\nPregunta: ¿Por qué?\nRespuesta: Ácido.",
    "spanish letters": "P: ¿Qué es?\nR: Gas.\n\nP: ¿Por qué?\nR: Ácido.",
    "chinese": "问：面团为什么发酵？\n答：因为酵母。\n\n问：为什么酸？\n答：因为细菌。",
    "japanese": "質問1：なぜですか？\n回答1：酵母です。\n質問2：どこですか？\n回答2：ここです。",
    "korean": "질문: 왜 그렇습니까?\n답변: 효모 때문입니다.\n질문: 어디입니까?\n답변: 여기입니다.",
    "russian": "Вопрос: Что это?\nОтвет: Газ.\n\nВопрос: Почему?\nОтвет: Кислота.",
    "arabic": "سؤال: ما هذا؟\nجواب: غاز.\n\nسؤال: لماذا؟\nجواب: حمض.",
    "vietnamese": "Câu hỏi 1: Cái gì?\nTrả lời: Khí.\n\nCâu hỏi 2: Tại sao?\nTrả lời: Axit.",
}

BAD = {
    "one pair": "Q: What lifts the dough?\nA: Gas from yeast.",
    "questions alone": "1. What is it?\n2. How does it work?\n3. Who made it?\n4. Where is it?",
    "labelled questions alone": "Q: What?\nQ: Why?\nQ: Where?",
    "answers alone": "A: Gas.\nA: Acid.",
    "all questions, then all answers": "Q: What?\nQ: Why?\nA: Gas.\nA: Acid.",
    "an answer is missing": "Q: What?\nA: Gas.\nQ: Why?\nQ: Where?\nA: Here.",
    "an answer is empty": "Q: What?\nA:\nQ: Why?\nA: Acid.",
    "cut in the last question": PAIRS + "\n\nQ: How long does it",
    "cut behind the last question": PAIRS + "\n\nQ: How long does it take?",
    "cut behind the last label": PAIRS + "\n\nQ: How long does it take?\nA:",
    "cut in the last answer": PAIRS + "\n\nQ: How long does it take?\nA: At 24 degrees the dough",
    "cut in a plain answer": "## What lifts it?\n\nGas from yeast.\n\n## Why is it sour?\n\nBacteria make",
    "plain question at the end": "## What lifts it?\n\nGas.\n\n## Why is it sour?\n\nAcid.\n\n## How long?",
    "prose": "Bread rises. What lifts the dough? Gas from yeast does. Why is it sour? Bacteria make acid.",
    "prose that asks": "Bread is old. But why is it sour? Nobody knew.\n"
    "\nThen came a man. What did he find? Bacteria.",
    "story": '"Who is there?" she asked.\n\n"Only me."\n\n"Where were you?"\n\n"Outside," he said.',
    "dialogue": "Teacher: What lifts the dough?\nStudent: Gas.\nTeacher: Right.\nStudent: Why is it sour?",
    "choices": "What lifts it?\nA) Gas\nB) Salt\nC) Water",
    "chatter": "Please provide your next question about the text.\nWhat would you like to know?",
    "list": "- Gas lifts the dough.\n- Bacteria make acid.",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_holds(text: str) -> None:
    assert holds("qa-pairs", text)
    assert not holds("dialogue", text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_does_not_hold(text: str) -> None:
    assert not holds("qa-pairs", text)
