"""Texts in which speakers take turns, and texts that only look like it."""

from __future__ import annotations

import pytest

from rephrase_worker.quality.structure import holds

TALK = (
    "Teacher: Why is bread sour?\n\nStudent: Because of yeast?\n\n"
    "Teacher: No, bacteria make the acid.\n\nStudent: Now I see."
)

GOOD = {
    "as asked": TALK,
    "introduced": "Here is the conversation:\n\n" + TALK,
    "under a title": "# Why bread is sour\n\n" + TALK,
    "bold": TALK.replace("Teacher:", "**Teacher:**").replace("Student:", "**Student:**"),
    "bold names": TALK.replace("Teacher:", "**Teacher**:").replace("Student:", "**Student**:"),
    "brackets": TALK.replace("Teacher:", "[Teacher]:").replace("Student:", "[Student]:"),
    "quoted": "> " + TALK.replace("\n\n", "\n>\n> "),
    "names": TALK.replace("Teacher", "Mrs. O'Neil").replace("Student", "Jean-Luc"),
    "long names": TALK.replace("Teacher", "Professor Karl von Frisch").replace("Student", "Young Student"),
    "stage directions": TALK.replace("Teacher:", "Teacher (smiling):"),
    "no space": TALK.replace(": ", ":"),
    "names alone": TALK.replace(": ", ":\n"),
    "numbers": TALK.replace("Teacher", "Student 1").replace("Student:", "Student 2:"),
    "turns of several paragraphs": TALK.replace("acid.", "acid.\n\nThey live in the starter."),
    "three speakers": TALK + "\n\nBaker: And I bake it.\n\nTeacher: So you do.\n\nBaker: Every day.",
    "a list in a turn": TALK.replace("acid.", "acid. They need:\n\n- warmth\n- water\n"),
    "windows": TALK.replace("\n", "\r\n"),
    "german": "Lehrerin: Warum?\nSchüler: Hefe?\nLehrerin: Nein, Bakterien.\nSchüler: Aha!",
    "french": "Professeur : Pourquoi ?\nÉlève : La levure ?\nProfesseur : Non.\nÉlève : Ah !",
    "dashes": "— Pourquoi ?\n— La levure ?\n— Non, les bactéries.\n— Ah !",
    "russian": "— Почему?\n— Дрожжи?\n— Нет, бактерии.\n— Понятно.",
    "chinese": "老师：为什么？\n学生：因为酵母？\n老师：不，是细菌。\n学生：明白了。",
    "japanese": "先生：なぜですか。\n生徒：酵母ですか。\n先生：いいえ、細菌です。\n生徒：なるほど。",
    "arabic": "المعلم: لماذا؟\nالطالب: الخميرة؟\nالمعلم: لا، البكتيريا.\nالطالب: فهمت.",
}

BAD = {
    "two turns": "Teacher: Why is bread sour?\nStudent: Because of bacteria.",
    "one turn": "Teacher: Welcome. Today we talk about bread.",
    "one speaker": "Teacher: Why?\nTeacher: Because.\nTeacher: And how?\nTeacher: So.",
    "no turns taken": "Teacher: A.\nTeacher: B.\nTeacher: C.\nStudent: D.\nStudent: E.\nStudent: F.",
    "cut behind a name": TALK + "\n\nTeacher:",
    "cut in a turn": TALK + "\n\nTeacher: The bacteria live in the",
    "faq": "Q: What?\nA: Gas.\nQ: Why?\nA: Acid.",
    "faq in words": "Question: What?\nAnswer: Gas.\nQuestion: Why?\nAnswer: Acid.",
    "record": "Name: Pantheon\nCity: Rome\nAge: 1900 years\nWidth: 43.3 metres.",
    "records": "Name: Lit\nYear: 1823\n\nName: Tried\nYear: 1761\n" + "It was a long time ago.\n" * 20,
    "prose": "The teacher asked why bread is sour. The student "
    "did not know. It is the bacteria: they make acid.",
    "prose with colons": "Note: bread is old.\n\nThe reason: yeast.\n\nNote: it is.\n\nThe end: it is baked."
    + "\n\nLong prose follows here, and says much more than that." * 20,
    "list": "- Bread is old.\n- Yeast lifts it.\n- Acid keeps it.",
    "dashes in a list": "– Bread\n– Yeast\n– Acid\n– Salt",
    "speech in prose": '"Why?" asked the teacher. "Yeast," said the student. '
    '"No," said the teacher. "Oh," he said.',
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_holds(text: str) -> None:
    assert holds("dialogue", text)
    assert not holds("qa-pairs", text)
    assert not holds("prose", text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_does_not_hold(text: str) -> None:
    assert not holds("dialogue", text)
