"""The demo's background processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demo.processes import Processes
from scripts.demo.shell import DemoError

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


def recorded(folder: Path) -> dict[str, list[object]]:
    found: dict[str, list[object]] = json.loads((folder / "running.json").read_text())
    return found


# It is started to outlive the run that starts it, which Python warns of.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_later_run_stops_what_an_earlier_one_left(tmp_path: Path) -> None:
    child = subprocess.Popen(SLEEPS)
    Processes(tmp_path).adopt("other", child.pid)
    Processes(tmp_path).start("sleeper", SLEEPS, lambda: True)
    assert list(recorded(tmp_path)) == ["other", "sleeper"]
    Processes(tmp_path).stop()
    assert child.wait(10) < 0
    assert not (tmp_path / "running.json").exists()
    Processes(tmp_path).stop()


def test_a_process_that_has_got_the_id_of_a_recorded_one_is_left_alone(tmp_path: Path) -> None:
    child = subprocess.Popen(SLEEPS)
    Processes(tmp_path).adopt("other", child.pid)
    (pid, birth) = recorded(tmp_path)["other"]
    (tmp_path / "running.json").write_text(json.dumps({"other": [pid, f"{birth}0"]}))
    Processes(tmp_path).stop()
    assert child.poll() is None
    child.kill()
    child.wait()


def test_a_process_that_ends_before_it_is_ready_is_told_with_its_log(tmp_path: Path) -> None:
    fails = [sys.executable, "-c", "raise SystemExit('no such port')"]
    with pytest.raises(DemoError, match=r"the part did not start:\nno such port"):
        Processes(tmp_path).start("part", fails, lambda: False)
