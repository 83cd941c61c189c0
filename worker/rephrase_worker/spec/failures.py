"""Why a command of the worker ended without success: reasons, exit codes, and the error that carries them."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated

from pydantic import AfterValidator

from rephrase_worker.spec.contract import Contract


class ExitCode(IntEnum):
    """Exit codes of the worker's commands, after sysexits.h."""

    OK = 0
    """The command has done its work."""
    USAGE = 64
    """The command line or the recipe can't be read. The job fails at once."""
    DATA = 65
    """The data of this shard can't be read. The shard fails without another attempt."""
    ENGINE = 69
    """The engine failed or hangs. The shard is tried again."""
    INTERNAL = 70
    """Something unforeseen happened. The shard is tried again."""
    PREEMPTED = 75
    """The worker was stopped by SIGTERM. The shard is tried again and resumes from its last commit."""
    CONFIG = 78
    """The job's configuration can't work on any node. The job fails at once."""


class Reason(StrEnum):
    """Why a command ended without success; becomes the reason of the job's condition."""

    INVALID_RECIPE = "InvalidRecipe"
    """The recipe, the engine settings or the command line can't be read."""
    SOURCE_NOT_FOUND = "SourceNotFound"
    """The source matches no file, or there is no such dataset."""
    SOURCE_UNREADABLE = "SourceUnreadable"
    """A file of the source can't be read or decoded."""
    SOURCE_FORMAT = "SourceFormat"
    """The source is not what its suffix or `source.format` says."""
    SOURCE_CHANGED = "SourceChanged"
    """A file of the source has changed since it was planned."""
    TEXT_FIELD_MISSING = "TextFieldMissing"
    """The source has no column or key of the name in `source.textField` or `source.idField`."""
    COLUMN_MISSING = "ColumnMissing"
    """The source has no column or key that a placeholder of a prompt or `output.columns` names."""
    MODEL_NOT_FOUND = "ModelNotFound"
    """There is no such model, or it can't be loaded."""
    OUTPUT_NOT_WRITABLE = "OutputNotWritable"
    """The output can't be written to."""
    OUTPUT_IN_USE = "OutputInUse"
    """Another job, or another recipe, owns the output."""
    PLAN_MISSING = "PlanMissing"
    """The output holds no complete plan."""
    ACCOUNT_MISMATCH = "AccountMismatch"
    """The manifests contradict each other or the plan."""
    ENGINE_FAILED = "EngineFailed"
    """The engine could not start, or ended by itself."""
    ENGINE_HANGS = "EngineHangs"
    """The engine made no token for `engine.hangTimeoutSeconds`."""
    DATASET_INCOMPLETE = "DatasetIncomplete"
    """The dataset is not finished, so it can't be published; or its mix came out empty."""
    REPOSITORY_REFUSED = "RepositoryRefused"
    """The repository to publish to holds something else, or the Hub refuses to let the job write to it."""
    PREEMPTED = "Preempted"
    """The worker was asked to stop."""
    INTERNAL = "InternalError"
    """Something unforeseen happened: a defect. The log of the pod has the traceback."""


EXIT_CODES: dict[Reason, ExitCode] = {
    Reason.INVALID_RECIPE: ExitCode.USAGE,
    Reason.SOURCE_NOT_FOUND: ExitCode.CONFIG,
    Reason.SOURCE_UNREADABLE: ExitCode.DATA,
    Reason.SOURCE_FORMAT: ExitCode.CONFIG,
    Reason.SOURCE_CHANGED: ExitCode.DATA,
    Reason.TEXT_FIELD_MISSING: ExitCode.CONFIG,
    Reason.COLUMN_MISSING: ExitCode.CONFIG,
    Reason.MODEL_NOT_FOUND: ExitCode.CONFIG,
    Reason.OUTPUT_NOT_WRITABLE: ExitCode.CONFIG,
    Reason.OUTPUT_IN_USE: ExitCode.CONFIG,
    Reason.PLAN_MISSING: ExitCode.INTERNAL,
    Reason.ACCOUNT_MISMATCH: ExitCode.DATA,
    Reason.ENGINE_FAILED: ExitCode.ENGINE,
    Reason.ENGINE_HANGS: ExitCode.ENGINE,
    Reason.DATASET_INCOMPLETE: ExitCode.CONFIG,
    Reason.REPOSITORY_REFUSED: ExitCode.CONFIG,
    Reason.PREEMPTED: ExitCode.PREEMPTED,
    Reason.INTERNAL: ExitCode.INTERNAL,
}


def _writable(text: str) -> str:
    """The text without lone surrogates: what a message quotes may hold them, and no JSON can."""
    return text.encode("utf-8", "replace").decode()


class Failure(Contract):
    """What failed, where, and what to do about it."""

    reason: Reason
    message: Annotated[str, AfterValidator(_writable)]


class WorkerError(Exception):
    """A failure that ends a command with the exit code of its reason.

    `exit_code` overrides it where the same reason means less: a format error found while a shard is read
    fails that shard (65), found while planning it fails the job (78).
    """

    def __init__(self, reason: Reason, message: str, *, exit_code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.failure = Failure(reason=reason, message=message)
        self.exit_code = exit_code if exit_code is not None else EXIT_CODES[reason]
