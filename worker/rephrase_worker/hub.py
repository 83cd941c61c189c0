"""Asking the Hub: what may pass is tried again, what won't is explained.

A hundred workers that start at once meet rate limits (429), a busy Hub (5xx) and connections that are cut.
huggingface_hub tries some of its requests again for some seconds and wraps what it gives up on in errors of
other kinds, so the cause is looked for along the whole chain.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HfUriError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._http import parse_ratelimit_headers

from rephrase_worker.spec import ExitCode, Reason, WorkerError
from rephrase_worker.store.errors import causes

PATIENCE_SECONDS = 900.0
"""How long a request to the Hub may go on failing before the command ends. The operator then starts the
command again.
"""

_PROGRESS_SECONDS = 180.0
"""A request that took this long before it failed has moved data: timeouts end the others."""

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes that another attempt may not meet."""
_DEFECTS = (TypeError, AttributeError, LookupError, AssertionError, ImportError)
"""Nothing that the Hub or the network could cause."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class Hub:
    """Requests to the Hub about one repository. Safe to use from several threads.

    `reason` is the failure to report; `exit_code` replaces that reason's own where a permanent answer ends
    only this attempt, because the planner has had a better one. `passing` are further status codes that
    another attempt may not meet.
    """

    def __init__(
        self,
        repository: str,
        reason: Reason,
        *,
        exit_code: ExitCode | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        patience: float | None = None,
        passing: frozenset[int] = frozenset(),
    ) -> None:
        self._repository = repository
        self._reason = reason
        self._exit_code = exit_code
        self._sleep = sleep
        self._now = now
        self._patience = PATIENCE_SECONDS if patience is None else patience
        self._passing = _PASSING | passing

    def ask(self, what: str, request: Callable[[], T]) -> T:
        """The answer to a request; `what` names in an error message what it was about.

        Raises WorkerError: with the reason given when the Hub says no, INTERNAL when it did not answer for
        `patience` seconds.
        """
        wait = _FIRST_WAIT_SECONDS
        fails_since = None
        while True:
            began = self._now()
            try:
                return request()
            except _DEFECTS:
                raise
            except Exception as error:  # huggingface_hub, its HTTP library and the disk have their own
                if (refusal := _refusal(error, self._passing)) is not None:
                    raise self.refused(what, refusal) from error
                now = self._now()
                if fails_since is None or now - began > _PROGRESS_SECONDS:
                    fails_since, wait = now, _FIRST_WAIT_SECONDS
                pause = _pause(error, wait)
                if now + pause - fails_since > self._patience:
                    raise self._gave_up(what, error) from error
                why = _summary(error)
                log.warning("%s of %s: %s; asking again in %.0f s", what, self._repository, why, pause)
                self._sleep(pause)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    def refused(self, what: str, why: str) -> WorkerError:
        """The error for an answer that stays the same however often one asks."""
        return WorkerError(
            self._reason, f"{what} of {self._repository} can't be had: {why}.", exit_code=self._exit_code
        )

    def _gave_up(self, what: str, error: Exception) -> WorkerError:
        return WorkerError(
            Reason.INTERNAL,
            f"The Hub has not given {what} of {self._repository} for {self._patience:.0f} s: "
            f"{_summary(error)}. "
            "It will be tried again. If that goes on, check the pod's way to the Hub (HF_ENDPOINT, proxies, "
            "network policies) and its rate limit, which HF_TOKEN raises.",
        )


def _refusal(error: BaseException, passing: frozenset[int]) -> str | None:
    """Why another attempt would meet the same answer, and what to do; None when it may not."""
    for cause in causes(error):
        match cause:
            case OfflineModeIsEnabled():
                return "HF_HUB_OFFLINE is set and it is not in the cache. Unset it, or fill the cache first"
            case GatedRepoError():
                return (
                    "it is gated. Accept its terms on the Hub with an account, and put that account's token "
                    "into worker.env as HF_TOKEN, from a Secret"
                )
            case DisabledRepoError():
                return "the Hub has disabled it"
            case RevisionNotFoundError():
                return "there is no such revision. Check the branch, tag or commit"
            case RemoteEntryNotFoundError():
                return "there is no such file at this commit"
            case RepositoryNotFoundError():
                return "it is not on the Hub, or needs a token (HF_TOKEN in worker.env, from a Secret)"
            case HFValidationError() | HfUriError():
                return "this is not the id of a repository"
            case HfHubHTTPError() if (status := cause.response.status_code) not in passing:
                return f"the Hub answers {status}" + (
                    ". Check HF_TOKEN in worker.env" if status in (401, 403) else ""
                )
            case OSError(errno=number) if number in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                return (
                    f"{os.strerror(number)}: {constants.HF_HOME}. The model's files need space there and the "
                    "right to write"
                )
    return None


def _pause(error: BaseException, wait: float) -> float:
    """Seconds to wait: what the Hub asks for, or about `wait`.

    At random, so that workers that failed together come back one by one.
    """
    said = _retry_after(error)
    if said is None:
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets
    return said * random.uniform(1.0, 1.1)  # noqa: S311


def _retry_after(error: BaseException) -> float | None:
    """Seconds to wait, if the Hub says them: in Retry-After (RFC 9110), or as the rest of a rate limit."""
    for cause in causes(error):
        if not isinstance(cause, HfHubHTTPError):
            continue
        said = cause.response.headers.get("Retry-After", "")
        if said.isdecimal():
            return float(said)
        try:
            return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
        except ValueError:
            limit = parse_ratelimit_headers(cause.response.headers)
            return None if limit is None else float(limit.reset_in_seconds)
    return None


def _summary(error: BaseException) -> str:
    """What went wrong, from the root of a chain of wrapped errors, without what the server said.

    Who may set HF_ENDPOINT must not read an internal address' answer in a job's status.
    """
    *_, root = causes(error)
    for cause in causes(error):
        if isinstance(cause, HfHubHTTPError):
            return f"it answers {cause.response.status_code}"
    return f"{type(root).__name__}: {root}"[:500]
