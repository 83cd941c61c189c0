"""The dataset as of one commit: what a job was made from has to stay nameable.

Every form of an `hf://` URI that huggingface_hub resolves is taken apart by its own parser, so that a
revision with slashes (`refs/convert/parquet`, `feature%2Fx`) means the same here and when files are read.
From then on only the commit stands in the URI.
"""

from __future__ import annotations

import re

import huggingface_hub
from huggingface_hub import parse_hf_uri
from huggingface_hub.errors import HfUriError

from rephrase_worker.hub import Hub
from rephrase_worker.spec import Reason, Source, WorkerError

_DATASETS = "hf://datasets/"
_BARE = re.compile(r"hf://datasets/(?P<name>[^/@]+)(?:@(?P<revision>.+))?/?")
_CONVERTED = re.compile(r"~([\w.-]+)")
"""`~parquet` is short for `refs/convert/parquet`, in the Hub's documentation and in DuckDB and Polars."""


def pin_dataset(source: Source) -> tuple[str, str | None]:
    """`source.uri` with the commit in it, and that commit. Sources elsewhere stay as they are.

    Buckets of the Hub have no commits: their files are held to their ETags like those of every other store.
    Raises WorkerError: SOURCE_NOT_FOUND when there is no such dataset or revision, INVALID_RECIPE when the
    URI and `source.revision` contradict each other.
    """
    if not source.uri.startswith(_DATASETS):
        return source.uri, None
    repository, revision, path = _parse(source.uri)
    repository, path, commit = _look_up(repository, _one_revision(revision, source.revision), path)
    return f"{_DATASETS}{repository}@{commit}/{path}".rstrip("/"), commit


def _parse(uri: str) -> tuple[str, str | None, str]:
    """Repository, revision and path. Raises WorkerError(SOURCE_NOT_FOUND)."""
    if bare := _BARE.fullmatch(uri):
        # huggingface_hub takes no dataset without an owner, though the Hub still knows some by such a name.
        repository, revision, path = bare["name"], bare["revision"], ""
    else:
        try:
            parsed = parse_hf_uri(uri)
        except HfUriError as error:
            raise WorkerError(
                Reason.SOURCE_NOT_FOUND,
                f"{uri} is no URI of a dataset on the Hub: {error.msg} Use hf://datasets/OWNER/NAME, with "
                "@REVISION and a path if needed.",
            ) from error
        repository, revision, path = parsed.id, parsed.revision, parsed.path_in_repo
    if revision and (converted := _CONVERTED.fullmatch(revision)):
        revision = f"refs/convert/{converted[1]}"
    return repository, revision, path


def _one_revision(in_uri: str | None, given: str | None) -> str | None:
    if in_uri and given and in_uri != given:
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"source.revision is {given} and source.uri says {in_uri}. Give one of them.",
        )
    return in_uri or given


def _look_up(repository: str, revision: str | None, path: str) -> tuple[str, str, str]:
    """The dataset by the name that the Hub has for it now, the path in it, and its commit."""
    owner, _, rest = repository.partition("/")
    try:
        return _canonical(repository, revision, path)
    except WorkerError as error:
        if error.failure.reason is not Reason.SOURCE_NOT_FOUND or not rest:
            raise
        try:
            # hf://datasets/squad/plain_text: a dataset without an owner, and a folder in it.
            return _canonical(owner, revision, f"{rest}/{path}")
        except WorkerError:
            raise error from None


def _canonical(repository: str, revision: str | None, path: str) -> tuple[str, str, str]:
    hub = Hub(f"the dataset {repository} (revision {revision or 'main'})", Reason.SOURCE_NOT_FOUND)
    info = hub.ask("The description", lambda: huggingface_hub.dataset_info(repository, revision=revision))
    # Files are read by OWNER/NAME only, which is what the Hub answers for a name without an owner.
    name = repository if "/" in repository else str(getattr(info, "id", repository))
    return name, path, str(info.sha)
