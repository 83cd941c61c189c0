"""What the operator reports: the status of a RephraseJob.

Only the operator writes it, through the status subresource. Everything that has to survive a restart of the
operator is in it.
"""

from rephrase_operator.api.status.dataset import DatasetSummary
from rephrase_operator.api.status.engine import EngineStatus
from rephrase_operator.api.status.estimate import CostStatus, EstimateStatus, Range
from rephrase_operator.api.status.job import (
    RephraseJobStatus,
    parse_status,
)
from rephrase_operator.api.status.mix import MixedPrompt, MixStatus
from rephrase_operator.api.status.part import (
    Condition,
    Message,
    Part,
    Phase,
    Word,
)
from rephrase_operator.api.status.progress import (
    ENDED_LIMIT,
    ERROR_CODES_LIMIT,
    FAILURES_LIMIT,
    INTERVALS_LIMIT,
    NODES_LIMIT,
    PODS_LIMIT,
    REASONS_LIMIT,
    Counted,
    FinishedShards,
    Generating,
    PlanSummary,
    Progress,
    ShardAttempts,
    ShardFailure,
    Shards,
)
from rephrase_operator.api.status.published import Published
from rephrase_operator.api.status.quality import (
    SUMMED_OPENINGS,
    Collapse,
    PromptTexts,
    QualitySums,
)

__all__ = [
    "ENDED_LIMIT",
    "ERROR_CODES_LIMIT",
    "FAILURES_LIMIT",
    "INTERVALS_LIMIT",
    "NODES_LIMIT",
    "PODS_LIMIT",
    "REASONS_LIMIT",
    "SUMMED_OPENINGS",
    "Collapse",
    "Condition",
    "CostStatus",
    "Counted",
    "DatasetSummary",
    "EngineStatus",
    "EstimateStatus",
    "FinishedShards",
    "Generating",
    "Message",
    "MixStatus",
    "MixedPrompt",
    "Part",
    "Phase",
    "PlanSummary",
    "Progress",
    "PromptTexts",
    "Published",
    "QualitySums",
    "Range",
    "RephraseJobStatus",
    "ShardAttempts",
    "ShardFailure",
    "Shards",
    "Word",
    "parse_status",
]
