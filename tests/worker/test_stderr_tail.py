"""What is remembered of an engine's last words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rephrase_worker.engine.stderr_tail import MESSAGE_LIMIT, StderrTail


@contextmanager
def listening() -> Iterator[StderrTail]:
    """Not a fixture: pytest takes file descriptor 2 back between a test's set-up and the test."""
    tail = StderrTail()
    try:
        yield tail
    finally:
        tail.close()


def write(text: str) -> None:
    os.write(2, text.encode())


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("ValueError: too small\n", "ValueError: too small"),
        (
            "(EngineCore pid=7) ERROR 07:57:49 [core.py:1510] torch.OutOfMemoryError: CUDA out of memory.",
            "torch.OutOfMemoryError: CUDA out of memory.",
        ),
        ("(Worker pid=9) RuntimeError: no device", "RuntimeError: no device"),
        ("INFO nothing to report\n", None),
        ("a line that speaks of ValueError: in passing\n", None),
        ("vllm.v1.engine.exceptions.EngineDeadError: see above\n", None),
        ("RuntimeError: Engine core initialization failed. See root cause above.\n", None),
        ("ValueError: " + "x" * 5000 + "\n", "ValueError: " + "x" * (MESSAGE_LIMIT - 13) + "…"),
    ],
)
def test_the_last_error_is_the_cause(line: str, cause: str | None) -> None:
    with listening() as tail:
        write(line)
        assert tail.cause() == cause


def test_a_consequential_error_does_not_hide_its_cause() -> None:
    with listening() as tail:
        write("ValueError: the cause\nEngineDeadError: a consequence\nand other words\n")
        assert tail.cause() == "ValueError: the cause"


def test_an_error_that_was_survived_is_forgotten() -> None:
    with listening() as tail:
        write("ImportError: no such kernel\n")
        tail.forget()
        assert tail.cause() is None


def test_children_are_heard_and_everything_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    program = "import sys; print('all is well', file=sys.stderr); raise ZeroDivisionError('by a child')"
    with listening() as tail:
        subprocess.run([sys.executable, "-c", program], check=False)
        assert tail.cause() == "ZeroDivisionError: by a child"
    write("afterwards\n")
    seen = capfd.readouterr().err
    for part in ("all is well", "Traceback", "ZeroDivisionError: by a child", "afterwards"):
        assert part in seen
    assert "mark" not in seen
