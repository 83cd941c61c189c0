"""The contract between operator and worker: what is asked for, and what is reported back.

The operator builds the RephraseJob API from these models and writes a `Recipe` and `EngineSettings` into a
ConfigMap; the worker reads them and answers with reports (`/progress` and the container's termination
message) and an exit code. Nothing else crosses the line, so this package imports nothing but pydantic: it
has to stay cheap for the operator and free of vLLM.

JSON uses camelCase, as Kubernetes does; Python uses snake_case. Unknown fields are errors.
"""

from rephrase_worker.spec.contract import (
    CONTRACT_VERSION,
    ENGINE_FILE,
    RECIPE_FILE,
    WORKER_PORT,
    Contract,
    Since,
    Text,
    Uri,
)
from rephrase_worker.spec.engine import (
    EngineSettings,
    Speculation,
)
from rephrase_worker.spec.failures import (
    EXIT_CODES,
    ExitCode,
    Failure,
    Reason,
    WorkerError,
)
from rephrase_worker.spec.mix import (
    DEFAULT_SHARE,
    MIX_FOLDER,
    NO_MIX,
    Mix,
    MixReport,
    Share,
)
from rephrase_worker.spec.publish import Publish
from rephrase_worker.spec.quality import OPENING_CHARACTERS, REPORTED_OPENINGS, PromptQuality
from rephrase_worker.spec.recipe import (
    APART_FROM_SAMPLES,
    PLACEHOLDER,
    PROMPTS_LIMIT,
    ExpectedTokens,
    Model,
    Output,
    Owner,
    Prompt,
    Recipe,
    Sampling,
    Sharding,
    StructureName,
    SystemMessage,
    Template,
    Unstructured,
)
from rephrase_worker.spec.reports import (
    PROGRESS_LIMIT_BYTES,
    SKIPPED_CHARACTERS,
    TERMINATION_LIMIT_BYTES,
    FinalReport,
    PlanReport,
    PublishReport,
    Report,
    ShardReport,
)
from rephrase_worker.spec.source import Source
from rephrase_worker.spec.statistics import BASIS_CHARACTERS, SHARD_GROUPS, ShardGroup, Statistics

__all__ = [
    "APART_FROM_SAMPLES",
    "BASIS_CHARACTERS",
    "CONTRACT_VERSION",
    "DEFAULT_SHARE",
    "ENGINE_FILE",
    "EXIT_CODES",
    "MIX_FOLDER",
    "NO_MIX",
    "OPENING_CHARACTERS",
    "PLACEHOLDER",
    "PROGRESS_LIMIT_BYTES",
    "PROMPTS_LIMIT",
    "RECIPE_FILE",
    "REPORTED_OPENINGS",
    "SHARD_GROUPS",
    "SKIPPED_CHARACTERS",
    "TERMINATION_LIMIT_BYTES",
    "WORKER_PORT",
    "Contract",
    "EngineSettings",
    "ExitCode",
    "ExpectedTokens",
    "Failure",
    "FinalReport",
    "Mix",
    "MixReport",
    "Model",
    "Output",
    "Owner",
    "PlanReport",
    "Prompt",
    "PromptQuality",
    "Publish",
    "PublishReport",
    "Reason",
    "Recipe",
    "Report",
    "Sampling",
    "ShardGroup",
    "ShardReport",
    "Sharding",
    "Share",
    "Since",
    "Source",
    "Speculation",
    "Statistics",
    "StructureName",
    "SystemMessage",
    "Template",
    "Text",
    "Unstructured",
    "Uri",
    "WorkerError",
]
