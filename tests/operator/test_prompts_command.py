"""`rephrase prompts`: what a user sees of the library and of files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from rephrase_operator.cli import main
from rephrase_operator.library import Layout, library, read_library

OWN = "---\ntitle: Haiku\nsystem: You are a poet.\n---\nTurn the text into a haiku.\n"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["prompts", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_list_shows_every_prompt_in_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = run(capsys, "list")
    assert code == 0
    head, *lines = shown.splitlines()
    assert head.split() == ["NAME", "TITLE", "STRUCTURE", "TOKENS", "ORIGIN"]
    assert [line.split()[0] for line in lines] == sorted(library())
    faq = next(line for line in lines if line.startswith("faq "))
    assert all(word in faq for word in ("FAQ page", "qa-pairs", "437", "FinePhrase"))


def test_list_shows_the_installers_prompts_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "haiku.md").write_text(OWN)
    (tmp_path / "wrong.md").write_text("Go.")
    code, shown, _ = run(capsys, "list", "--prompts", str(tmp_path))
    lines = {line.split()[0]: line for line in shown.splitlines()[1:]}
    assert (code, lines.keys()) == (0, library().keys() | {"haiku", "wrong"})
    assert "Haiku" in lines["haiku"]
    assert "can't be used: it holds {{document}} 0 times" in lines["wrong"]
    code, _, said = run(capsys, "list", "--prompts", str(tmp_path / "none"))
    assert code == 2
    assert "No such file or directory" in said


def test_a_broken_file_of_the_library_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "haiku.md").write_text(OWN)
    monkeypatch.setattr("rephrase_operator.library.library", lambda: read_library(tmp_path))
    code, shown, said = run(capsys, "list")
    assert (code, shown) == (2, "")
    assert said.startswith("rephrase prompts list: haiku.md: intent is missing; ")


def test_show_tells_what_a_prompt_is_for_and_both_layouts(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = run(capsys, "show", "faq")
    assert code == 0
    assert all(word in shown for word in ("FAQ page", "qa-pairs", "437", "DocumentFirst", "InstructionFirst"))
    assert shown.count("{{document}}") == 2


@pytest.mark.parametrize("layout", Layout)
def test_with_a_layout_only_the_template_is_printed(
    capsys: pytest.CaptureFixture[str], layout: Layout
) -> None:
    code, shown, _ = run(capsys, "show", "table", "--layout", layout.value)
    assert (code, shown) == (0, library()["table"].template(layout) + "\n")


def test_a_file_of_ones_own_is_shown_as_workers_would_read_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "haiku.md").write_text(OWN)
    code, shown, _ = run(capsys, "show", str(tmp_path / "haiku.md"))
    assert code == 0
    assert all(word in shown for word in ("haiku", "You are a poet.", "InstructionFirst"))
    (tmp_path / "plain.md").write_text("What is {{title}}?\n{{document}}")
    code, shown, _ = run(capsys, "show", str(tmp_path / "plain.md"))
    assert code == 0
    assert "DocumentFirst" not in shown
    assert "What is {{title}}?" in shown


def test_what_can_not_be_shown_is_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, shown, said = run(capsys, "show", "fqa")
    assert (code, shown) == (2, "")
    assert "no prompt of the library and no file" in said
    assert "faq, " in said
    (tmp_path / "broken.md").write_text("No placeholder.")
    (tmp_path / "latin.md").write_bytes(b"caf\xe9 {{document}}")
    (tmp_path / "plain.md").write_text("{{document}}")
    for words, expected in (
        (["broken.md"], "broken.md: it holds {{document}} 0 times"),
        (["latin.md"], "latin.md: it is not UTF-8 text"),
        (["plain.md", "--layout", "DocumentFirst"], "remove layout"),
        ([""], "no file"),
    ):
        code, _, said = run(capsys, "show", str(tmp_path / words[0]), *words[1:])
        assert code == 2
        assert expected in said
