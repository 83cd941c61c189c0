"""The model and the dataset as of one commit: what a job was made from has to stay nameable.

Hub ids are pinned to commits, and the model is downloaded once into the shared cache, so that workers
load it without the network. With HF_HUB_OFFLINE=1 everything comes from that cache.
"""

from __future__ import annotations

import re
from pathlib import Path

import huggingface_hub
from huggingface_hub.constants import is_offline_mode
from huggingface_hub.errors import (
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from rephrase_worker.spec import ExitCode, Model, Reason, Source, WorkerError

SIMULATED_MODEL = "simulated"
"""Model name of jobs that run the simulated engine: there is nothing to look for."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")
_WEIGHTS = (".safetensors", ".bin", ".pt")
"""What vLLM loads weights from."""
_MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
_DATASET = re.compile(r"^hf://datasets/(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?P<rest>/.*)?$")


def pin_model(model: Model) -> str | None:
    """The commit of a Hub model, downloaded; None for a folder. Raises WorkerError(MODEL_NOT_FOUND)."""
    if model.name == SIMULATED_MODEL:
        return None
    if model.name.startswith("/"):
        _check_folder(Path(model.name))
        return None
    try:
        if is_offline_mode():
            folder = huggingface_hub.snapshot_download(
                model.name, revision=model.revision, local_files_only=True
            )
            return Path(folder).name
        info = huggingface_hub.model_info(model.name, revision=model.revision)
        huggingface_hub.snapshot_download(model.name, revision=info.sha, allow_patterns=_MODEL_FILES)
        return info.sha
    except LocalEntryNotFoundError as error:
        raise _model_not_found(
            model, "is not in the local cache, and the Hub is not reachable or switched off"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise _model_not_found(model, "is not on the Hub, or needs a token") from error
    except Exception as error:  # the Hub's client raises its HTTP library's errors
        raise _hub_failed(model.name, error) from error


def model_folder(model: Model, commit: str | None) -> str:
    """Where the pinned model's configuration and tokenizer lie on this machine."""
    if model.name.startswith("/"):
        return model.name
    return str(huggingface_hub.snapshot_download(model.name, revision=commit, local_files_only=True))


def pin_dataset(source: Source) -> tuple[str, str | None]:
    """`source.uri` with the commit in it, and that commit. Sources elsewhere stay as they are."""
    match = _DATASET.match(source.uri)
    if match is None:
        return source.uri, None
    revision = match["revision"] or source.revision
    try:
        commit = huggingface_hub.dataset_info(match["repo"], revision=revision).sha
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError, OfflineModeIsEnabled) as error:
        raise WorkerError(
            Reason.SOURCE_NOT_FOUND,
            f"The dataset {match['repo']} (revision {revision or 'main'}) is not on the Hub, or needs a "
            "token, or HF_HUB_OFFLINE is set.",
        ) from error
    except Exception as error:  # the Hub's client raises its HTTP library's errors
        raise _hub_failed(match["repo"], error) from error
    return f"hf://datasets/{match['repo']}@{commit}{match['rest'] or ''}", commit


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        problem = "is not there"
    elif not (folder / "config.json").is_file():
        problem = "has no config.json"
    elif not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        problem = "has no tokenizer"
    elif not any(path.suffix in _WEIGHTS for path in folder.iterdir()):
        problem = f"has no weights ({', '.join(_WEIGHTS)})"
    else:
        return
    raise WorkerError(
        Reason.MODEL_NOT_FOUND,
        f"The model folder {folder} {problem}. Give the absolute path of a Hugging Face model folder that "
        "every worker can see, or a Hub id.",
    )


def _model_not_found(model: Model, problem: str) -> WorkerError:
    return WorkerError(
        Reason.MODEL_NOT_FOUND,
        f"The model {model.name} (revision {model.revision or 'main'}) {problem}. Check the id and the "
        "revision, or give the absolute path of a model folder.",
    )


def _hub_failed(name: str, error: Exception) -> WorkerError:
    return WorkerError(
        Reason.INTERNAL,
        f"The Hub did not answer for {name}: {error}. It will be tried again.",
        exit_code=ExitCode.INTERNAL,
    )
