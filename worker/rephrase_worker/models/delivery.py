"""Pins a model to a commit and brings it to this machine as a folder that vLLM can load.

Planning needs the small files alone. Weights are fetched once into a cache that all pods share, or by every
worker into a scratch volume of its own: no two processes write to one cache at a time. The cache is
huggingface_hub's ($HF_HOME), laid out by commit, so that what is there is never asked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub import parse_hf_uri
from huggingface_hub.constants import is_offline_mode
from huggingface_hub.errors import HfUriError
from huggingface_hub.utils.tqdm import disable_progress_bars

from rephrase_worker.hub import Hub
from rephrase_worker.models.contents import CONFIG, Contents, UnusableModelError, check_indexes, choose
from rephrase_worker.spec import ExitCode, Model, Reason, WorkerError
from rephrase_worker.uris import MODEL_CACHE_VARIABLE, SHARED, local_path, protocol_of

SIMULATED_MODEL = "simulated"
"""Model name of jobs that run the simulated engine: there is nothing to look for."""

_THREADS = 4
"""Files that are fetched at a time; large ones come in several connections anyway."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PinnedModel:
    """A model as it is now. `folder` holds its configuration and tokenizer."""

    folder: Path
    commit: str | None
    """None for a folder."""


def shared_cache(environment: Mapping[str, str]) -> bool:
    """Whether $HF_HOME is a cache that the plan step fills for all pods of the job."""
    return environment.get(MODEL_CACHE_VARIABLE) == SHARED


def pin(model: Model, environment: Mapping[str, str]) -> PinnedModel:
    """The model's commit, and its small files on this machine. Nothing large is fetched.

    Raises WorkerError(MODEL_NOT_FOUND) when there is no such model, or none that vLLM can load.
    """
    if (folder := _folder_of(model, environment)) is not None:
        _check_folder(folder, model)
        return PinnedModel(folder, None)
    repository, revision = _repository(model)
    if is_offline_mode():
        folder = _cached(repository, revision or "main")
        if folder is None:
            raise _unusable(model, "is not in the local cache, and HF_HUB_OFFLINE is set")
        _check_folder(folder, model)
        return PinnedModel(folder, folder.name)
    hub = Hub(f"the model {repository} (revision {revision or 'main'})", Reason.MODEL_NOT_FOUND)
    info = hub.ask("The description", lambda: huggingface_hub.model_info(repository, revision=revision))
    commit = str(info.sha)
    contents = _contents(info, model)
    folder = _download(hub, repository, commit, contents.small)
    _check_indexes(contents, folder, model)
    return PinnedModel(folder, commit)


def small_files(model: Model, environment: Mapping[str, str]) -> Path:
    """The folder with configuration and tokenizer of a pinned model.

    In a cache that planning has filled the Hub is not asked: nodes that share one need no way to it. Raises
    WorkerError(MODEL_NOT_FOUND).
    """
    if shared_cache(environment) and _folder_of(model, environment) is None:
        repository, revision = _repository(model)
        if revision is not None and (folder := _cached(repository, revision)) is not None:
            return folder
    return pin(model, environment).folder


def fetch(
    model: Model, commit: str | None, environment: Mapping[str, str], *, local_only: bool = False
) -> Path:
    """The folder with the whole pinned model, fetched unless it is there.

    `local_only`: somebody else has fetched it, into a cache that this process sees. Raises WorkerError; its
    exit code asks for another attempt, because planning has found the model and another node may too.
    """
    if (folder := _folder_of(model, environment)) is not None:
        _check_folder(folder, model, exit_code=ExitCode.INTERNAL)
        return folder
    repository, _ = _repository(model)
    if commit is None:
        raise WorkerError(Reason.INTERNAL, f"The plan names no commit of the model {model.name}.")
    if local_only or is_offline_mode():
        folder = _cached(repository, commit)
        if folder is None:
            raise _unusable(
                model,
                f"is not in this pod's cache at commit {commit}, and is not fetched by workers. The plan "
                "step fetches it: check that worker.modelCacheClaim is the same volume on every node",
                exit_code=ExitCode.INTERNAL,
            )
        _check_folder(folder, model, exit_code=ExitCode.INTERNAL)
        return folder
    hub = Hub(
        f"the model {repository} (commit {commit})", Reason.MODEL_NOT_FOUND, exit_code=ExitCode.INTERNAL
    )
    info = hub.ask("The description", lambda: huggingface_hub.model_info(repository, revision=commit))
    contents = _contents(info, model)
    log.info("fetching %d files of %s at %s", len(contents.small + contents.weights), repository, commit)
    return _download(hub, repository, commit, contents.small + contents.weights)


def _folder_of(model: Model, environment: Mapping[str, str]) -> Path | None:
    """The folder that the model's name stands for; None for a model of the Hub."""
    if model.name.startswith("/"):
        return Path(model.name)
    if protocol_of(model.name) == "pvc":
        try:
            return Path(local_path(model.name, environment))
        except ValueError as error:
            raise _unusable(model, f"can't be found: {error}") from error
    return None


def _repository(model: Model) -> tuple[str, str | None]:
    """Id and revision of a model of the Hub."""
    if protocol_of(model.name) != "hf":
        return model.name, model.revision
    try:
        parsed = parse_hf_uri(model.name)
    except HfUriError as error:
        raise _unusable(model, f"is no hf:// URI of a model: {error.msg}") from error
    if parsed.type != "model" or parsed.path_in_repo:
        raise _unusable(model, "is no model: use hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
    if model.revision and parsed.revision and model.revision != parsed.revision:
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"model.revision is {model.revision} and model.name says {parsed.revision}. Give one of them.",
        )
    return parsed.id, parsed.revision or model.revision


def _contents(info: huggingface_hub.ModelInfo, model: Model) -> Contents:
    try:
        return choose(file.rfilename for file in info.siblings or ())
    except UnusableModelError as error:
        raise _unusable(model, str(error)) from error


def _check_indexes(contents: Contents, folder: Path, model: Model) -> None:
    try:
        check_indexes(contents, lambda name: (folder / name).read_bytes())
    except UnusableModelError as error:
        raise _unusable(model, str(error)) from error


def _check_folder(folder: Path, model: Model, *, exit_code: ExitCode | None = None) -> None:
    """Raises WorkerError(MODEL_NOT_FOUND) unless the folder holds a whole model."""
    try:
        if not folder.is_dir():
            raise UnusableModelError("is not there")
        contents = choose(
            str(path.relative_to(folder)) for pattern in ("*", "*/*") for path in folder.glob(pattern)
        )
        check_indexes(contents, lambda name: (folder / name).read_bytes())
    except UnusableModelError as error:
        raise _unusable(model, str(error), exit_code=exit_code) from error


def _cached(repository: str, revision: str) -> Path | None:
    """The folder of a revision in the local cache."""
    found = huggingface_hub.try_to_load_from_cache(repository, CONFIG, revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _download(hub: Hub, repository: str, commit: str, names: tuple[str, ...]) -> Path:
    """Fetches these files at this commit; the folder that they lie in."""
    disable_progress_bars()

    def download(name: str) -> str:
        return hub.ask(name, lambda: huggingface_hub.hf_hub_download(repository, name, revision=commit))

    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="model")
    try:
        pending = [pool.submit(download, name) for name in names]
        done, _ = wait(pending, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        # Not waited for: SIGTERM must not wait for gigabytes.
        pool.shutdown(wait=False, cancel_futures=True)
    return Path(pending[names.index(CONFIG)].result()).parent


def _unusable(model: Model, problem: str, *, exit_code: ExitCode | None = None) -> WorkerError:
    revision = f" (revision {model.revision})" if model.revision else ""
    return WorkerError(
        Reason.MODEL_NOT_FOUND,
        f"The model {model.name}{revision} {problem}. Give the id of a model on the Hub, or a folder that "
        "holds one and that every worker sees.",
        exit_code=exit_code,
    )
