"""Every condition type, reason and message of a RephraseJob, in one place.

Reasons of failures that a worker reports are `rephrase_worker.spec.Reason` and are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Literal

from rephrase_operator.api.status import Condition


class ConditionType(StrEnum):
    """Condition types."""

    ACCEPTED = "Accepted"
    """The operator can work with the spec."""
    PLANNED = "Planned"
    """The plan is frozen."""
    WORKERS_READY = "WorkersReady"
    """The pods of the current step run."""
    PROFILE_APPLIED = "ProfileApplied"
    """The workers have the settings of an engine profile, and all that it needs."""
    WORKERS_CURRENT = "WorkersCurrent"
    """The workers were made from the current spec."""
    WITHIN_ERROR_BUDGET = "WithinErrorBudget"
    """The share of errors is below failurePolicy.maxErrorRatio."""
    DIVERSE = "Diverse"
    """No prompt's texts open alike more often than quality.templateCollapse allows."""
    WITHIN_BUDGET = "WithinBudget"
    """Neither the estimate nor what was spent is above cost.maxGpuHours or cost.maxCost."""
    COMPLETE = "Complete"
    """The dataset is complete."""
    FAILED = "Failed"
    """The job has failed."""


class ConditionReason(StrEnum):
    """Reasons of conditions and events."""

    ACCEPTED = "Accepted"
    UNKNOWN_PROMPT = "UnknownPrompt"
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    CONFIG_MAP_KEY_NOT_FOUND = "ConfigMapKeyNotFound"
    INVALID_PROMPT = "InvalidPrompt"
    LOCAL_PATH = "LocalPathNotAllowed"
    INVALID_SPEC = "InvalidSpec"
    UNKNOWN_GPU = "UnknownGpu"
    UNKNOWN_PROFILE = "UnknownProfile"
    MODEL_DOES_NOT_FIT = "ModelDoesNotFit"
    OLD_CHILDREN = "WaitingForOldChildren"
    RECIPE_CHANGED = "RecipeChanged"

    PLANNING = "Planning"
    PLANNED = "Planned"
    PLAN_FAILED = "PlanFailed"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    FINALIZING = "Finalizing"
    FINALIZE_FAILED = "FinalizeFailed"
    MIXING = "Mixing"
    MIX_FAILED = "MixFailed"
    NOTHING_TO_MIX = "NothingToMix"
    PUBLISHING = "Publishing"
    PUBLISH_FAILED = "PublishFailed"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    PROFILE_APPLIED = "ProfileApplied"
    NO_PROFILE = "NoProfile"
    UNKNOWN_MODEL = "UnknownModel"
    SUFFIX_MISSING = "SuffixSpeculationMissing"

    WORKERS_RUNNING = "WorkersRunning"
    WORKERS_STARTING = "WorkersStarting"
    NO_WORKERS = "NoWorkers"
    SCALED_TO_ZERO = "ScaledToZero"
    REFUSED = "Refused"
    PENDING_DEADLINE = "PendingDeadlineExceeded"
    CURRENT = "Current"
    SUSPEND_TO_APPLY = "SuspendToApply"
    WORKERS_TOO_OLD = "WorkersTooOld"

    SHARD_FAILED = "ShardAttemptFailed"
    SHARDS_FAILED = "ShardsFailed"
    GENERATE_FAILED = "GenerateFailed"
    DATASET_INCOMPLETE = "DatasetIncomplete"
    TOO_MANY_ERRORS = "TooManyErrors"
    FEW_ERRORS = "FewErrors"
    TEMPLATE_COLLAPSE = "TemplateCollapse"
    VARIED = "Varied"
    FEW_TEXTS = "FewTexts"
    OVER_BUDGET = "OverBudget"
    WITHIN_BUDGET = "WithinBudget"


Truth = Literal["True", "False", "Unknown"]


def truth(value: bool) -> Truth:
    """A boolean as a condition's status."""
    return "True" if value else "False"


def unknown_prompt(names: Iterable[str], known: Iterable[str]) -> str:
    """Message of UnknownPrompt."""
    return (
        f"No such prompt in the library: {', '.join(names)}. There are {', '.join(known)}. "
        "Correct spec.prompts, or give the prompt a template."
    )


def no_config_map(prompt: str, name: str, key: str) -> str:
    """Message of ConfigMapNotFound."""
    return (
        f"Prompt {prompt}: there is no ConfigMap {name} in the job's namespace. Create it, for example with "
        f"`kubectl create configmap {name} --from-file={key}=FILE`; the job starts when it is there."
    )


def no_config_map_key(prompt: str, name: str, key: str, keys: Iterable[str]) -> str:
    """Message of ConfigMapKeyNotFound."""
    has = ", ".join(sorted(keys)[:8]) or "no keys at all"
    return (
        f"Prompt {prompt}: the ConfigMap {name} has no key {key}; it has {has}. Add the key, or correct "
        "configMapKeyRef; the job starts when the key is there."
    )


def invalid_prompt(prompt: str, name: str, key: str, why: str) -> str:
    """Message of InvalidPrompt for a text in a ConfigMap."""
    return (
        f"Prompt {prompt}: key {key} of the ConfigMap {name} can't be used: {why}. Correct the ConfigMap; "
        "the job starts when it is right."
    )


def invalid_house_prompt(prompt: str, why: str) -> str:
    """Message of InvalidPrompt for a prompt that the installer has added to the library."""
    return (
        f"Prompt {prompt}: the installer's prompt of this name can't be used: {why}. Whoever installs the "
        "operator can correct it (prompts in the chart's values); or give this prompt a template."
    )


def unknown_structure(prompt: str, name: str, known: Iterable[str]) -> str:
    """Message of InvalidPrompt for a structure that nothing checks."""
    return (
        f"Prompt {prompt}: there is no structure {name}. Choose one of {', '.join(known)}, or leave it out."
    )


def nothing_to_drop(prompt: str) -> str:
    """Message of InvalidPrompt for a prompt that drops outputs without a structure and has none."""
    return (
        f"Prompt {prompt}: unstructured is Drop, and neither the job nor the prompt's front matter names a "
        "structure. Set structure, or leave unstructured out."
    )


def prompts_too_large(size: int, limit: int) -> str:
    """Message of InvalidPrompt for prompts that don't fit into one recipe."""
    return (
        f"The prompts take {size} bytes together, and a recipe holds at most {limit}. Shorten them, or "
        "spread them over several jobs."
    )


def prompts_changed(names: Iterable[str], why: str) -> str:
    """Message of RecipeChanged when prompts came from ConfigMaps."""
    return (
        "The ConfigMap with the frozen recipe is gone, and the prompts in the ConfigMap "
        f"{', '.join(sorted(names))} are not those that the job started with. {why} Put the earlier text "
        "back, or create a new job with another output."
    )


def local_paths_refused(fields: Iterable[str]) -> str:
    """Message of LocalPathNotAllowed."""
    return (
        f"{' and '.join(fields)}: an absolute path is on the pod's own disk, which is gone with the pod. Use "
        "s3://, gs://, abfs://, pvc://CLAIM/path or, for a source, hf://. Where every pod has the same "
        "folders, whoever installs the operator can allow paths (worker.allowLocalPaths of the chart)."
    )


def default_claim(claim: str) -> str:
    """What a message adds when the installer's model cache keeps pods from starting."""
    return (
        f"The claim {claim} is the installer's default for caching models (worker.modelCache of the chart): "
        "create it in this namespace, or set spec.worker.modelCacheClaim to another one in a new job."
    )


def too_many_errors(ratio: float, limit: float) -> str:
    """Message of TooManyErrors."""
    return (
        f"{ratio:.1%} of the samples are errors, more than failurePolicy.maxErrorRatio ({limit:.1%}). "
        "status.progress.errors counts them by code. To go on, raise maxErrorRatio above this share."
    )


def template_collapse(prompt: str, opening: str, share: float, limit: float, *, suspends: bool) -> str:
    """Message of TemplateCollapse."""
    message = (
        f'{share:.1%} of the texts of prompt {prompt} begin with "{opening}", more than '
        f"quality.templateCollapse.maxShare ({limit:.1%}). Such data trains worse than it looks: try a "
        "higher temperature, another wording or another model in a new job."
    )
    if suspends:
        message += f" To go on with this one, raise maxShare above {share:.4g} or set action to Warn."
    return message


def shards_failed(failed: int, total: int, details: str) -> str:
    """Message of ShardsFailed."""
    return f"{failed} of {total} shards failed; the samples of the others are complete. {details}".strip()


def more_attempts_failed(count: int) -> str:
    """Message of ShardAttemptFailed for those that no event of their own tells of."""
    return (
        f"{count} more attempts failed. "
        "status.failures explains the worst shards, status.attempts counts all."
    )


def workers_too_old(fields: Iterable[str], image: str) -> str:
    """Message of WorkersTooOld."""
    return (
        f"The job's worker image {image} is older than this operator and does not know {', '.join(fields)}: "
        "the setting is left out, the rest applies. A new job gets the operator's current image."
    )


def nothing_to_mix(*, old_image: bool) -> str:
    """Message of NothingToMix."""
    if old_image:
        return (
            "The job's worker image is older than this operator and can't mix. The dataset is complete: mix "
            "it with `rephrase mix`, or with a new job on a current image."
        )
    return "No output has any text, so there is nothing to mix; status.progress.errors counts the errors."


def mix_kept(uri: str) -> str:
    """What a message adds when mixing fails: nothing of the dataset is lost."""
    return f"The dataset is complete at {uri}. Mend the cause, then mix it with `rephrase mix {uri}`."


def mixed(share: float, asked: float, rows: int, short: str) -> str:
    """What the job's last message says of its mix."""
    return f"Mixed: {rows} rows, {share:.1%} of the tokens synthetic ({asked:.1%} asked for). {short}".strip()


def dataset_kept(uri: str, repository: str) -> str:
    """What a message adds when publishing fails: nothing of the dataset is lost."""
    return (
        f"The dataset is complete at {uri}, and what is published is kept. Mend the cause, then publish "
        f"the rest with `rephrase publish {uri} --to {repository}`."
    )


def engine_kept(why: str) -> str:
    """Message of a change of the engine that can't be followed."""
    return f"{why} Until then the workers keep the settings of status.engine."


def pending_deadline(seconds: int, why: str) -> str:
    """Message of PendingDeadlineExceeded."""
    return f"No pod could run for failurePolicy.pendingDeadlineSeconds ({seconds} s). {why}".strip()


STARTED_WITHOUT_PROFILES = (
    "The job was started by an operator that knew no profiles, and keeps the settings of spec.engine. A "
    "change of spec.engine brings the profile in."
)
OLD_CHILDREN = (
    "Jobs or a ConfigMap of this name belong to something else: an earlier job that is still being removed, "
    "or objects that you made. The job starts when they are gone."
)
NAMESPACE_ENDS = (
    "The namespace is being deleted. The operator deletes the job's Kubernetes Jobs, because their pods "
    "would keep the namespace from ending."
)
RECIPE_CHANGED = (
    "The ConfigMap with the frozen recipe is gone, and the prompt library has changed since. Create a new "
    "job with another output."
)
SUSPEND_TO_APPLY = (
    "The spec asks for other worker pods than those that run. Set suspend to true, wait for phase "
    "Suspended, and set it to false again. Committed work is kept."
)


def with_condition(
    conditions: list[Condition],
    kind: ConditionType,
    holds: bool | None,
    reason: str,
    message: str,
    *,
    now: datetime,
    generation: int,
) -> list[Condition]:
    """The conditions with one of them set. Its transition time changes only if its status changes."""
    status: Truth = "Unknown" if holds is None else truth(holds)
    old = next((condition for condition in conditions if condition.type == kind), None)
    since = old.last_transition_time if old is not None and old.status == status else now
    new = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=since,
    )
    if old is None:
        return [*conditions, new]
    return [new if condition.type == kind else condition for condition in conditions]
