"""The recording of the demo: what a terminal shows, which screens are drawn, and the picture."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

import pytest

from scripts.demo.recording.__main__ import make
from scripts.demo.recording.capture import capture
from scripts.demo.recording.film import ROWS, Written, shots, still
from scripts.demo.recording.terminal import Run, Style, Terminal
from scripts.demo.shell import ROOT, DemoError


def lines(terminal: Terminal) -> list[str]:
    return ["".join(run.text for run in row) for row in terminal.screen()]


def test_a_live_display_replaces_its_lines() -> None:
    terminal = Terminal(20, 4)
    terminal.feed("job 1%\nslow\n")
    terminal.feed("\r\x1b[1A\x1b[2K\x1b[1A\x1b[2Kjob 50%\nfast")
    assert lines(terminal) == ["job 50%", "fast", "", ""]


def test_the_screen_moves_up_and_long_lines_are_broken() -> None:
    terminal = Terminal(4, 2)
    terminal.feed("one\nabcdef")
    assert lines(terminal) == ["abcd", "ef"]
    assert terminal.scrolled == 1


def test_styles_are_kept_by_runs() -> None:
    terminal = Terminal(40, 1)
    terminal.feed("\x1b[1;32mok\x1b[0m  plain \x1b[38;5;237mgrey\x1b[38;2;249;38;114mpink\x1b[2mdim")
    (row,) = terminal.screen()
    assert row == (
        Run(0, "ok", Style("green", bold=True)),
        Run(4, "plain", Style()),
        Run(10, "grey", Style("#3a3a3a")),
        Run(14, "pink", Style("#f92672")),
        Run(18, "dim", Style("#f92672", dim=True)),
    )


def test_an_unknown_control_sequence_is_an_error() -> None:
    for sequence in ("\x1b[3J", "\x1b]0;title", "\x1b"):
        with pytest.raises(ValueError, match="no meaning"):
            Terminal(4, 2).feed(sequence)


def test_waits_are_shortened_and_every_line_is_shown() -> None:
    text = "".join(f"line {number}\n" for number in range(3 * ROWS))
    film = shots([Written(0.1, "begin\n"), Written(900.0, text)], "make demo")
    assert sum(shot.seconds for shot in film) < 20
    seen = {run.text for shot in film for row in shot.screen for run in row}
    assert {f"line {number}" for number in range(3 * ROWS)} <= seen


def test_the_picture_is_sound_and_shows_the_still_without_animation() -> None:
    run = [
        Written(0.1, "<begin> & go\n"),
        Written(3.0, "$ kubectl get rephrasejobs\n"),
        Written(4.0, "end\n"),
    ]
    film = shots(run, "make demo")
    picture = make(run)
    root = ET.fromstring(picture)
    names = {element.get("id") for element in root.iter() if element.get("id")}
    assert {element.get("href") for element in root.iter() if element.tag.endswith("use")} == {
        f"#{name}" for name in names
    }
    assert "<begin> & go" in {element.text for element in root.iter()}
    shown = still(film, "get rephrasejobs")
    assert any("get rephrasejobs" in each.text for row in film[shown].screen for each in row)
    assert "prefers-reduced-motion" in picture


def test_a_path_of_this_machine_is_refused() -> None:
    with pytest.raises(DemoError, match="no concern"):
        make([Written(0.1, f"see {ROOT}/docs\n")])


def test_a_program_is_recorded_in_a_terminal() -> None:
    run = capture([sys.executable, "-c", "import sys; print(sys.stdout.isatty())"])
    assert "".join(written.text for written in run).strip() == "True"
    slowly = "import sys; [(sys.stdout.write(each), sys.stdout.flush()) for each in '\\x1b[31mx']"
    run = capture([sys.executable, "-c", slowly])
    assert "".join(written.text for written in run) == "\x1b[31mx"
    assert not any(written.text.startswith(("[", "3")) for written in run), "a control sequence is cut"
    with pytest.raises(DemoError, match="exit code 3"):
        capture([sys.executable, "-c", "raise SystemExit(3)"])
