"""What an error of a file system means. Each file system has its own exceptions for the same few facts."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from rephrase_worker.spec import ExitCode

_PERMANENT = (
    PermissionError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    NotImplementedError,
)
_PERMANENT_NUMBERS = (errno.EROFS, errno.EOPNOTSUPP, errno.ENOSYS)
"""A read-only file system, and one that can't do what is asked: some have no hard links."""

_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}
"""Names of the classes in botocore and google-auth, which need not be installed."""


def store_code(error: BaseException) -> str:
    """The object store's own code for the error: s3fs keeps botocore's answer as the cause."""
    response = getattr(error.__cause__, "response", None) or getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    return str(getattr(error, "code", ""))


def is_permanent(error: BaseException) -> bool:
    """Whether every node would get the error: no permission, no such bucket, a file instead of a folder.

    Other errors (network, throttling, a full disk) may be gone at the next attempt.
    """
    return (
        isinstance(error, _PERMANENT)
        or getattr(error, "errno", None) in _PERMANENT_NUMBERS
        or type(error).__name__ in _NO_CREDENTIALS
    )


def describe(error: BaseException) -> str:
    """What went wrong, for a message, without the body of an HTTP answer.

    Who may create a job chooses its endpoints, and must not read in its status what an internal address
    answers. huggingface_hub quotes the answer's text, and botocore the bytes that are no XML.
    """
    for cause in causes(error):
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return f"{type(cause).__name__}: the server answers {status}"
        if type(cause).__name__ == "ResponseParserError":
            return "ResponseParserError: the server's answer is not that of an object store"
    return f"{type(error).__name__}: {error}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, down to the first cause."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


_DEFECTS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, TypeError, ValueError)
"""What a file system raises when it was called wrongly, or when a file holds something else than expected."""


def may_pass(error: BaseException) -> bool:
    """Whether the same operation may succeed later, so that it is worth waiting with samples in hand."""
    return not is_permanent(error) and not isinstance(error, _DEFECTS)


def planning_exit_code(error: BaseException) -> ExitCode:
    """While planning: a permanent error fails the job at once, any other is tried again."""
    return ExitCode.CONFIG if is_permanent(error) else ExitCode.INTERNAL
