"""A folder on the pod's own disk: gone afterwards, and a full disk is said to be one."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rephrase_worker.spec import Reason, WorkerError
from rephrase_worker.store.scratch import scratch


def raising(number: int) -> Path:
    """Where the folder was in which this error was raised."""
    seen = Path()
    with scratch("test", lambda error: f"no room: {error.strerror}") as folder:
        seen = folder
        (folder / "file").write_text("x")
        if number:
            raise OSError(number, "the cause", str(seen))
    return seen


def test_the_folder_is_removed_with_its_files() -> None:
    folder = raising(0)
    assert folder.name.startswith("rephrase-test-")
    assert not folder.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_explained(number: int) -> None:
    with pytest.raises(WorkerError, match="no room: the cause") as caught:
        raising(number)
    assert caught.value.failure.reason is Reason.INTERNAL


def test_other_errors_pass() -> None:
    with pytest.raises(PermissionError) as caught:
        raising(errno.EACCES)
    assert not Path(str(caught.value.filename)).exists()
