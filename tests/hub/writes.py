"""The part of the stub Hub that is written to: accounts, new repositories, large files and commits.

It holds the client to what the Hub does: a commit on another parent than the head is refused with 412, a
large file has to be uploaded before it is committed, and a token has to be valid and may be one that only
reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.hub.stub import Repository

LFS_BYTES = 10_000
"""Larger files are kept elsewhere by the Hub: their downloads are redirected."""

_WRITE = re.compile(
    r"(?:(?P<account>/api/whoami-v2)|(?P<create>/api/repos/create)|(?P<card>/api/validate-yaml)"
    r"|/api/datasets/(?P<id>[^/]+/[^/]+)/(?P<what>auth-check/write|preupload/main|commit/main)"
    r"|/datasets/(?P<lfs>[^/]+/[^/]+)\.git/info/lfs/objects/batch|/lfs/(?P<oid>[0-9a-f]{64}))"
)


@dataclass
class Writes:
    """What may be written by whom, and what was."""

    readers: set[str] = field(default_factory=set)
    """Tokens that are valid and may not write."""
    owners: set[str] = field(default_factory=lambda: {"me"})
    """Names under which repositories may be created."""
    uploaded: dict[str, bytes] = field(default_factory=dict)
    """Large files by SHA-256."""
    subjects: list[str] = field(default_factory=list)
    """Of the commits that were made."""
    before_commit: Callable[[], None] | None = None
    """Is called when a commit arrives."""
    lose_answers: int = 0
    """The next commits take effect, and their answers are 503."""


class Refused(Exception):  # noqa: N818 - an answer, not a failure of the stub
    """An answer that is an error."""

    def __init__(self, status: int, code: str = "", **also: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.body = {"error": "no", **also}


def digest(content: bytes) -> str:
    """What git calls the content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def written(hub: Any, path: str, headers: Mapping[str, str], body: bytes) -> object | None:
    """The JSON answer to a request that writes, or None when it is none. Raises Refused."""
    match = _WRITE.fullmatch(path)
    if match is None:
        return None
    if match["oid"]:
        if hashlib.sha256(body).hexdigest() != match["oid"]:
            raise Refused(400)
        hub.writes.uploaded[match["oid"]] = body
        return {}
    token = (headers.get("Authorization") or "").removeprefix("Bearer ")
    if token != hub.token and token not in hub.writes.readers:
        raise Refused(401)
    if match["account"]:
        return {"type": "user", "name": "me", "auth": {"accessToken": {"role": "write"}}}
    if match["card"]:
        return {"errors": [], "warnings": []}
    if token in hub.writes.readers:
        raise Refused(403)
    if match["create"]:
        return _create(hub, json.loads(body))
    repository = hub.repositories.get(("dataset", match["id"] or match["lfs"]))
    if repository is None:
        raise Refused(404, "RepoNotFound")
    if match["lfs"]:
        return _batch(hub, json.loads(body))
    match match["what"]:
        case "preupload/main":
            return _preupload(repository, json.loads(body))
        case "commit/main":
            return _commit(hub, repository, body)
        case _:
            return {}


def _create(hub: Any, wanted: dict[str, Any]) -> object:
    name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
    if name.partition("/")[0] not in hub.writes.owners:
        raise Refused(403)
    if ("dataset", name) in hub.repositories:
        raise Refused(409, url=f"{hub.url}/datasets/{name}")
    repository = hub.add(name, "dataset")
    repository.private = wanted.get("private", wanted.get("visibility") == "private")
    repository.commit({".gitattributes": b"*.parquet filter=lfs\n"})
    return {"url": f"{hub.url}/datasets/{name}"}


def _head(repository: Repository) -> dict[str, bytes]:
    return repository.commits.get(repository.names.get("main", ""), {})


def _preupload(repository: Repository, wanted: dict[str, Any]) -> object:
    there = _head(repository)
    files = []
    for file in wanted["files"]:
        large = file["size"] > LFS_BYTES or file["path"].endswith(".parquet")
        entry = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if (content := there.get(file["path"])) is not None:
            entry["oid"] = hashlib.sha256(content).hexdigest() if large else digest(content)
        files.append(entry)
    return {"files": files}


def _batch(hub: Any, wanted: dict[str, Any]) -> object:
    objects = []
    for entry in wanted["objects"]:
        if entry["oid"] not in hub.writes.uploaded:
            entry = entry | {"actions": {"upload": {"href": f"{hub.url}/lfs/{entry['oid']}"}}}
        objects.append(entry)
    return {"transfer": "basic", "objects": objects}


def _commit(hub: Any, repository: Repository, body: bytes) -> object:
    if hub.writes.before_commit is not None:
        hub.writes.before_commit()
    header, *operations = (json.loads(line) for line in body.splitlines())
    if header["value"].get("parentCommit") != repository.names.get("main"):
        raise Refused(412)
    files = dict(_head(repository))
    for operation in operations:
        value = operation["value"]
        if operation["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        else:
            assert operation["key"] == "lfsFile", operation
            files[value["path"]] = hub.writes.uploaded[value["oid"]]
    hub.writes.subjects.append(header["value"]["summary"])
    sha = repository.commit(files)
    if hub.writes.lose_answers:
        hub.writes.lose_answers -= 1
        raise Refused(503)
    return {"commitUrl": f"{hub.url}/datasets/{repository.name}/commit/{sha}", "commitOid": sha}
