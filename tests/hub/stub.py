"""A stub of the Hub's HTTP API on loopback: what huggingface_hub's client asks for, and how it fails.

It serves repositories from memory, with branches, tags and commits, paged listings, redirects to another path
(the Hub's CDN), ranges, gated and missing repositories; and it fails on request: status codes with
Retry-After, and connections that are cut in the middle of a file. It has no Xet storage: without its headers
the client takes files over HTTP.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub.writes import LFS_BYTES, Refused, Writes, digest, written

_PAGE = 3
_API = re.compile(
    r"/api/(?P<kind>model|dataset)s/(?P<id>[^/]+(?:/[^/]+)?)"
    r"(?:/(?P<what>revision|tree|paths-info)/(?P<revision>[^/]+)(?:/(?P<path>.*))?)?"
)
_RESOLVE = re.compile(
    r"/(?P<dataset>datasets/)?(?P<id>[^/]+/[^/]+|[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
)


@dataclass
class Repository:
    """A model or dataset: its files by commit, and names for commits."""

    name: str
    kind: str = "model"
    gated: bool = False
    private: bool | None = None
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], *names: str) -> str:
        """Add a commit with these files; branches and tags point at it. Returns its id."""
        sha = hashlib.sha1(repr((self.name, len(self.commits))).encode()).hexdigest()
        self.commits[sha] = dict(files)
        for name in names or ("main",):
            self.names[name] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, tag or commit."""
        return revision if revision in self.commits else self.names.get(revision)


@dataclass
class Fault:
    """What requests whose path matches meet, `times` times."""

    pattern: re.Pattern[str]
    times: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the body that are sent before the connection is closed."""


class StubHub:
    """The repositories, what goes wrong, and what was asked."""

    def __init__(self, token: str = "hf_stub") -> None:
        self.token = token
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.renamed: dict[tuple[str, str], str] = {}
        """Old names without an owner, as the Hub still knows them."""
        self.url = ""
        self.writes = Writes()
        self.cdn = ""
        """The same server by another name: the client follows redirects within a host, but not to a CDN."""
        self._faults: list[Fault] = []
        self._requests: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def add(self, name: str, kind: str = "model", *, gated: bool = False) -> Repository:
        """A new repository."""
        repository = Repository(name, kind, gated)
        self.repositories[kind, name] = repository
        return repository

    def fail(self, pattern: str, times: int, status: int, **headers: str) -> None:
        """Answer the next requests for matching paths with a status; `Retry_After="1"` becomes a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults.append(Fault(re.compile(pattern), times, status, named))

    def cut(self, pattern: str, times: int, after: int) -> None:
        """Close the next connections of matching downloads after this many bytes of the body."""
        self._faults.append(Fault(re.compile(pattern), times, cut_after=after))

    def requests(self, pattern: str = "", method: str = "") -> list[str]:
        """Paths that were asked for."""
        with self._lock:
            return [
                path
                for asked, path in self._requests
                if re.search(pattern, path) and (not method or asked == method)
            ]

    def forget(self) -> None:
        """Forget what was asked."""
        with self._lock:
            self._requests.clear()

    def note(self, method: str, path: str) -> Fault | None:
        """Note a request; the fault that it meets, if any. HEAD requests have no body to cut."""
        with self._lock:
            self._requests.append((method, path))
            for fault in self._faults:
                fits = fault.times and fault.pattern.search(path)
                if fits and (method == "GET" or fault.cut_after is None):
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def stub_hub() -> Iterator[StubHub]:
    """Runs a stub of the Hub."""
    hub = StubHub()

    class Handler(_Handler):
        stub = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # It looks this often whether it was told to end.
    serve = partial(server.serve_forever, poll_interval=0.01)
    thread = threading.Thread(target=serve, name="stub-hub", daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    hub.cdn = f"http://localhost:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    """Headers and body are two writes. With Nagle's algorithm the second one waits 40 ms for the client's
    acknowledgement of the first."""
    stub: StubHub

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Silence: `StubHub.requests` is the log."""

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.stub.note(method, url.path)
        if fault is not None and fault.status:
            self._send(fault.status, b'{"error": "a secret of an internal address"}', fault.headers)
            return
        try:
            if (answer := written(self.stub, url.path, self.headers, body)) is not None:
                self._json(answer)
            elif url.path.startswith("/cdn/"):
                self._file(unquote(url.path.removeprefix("/cdn/")), fault)
            elif match := _API.fullmatch(url.path):
                self._api(match, parse_qs(url.query), parse_qs(body.decode()))
            elif match := _RESOLVE.fullmatch(url.path):
                self._resolve(match, fault)
            else:
                raise Refused(404, "")
        except Refused as refused:
            self._send(refused.status, json.dumps(refused.body).encode(), {"X-Error-Code": refused.code})

    def _repository(self, kind: str, name: str) -> Repository:
        name = self.stub.renamed.get((kind, name), name)
        found = self.stub.repositories.get((kind, name))
        if found is None:
            raise Refused(401, "RepoNotFound")
        return found

    @staticmethod
    def _commit(repository: Repository, revision: str | None) -> str:
        commit = repository.resolve(unquote(revision) if revision else "main")
        if commit is None:
            raise Refused(404, "RevisionNotFound")
        return commit

    def _api(self, match: re.Match[str], query: Mapping[str, Any], form: Mapping[str, Any]) -> None:
        repository = self._repository(match["kind"], match["id"])
        commit = self._commit(repository, match["revision"])
        files = repository.commits[commit]
        if match["what"] in (None, "revision"):
            self._json(
                {
                    "id": repository.name,
                    "sha": commit,
                    "private": False,
                    "gated": "manual" if repository.gated else False,
                    "tags": [],
                    "siblings": [{"rfilename": name} for name in sorted(files)],
                }
            )
            return
        if repository.gated:
            self._authorized()
        if match["what"] == "paths-info":
            entries = {entry["path"]: entry for entry in _entries(files, "", recursive=True)}
            self._json([entries[path] for path in form.get("paths", ()) if path in entries])
            return
        folder = unquote(match["path"] or "").strip("/")
        listed = _entries(files, folder, recursive="true" in str(query.get("recursive")).lower())
        if not listed and folder:
            raise Refused(404, "EntryNotFound")
        start = int(query.get("cursor", ["0"])[0])
        headers = {}
        if start + _PAGE < len(listed):
            rest = "&".join(f"{name}={values[0]}" for name, values in query.items() if name != "cursor")
            headers["Link"] = f'<{self.stub.url}{match[0]}?{rest}&cursor={start + _PAGE}>; rel="next"'
        self._json(listed[start : start + _PAGE], headers)

    def _authorized(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {self.stub.token}":
            raise Refused(403 if "Authorization" in self.headers else 401, "GatedRepo")

    def _resolve(self, match: re.Match[str], fault: Fault | None) -> None:
        repository = self._repository("dataset" if match["dataset"] else "model", match["id"])
        commit = self._commit(repository, match["revision"])
        if repository.gated:
            self._authorized()
        path = unquote(match["path"])
        content = repository.commits[commit].get(path)
        if content is None:
            raise Refused(404, "EntryNotFound")
        etag = _etag(content)
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if len(content) > LFS_BYTES:
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{etag}"'}
            place = quote(f"{repository.kind}/{repository.name}@{commit}/{path}")
            headers["Location"] = f"{self.stub.cdn}/cdn/{place}"
            self._send(302, b"", headers)
        else:
            self._content(content, headers | {"ETag": f'"{etag}"'}, fault)

    def _file(self, name: str, fault: Fault | None) -> None:
        match = re.fullmatch(r"(model|dataset)/([^@]+)@([0-9a-f]{40})/(.+)", name)
        assert match is not None, name
        content = self.stub.repositories[match[1], match[2]].commits[match[3]][match[4]]
        self._content(content, {"ETag": f'"{_etag(content)}"', "Accept-Ranges": "bytes"}, fault)

    def _content(self, content: bytes, headers: dict[str, str], fault: Fault | None) -> None:
        status, part = 200, content
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(match[1]), int(match[2] or len(content) - 1)
            status, part = 206, content[start : end + 1]
            headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self._send(status, part, headers, cut_after=None if fault is None else fault.cut_after)

    def _json(self, value: object, headers: dict[str, str] | None = None) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], *, cut_after: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if cut_after is None else body[:cut_after])
        if cut_after is not None:
            self.close_connection = True


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _entries(files: Mapping[str, bytes], folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    """What the Hub lists below a folder: folders first come as they are met, in the order of names."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for path, content in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            name = prefix + "/".join(parts[:depth])
            found.setdefault(name, {"type": "directory", "oid": "0" * 40, "size": 0, "path": name})
        if recursive or len(parts) == 1:
            entry: dict[str, Any] = {"type": "file", "oid": digest(content), "size": len(content)}
            if len(content) > LFS_BYTES or path.endswith(".parquet"):
                entry["lfs"] = {"oid": _etag(content), "size": len(content), "pointerSize": 134}
            found[path] = entry | {"path": path}
    return list(found.values())
