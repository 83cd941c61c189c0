"""What is measured of texts: good ones, broken ones, and ones in every script."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_worker.quality.counts import PromptCounts
from rephrase_worker.quality.language import differs, language_of
from rephrase_worker.quality.measure import Measure, Measured
from rephrase_worker.quality.openings import first_characters, first_sentence
from rephrase_worker.quality.report import report
from rephrase_worker.spec import Model, Output, Owner, Prompt, Recipe, Source

PROMPT = Prompt(
    name="faq",
    template="{{document}}\n\nWrite questions that a curious reader would ask about the text above, each "
    "with its answer. Begin each question with Q: and each answer with A:",
    structure="qa-pairs",
)
PLAIN = Prompt(name="own", template="{{document}}\nShorter:")
ENGLISH = "The river is long and it flows to the sea. It was not deep, but this is what they say of it."
GERMAN = "Der Fluss ist lang und er fließt in das Meer. Es ist nicht tief, aber das sagt man von ihm auch."


def measured(*texts: str, document: str | None = "en", prompt: Prompt = PROMPT) -> PromptCounts:
    return Measure(prompt)([Measured(text, 100, 20, document) for text in texts])


def figures(counts: PromptCounts, prompt: Prompt = PROMPT) -> Any:
    recipe = Recipe(
        job=Owner(namespace="a", name="b"),
        source=Source(uri="/in"),
        prompts=[prompt],
        model=Model(name="owner/model"),
        output=Output(uri="/out"),
    )
    return report(recipe, {prompt.name: counts}, shards=1, uncounted_shards=0).prompts[prompt.name]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Here is a table. It has rows.", "Here is a table."),
        ("Sure! Here is a table of all. Look.", "Sure! Here is a table of all."),
        ("1. Wash the apples. 2. Cut them.", "1. Wash the apples."),
        ("Dr. Miller went home. He slept.", "Dr. Miller went home."),
        ("# The title\n\nAnd a text.", "# The title"),
        ("\n\n  | a | b |\n|---|---|", "| a | b |"),
        ("**How far is the moon?** Far.", "**How far is the moon?**"),
        ("這是一個關於河流的很長的句子。第二句。", "這是一個關於河流的很長的句子。"),
        ("no end at all", "no end at all"),
        ("x" * 5000, "x" * 120),
        ("3.14 is about the number pi. So.", "3.14 is about the number pi."),
        ("one\r\ntwo", "one"),
    ],
)
def test_the_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


def test_the_first_characters_leave_out_white_space_before_them() -> None:
    assert first_characters(" \n Hello there", 5) == "Hello"
    assert first_characters("a", 10) == "a"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but as an AI language model I can’t read the text.",
        "As an AI, I have no opinion on rivers.",
        "Sorry, I cannot assist with that request.",
        "I apologize, but I am not able to provide this.",
        "I cannot fulfill this request.",
        "I can't answer that.",
        "  \n I am unable to rewrite the text.",
    ],
)
def test_refusals_are_counted(text: str) -> None:
    assert measured(text).refusals == 1


@pytest.mark.parametrize(
    "text",
    [
        ENGLISH,
        "The spokesman said: sorry, we were late.",
        "I can help you with that.",
        "I cannot believe how deep the river is.",
        ENGLISH * 5 + "I'm sorry, but I can't help with that.",
        "Sorry is the hardest word.",
        "He works as an AI researcher, and I can tell you that I'm an AI enthusiast.",
        "As an aid to memory, the chapters are short.",
        "Es tut mir leid, das geht nicht.",
    ],
)
def test_other_texts_are_no_refusals(text: str) -> None:
    assert measured(text).refusals == 0


def test_echoes_of_the_instruction_are_counted() -> None:
    echo = "Write questions that a curious reader\nwould ask about the text above. Fine."
    assert measured(echo, echo.upper(), ENGLISH, "Write questions that a child would ask.").echoes == 2
    assert measured("Shorter:", ENGLISH, prompt=PLAIN).echoes == 0, "a word is no instruction to repeat"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Le fleuve est long et il coule dans la mer. Ce n'est pas profond, mais c'est sur la carte.", "fr"),
        ("El río es largo y está en el mapa, pero no es tan profundo como se dice por lo general.", "es"),
        ("Река длинная, и она течет в море. Это не то, что было, но так и есть.", "ru"),
        ("河很長，流入大海。", "Hani"),
        ("川は長く、海に流れ込む。", "Kana"),
        ("강은 길고 바다로 흐른다.", "Hang"),
        ("النهر طويل ويصب في البحر.", "Arab"),
        ("नदी लंबी है और समुद्र में बहती है।", "Deva"),
        ("แม่น้ำยาวและไหลลงสู่ทะเล", "Thai"),
        ("Ο ποταμός είναι μακρύς.", "Grek"),
        ("Rivers flow.", "Latn"),
        ("| 1 | 2 |\n|---|---|", ""),
        ("😀😀😀", ""),
        ("", ""),
        ("\ud800", ""),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("document", "output", "verdict"),
    [
        ("en", "en", False),
        ("en", "de", True),
        ("en", "Hani", True),
        ("ru", "en", True),
        ("Latn", "ru", True),
        ("Cyrl", "ru", None),
        ("en", "Latn", None),
        ("Latn", "Latn", False),
        ("en", "", None),
        ("", "en", None),
    ],
)
def test_drift_is_what_differs_for_certain(document: str, output: str, verdict: bool | None) -> None:
    assert differs(document, output) is verdict


def test_drift_is_counted_of_samples_that_can_be_judged() -> None:
    counts = measured(ENGLISH, GERMAN, "😀", "河很長，流入大海。")
    assert (counts.language_judged, counts.language_differs) == (3, 2)
    assert dict(counts.languages) == {"en": 1, "de": 1, "": 1, "Hani": 1}
    assert measured(ENGLISH, document=None).language_judged == 0


def test_structure_is_judged_where_the_prompt_has_one() -> None:
    good = "Q: How long is the river?\nA: It is very long.\n\nQ: Is it deep?\nA: It is not deep at all."
    counts = measured(good, ENGLISH)
    assert (counts.structure_judged, counts.structured) == (2, 1)
    assert measured(good, prompt=PLAIN).structure_judged == 0
    assert figures(counts).structure_rate == 0.5
    assert figures(measured(good, prompt=PLAIN), PLAIN).structure_rate is None


def test_repetition_inside_a_text() -> None:
    loop = "and so on and on " * 200
    lines = "the same line\n" * 10
    counts = measured(loop, ENGLISH, lines)
    assert counts.looping == 2
    found = figures(counts)
    assert found.repeated_words.mean > 0.5
    assert found.repeated_lines.mean == pytest.approx(0.9 / 3)
    once = figures(measured(ENGLISH))
    assert (once.repeated_words.mean, once.repeated_lines.mean) == (0.0, 0.0)
    assert figures(measured(loop)).compression.mean > 10 > once.compression.mean


def test_distinct_words_of_equal_outputs_fall() -> None:
    same, different = measured(*[ENGLISH] * 50), measured(*(f"{number} {ENGLISH}" for number in range(50)))
    assert figures(same).distinct_words.ratio < 0.03
    assert figures(different).distinct_words.distinct > figures(same).distinct_words.distinct + 40
    assert figures(measured(ENGLISH)).distinct_pairs.ratio == 1.0


def test_a_language_without_spaces_has_words_too() -> None:
    counts = measured("河很長河很長")
    assert (counts.words, counts.pairs) == (6, 5)
    assert counts.distinct_words.estimate == 3


def test_no_samples_have_no_figures() -> None:
    found = figures(measured())
    assert (found.samples, found.empty, found.structure_rate) == (0, 0, None)
    assert found.openings["firstSentence"] == []
    assert (found.compression.mean, found.output_tokens.mean, found.distinct_words.ratio) == (0.0, 0.0, 0.0)


def test_blank_texts_are_only_counted() -> None:
    counts = measured("", " \n\t", "\u3000", ENGLISH)
    assert (counts.samples, counts.empty) == (1, 3)
    assert counts.output_tokens.samples == 1


def test_one_giant_output() -> None:
    giant = "All work and no play makes Jack a dull boy.\n" * 250_000
    counts = measured(giant, ENGLISH)
    assert (counts.samples, counts.looping) == (2, 1)
    assert counts.words == 250_000 * 10 + len(ENGLISH.split())


def test_texts_of_one_character_and_of_emoji() -> None:
    counts = measured("a", "😀", "👩‍👩‍👧‍👦 family", "­", "\x00", "‮right to left")
    assert counts.samples == 6
    assert counts.sentences.counts["😀"] == 1


def test_lone_surrogates_are_replaced() -> None:
    counts = measured("\ud800 is half a character. Yes.", ENGLISH)
    assert counts.samples == 2
    assert "? is half a character." in counts.sentences.counts
    for opening in counts.sentences.counts:
        opening.encode()


def test_identical_outputs() -> None:
    top = figures(measured(*[ENGLISH] * 7)).openings["firstSentence"][0]
    assert (top.text, top.count, top.share) == ("The river is long and it flows to the sea.", 7, 1.0)
