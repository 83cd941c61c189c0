"""Which errors of a file system are worth waiting for, as the file systems really raise them."""

from __future__ import annotations

import errno

import httpx
import pyarrow as pa
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError
from fsspec.exceptions import FSTimeoutError
from huggingface_hub.errors import HfHubHTTPError
from s3fs.errors import translate_boto_error

from rephrase_worker.store.errors import describe, may_pass

URL = "http://127.0.0.1:9/bucket"


def answer(code: str, status: int) -> BaseException:
    """What s3fs raises when the store answers so."""
    response = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: BaseException = translate_boto_error(ClientError(response, "PutObject"))  # type: ignore[arg-type]
    return error


PASSING = [
    answer("SlowDown", 503),
    answer("503", 503),
    answer("ServiceUnavailable", 503),
    answer("InternalError", 500),
    answer("RequestTimeout", 400),
    answer("OperationAborted", 409),
    answer("TooManyRequests", 429),
    EndpointConnectionError(endpoint_url=URL),
    ConnectTimeoutError(endpoint_url=URL),
    ReadTimeoutError(endpoint_url=URL),
    ResponseStreamingError(error="the connection broke"),
    FSTimeoutError(),
    TimeoutError(),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
]

LASTING = [
    answer("AccessDenied", 403),
    answer("ExpiredToken", 400),
    answer("InvalidAccessKeyId", 403),
    answer("SignatureDoesNotMatch", 403),
    answer("NoSuchBucket", 404),
    NoCredentialsError(),
    PermissionError(errno.EACCES, "Permission denied"),
    OSError(errno.EROFS, "Read-only file system"),
    NotADirectoryError(errno.ENOTDIR, "Not a directory"),
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    pa.ArrowInvalid("Parquet magic bytes not found in footer"),
    TypeError("unexpected keyword argument"),
    NotImplementedError(),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_passing_errors_are_waited_for(error: BaseException) -> None:
    assert may_pass(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_permanent_errors_are_not_waited_for(error: BaseException) -> None:
    assert not may_pass(error)


def test_what_a_server_sent_is_not_quoted() -> None:
    request = httpx.Request("GET", "http://10.0.0.1/api/datasets/a/b")
    hub = HfHubHTTPError("403 Forbidden: the body is secret", response=httpx.Response(403, request=request))
    listing = OSError("403 Forbidden: the body is secret")
    listing.__cause__ = hub
    parsed = ResponseParserError("invalid XML received: b'the body is secret'")
    for error in (hub, listing, parsed):
        assert "secret" not in describe(error)
    assert "403" in describe(listing)
    assert (
        describe(PermissionError(13, "Permission denied")) == "PermissionError: [Errno 13] Permission denied"
    )
