"""Texts of plain prose and articles in sections, and texts that only look like them."""

from __future__ import annotations

import pytest

from rephrase_worker.quality.structure import holds

ONE = "Emperor penguins breed in winter. The male holds the egg on his feet for 65 days."
TWO = ONE + "\n\nHe eats nothing in all that time. Thousands stand close together to keep warm."

PROSE = {
    "one paragraph": ONE,
    "two paragraphs": TWO,
    "one sentence": "Emperor penguins breed in the Antarctic winter, when it is coldest.",
    "under a title": "# The cold father\n\n" + TWO,
    "under a bold title": "**The cold father**\n\n" + TWO,
    "under a plain title": "The cold father\n\n" + TWO,
    "introduced": "Here is a summary of the text:\n\n" + TWO,
    "wrapped lines": "Emperor penguins breed in winter. The male\nholds "
    "the egg on his feet. He eats\nnothing then.",
    "a question among sentences": "Why does he eat nothing? He holds the egg. " + ONE,
    "a quotation at the end": ONE + ' "Nothing is colder," he wrote.',
    "speech": '"Nothing," he wrote, "is colder."\n\n"I know," she said.\n\n' + TWO,
    "a colon": "The male does one thing: he waits. " + ONE,
    "brackets at the end": ONE + " It loses half of its weight (20 kilograms).",
    "an exclamation": ONE + " What a father!",
    "an ellipsis": ONE + " And so he waits…",
    "a smiley": ONE + " What a father 😊",
    "emphasis": "**Emperor penguins** breed in *winter*. " + ONE,
    "windows": TWO.replace("\n", "\r\n"),
    "german": "Kaiserpinguine brüten im Winter. Das Männchen hält das Ei auf den Füßen.",
    "chinese": "帝企鹅在冬天繁殖。雄企鹅把蛋放在脚上，六十五天不吃东西。",
    "japanese": "皇帝ペンギンは冬に繁殖する。雄は足の上で卵を温める。",
    "hindi": "पेंगुइन सर्दियों में प्रजनन करते हैं। नर अंडे को पैरों पर रखता है।",
    "arabic": "تتكاثر البطاريق في الشتاء. يحمل الذكر البيضة على قدميه؟ نعم.",
    "thai": "เพนกวินจักรพรรดิผสมพันธุ์ในฤดูหนาว ตัวผู้ประคองไข่ไว้บนเท้าเป็นเวลาหกสิบห้าวัน",
}

NO_PROSE = {
    "a question": "What would you like to know?",
    "questions": "What is it? Where does it live? How long does it wait?",
    "list": "- Penguins breed in winter.\n- The male holds the egg.",
    "numbers": "1. Penguins breed in winter.\n2. The male holds the egg.",
    "a list among sentences": TWO + "\n\n- cold\n- wind\n- hunger for months and months\n\n" + ONE,
    "sections": "# Penguins\n\n" + ONE + "\n\n## The father\n\n" + ONE,
    "table": ONE + "\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\n" + ONE,
    "faq": "Q: When do they breed?\nA: In winter.",
    "dialogue": "Teacher: When do they breed?\n\nStudent: In winter.\n\nTeacher: Right.\n\nStudent: Why?",
    "cut": TWO + " The female returns when the",
    "cut in a word": ONE[:-5],
    "cut behind a comma": ONE + " When she returns,",
    "cut behind a colon": ONE + " Then it begins:",
    "cut behind a quotation": ONE + ' He wrote "nothing is colder" and',
    "headings alone": "# Penguins\n\n## The father",
    "fragments": "Penguins\nWinter\nEgg\nFeet\nCold.",
    "words without an end": "penguins winter egg feet cold wind",
}

ARTICLES = {
    "as asked": f"# The cold father\n\n{ONE}\n\n## The wait\n\n{TWO}",
    "bold headings": f"**The cold father**\n\n{ONE}\n\n**The wait**\n\n{TWO}",
    "plain title": f"The cold father\n\n{ONE}\n\n## The wait\n\n{TWO}",
    "title with a label": f"**Title: The cold father**\n\n{ONE}\n\n## The wait\n\n{TWO}",
    "no space": f"#The cold father\n\n{ONE}\n\n##The wait\n\n{TWO}",
    "standfirst": f"# The cold father\n\n*He waits.*\n\n{ONE}\n\n## The wait\n\n{TWO}",
    "list in a section": f"# Penguins\n\n{ONE}\n\n## Facts\n\n{ONE}\n\n- cold\n- wind",
    "numbered sections": f"# Penguins\n\n{ONE}\n\n## 1. The wait\n\n{ONE}\n\n## 2. The end\n\n{ONE}",
    "chinese": "# 父亲\n\n帝企鹅在冬天繁殖。\n\n## 等待\n\n雄企鹅不吃东西。",
    "windows": f"# The cold father\n\n{ONE}\n\n## The wait\n\n{TWO}".replace("\n", "\r\n"),
}

NO_ARTICLES = {
    "no title": f"{ONE}\n\n## The wait\n\n{TWO}",
    "no section": f"# The cold father\n\n{TWO}",
    "prose": TWO,
    "headings alone": "# Penguins\n\n## The father\n\n## The wait",
    "hardly any text": f"# Penguins\n\n## The father\n\n{ONE}",
    "a list with headings": "# Facts\n\n- cold\n- wind\n\n## More\n\n- egg\n- feet",
    "cut behind a heading": f"# The cold father\n\n{TWO}\n\n## The wait\n\n{ONE}\n\n## The end",
    "cut in a sentence": f"# The cold father\n\n{TWO}\n\n## The wait\n\n{ONE} The female returns when the",
    "hashtags": f"#penguins #winter\n\n{TWO}",
}


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE.keys())
def test_prose_holds(text: str) -> None:
    holding = {
        name for name in ("prose", "list", "steps", "table", "dialogue", "article") if holds(name, text)
    }
    assert holding == {"prose"}


@pytest.mark.parametrize("text", NO_PROSE.values(), ids=NO_PROSE.keys())
def test_no_prose(text: str) -> None:
    assert not holds("prose", text)


@pytest.mark.parametrize("text", ARTICLES.values(), ids=ARTICLES.keys())
def test_an_article_holds(text: str) -> None:
    assert holds("article", text)
    assert not holds("prose", text)


@pytest.mark.parametrize("text", NO_ARTICLES.values(), ids=NO_ARTICLES.keys())
def test_no_article(text: str) -> None:
    assert not holds("article", text)
