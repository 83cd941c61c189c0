"""A folder on the pod's own disk for a while."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rephrase_worker.spec import Reason, WorkerError


@contextmanager
def scratch(purpose: str, explain: Callable[[OSError], str]) -> Iterator[Path]:
    """A folder that is removed with everything in it; `purpose` is a part of its name.

    Raises WorkerError(INTERNAL) with what `explain` says when its disk is full. Other errors pass.
    """
    with tempfile.TemporaryDirectory(prefix=f"rephrase-{purpose}-", ignore_cleanup_errors=True) as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise WorkerError(Reason.INTERNAL, explain(error)) from error
