"""Errors of rendering, and the one place that turns exceptions of third-party code into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_LIMIT = 300
"""Most characters of a third party's message, because templates and tokenizers quote themselves."""


class DocumentError(Exception):
    """This document can't be rendered; the text is the `error` of its samples, `code: sentence`."""


class RenderError(Exception):
    """A chat template or a tokenizer can't be used; the text is a clause that says why.

    About a model or a prompt it becomes a WorkerError, about one document a DocumentError.
    """


@contextmanager
def third_party(what: str) -> Iterator[None]:
    """Raise RenderError for anything that the block raises; `what` is the subject of its sentence.

    Chat templates and tokenizer files are other people's programs and data: transformers, Jinja and the
    tokenizers library raise errors of every type over them. A Rust panic arrives as a `PanicException`, which
    is no Exception and can't be imported, so it is known by its name.
    """
    try:
        yield
    except (RenderError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise RenderError(f"{what}: {_describe(error)}") from error


def _describe(error: BaseException) -> str:
    """The error's type and the beginning of its text, in one line."""
    text = " ".join(str(error).split())
    if len(text) > _LIMIT:
        text = f"{text[:_LIMIT]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
