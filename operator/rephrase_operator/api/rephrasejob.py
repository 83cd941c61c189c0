"""What a user can ask for: the spec of a RephraseJob.

It is composed of the worker's contract (`rephrase_worker.spec`), so that the API, the recipe and the engine's
settings can't drift apart. `crd` turns these models into the CustomResourceDefinition: field descriptions
become `kubectl explain`, limits and `Rules` become validation by the API server.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rephrase_operator.api.cel import Rule, Spec
from rephrase_operator.api.environment import EnvVar
from rephrase_worker import spec

GROUP = "rephrase.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "RephraseJob"
PLURAL = "rephrasejobs"

NAME_LIMIT = 40
"""Longest name of a RephraseJob: `<name>-generate-<index>` has to be a DNS label of at most 63 characters."""

_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
_QUANTITY = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$"
# What the API server accepts in a pod. A Job that it refuses is found only when a step begins.

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=_SUBDOMAIN)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=_LABEL_KEY)]
LabelValue = Annotated[str, Field(max_length=63, pattern=_LABEL_VALUE)]
Quantity = Annotated[
    int | str, Field(json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": _QUANTITY})
]


def _keys(name: str, message: str) -> Rule:
    """The keys of a map are names such as `cpu` or `example.com/gpu`."""
    return Rule(
        f"!has(self.{name}) || self.{name}.all(key, key.size() <= 317 && key.matches('{_LABEL_KEY}'))",
        f"{name}: {message}",
        f".{name}",
    )


class PromptChoice(Spec):
    """A prompt of the library, by its name, or a prompt of your own with its template."""

    rules = (
        Rule(
            "!has(self.template) || self.template.split('{{document}}').size() == 2",
            "template must contain {{document}} exactly once: it is where the document's text goes",
            ".template",
        ),
    )

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$", max_length=40)] = Field(
        description="Name of the prompt, and of its folder at the destination. Without a template it is "
        "looked up in the prompt library."
    )
    template: Annotated[str, Field(min_length=1, max_length=16384)] | None = Field(
        default=None,
        description="The prompt's text, with {{document}} exactly once where the document goes. With the "
        "document before the instruction, the prompts of one document share its KV cache.",
    )


class Resources(Spec):
    """Requests and limits, as in a pod. The GPUs that the engine needs are added by the operator."""

    rules = tuple(
        rule
        for name in ("requests", "limits")
        for rule in (
            _keys(name, "keys must be names of resources, such as cpu, memory or example.com/gpu"),
            Rule(
                f"!has(self.{name}) || self.{name}.all(key, type(self.{name}[key]) != int || "
                f"self.{name}[key] >= 0)",
                f"{name} must not be negative",
                f".{name}",
            ),
        )
    )

    requests: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=16,
        description="What the scheduler sets aside, such as cpu and memory.",
    )
    limits: dict[str, Quantity] = Field(
        default_factory=dict, max_length=16, description="What a worker may use at most."
    )


class Toleration(Spec):
    """A taint that the job's pods tolerate, as in a pod."""

    rules = (
        Rule(
            "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            "operator must be Exists when key is unset: it tolerates every taint",
            ".operator",
        ),
        Rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "value must be unset when operator is Exists",
            ".value",
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds is for effect NoExecute only",
            ".tolerationSeconds",
        ),
    )

    key: LabelKey | None = Field(default=None, description="Key of the taint; unset: every taint.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Unset: Equal.")
    value: LabelValue | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; unset: every effect."
    )
    toleration_seconds: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="How long a NoExecute taint is tolerated; unset: for ever.",
    )


class Worker(Spec):
    """The job's pods. A change takes effect in a new Job: suspend, change, resume."""

    rules = (_keys("nodeSelector", "keys must be labels of nodes"),)

    resources: Resources = Field(
        default=Resources(), description="CPU and memory of a worker; GPUs follow from the engine."
    )
    step_resources: Resources = Field(
        default=Resources(),
        description="CPU and memory of the pods that plan and finalize. Unset: the installer's choice, which "
        "requests and limits given here replace as a whole.",
    )
    node_selector: dict[str, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Labels of the nodes that workers may run on."
    )
    tolerations: list[Toleration] = Field(
        default_factory=list, max_length=32, description="Taints that the job's pods tolerate."
    )
    env: list[EnvVar] = Field(
        default_factory=list,
        max_length=64,
        description="Environment of the job's pods: "
        "credentials and settings of storage, the Hub and the runtime.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    model_cache_claim: ObjectName | None = Field(
        default=None,
        description="PersistentVolumeClaim that holds models of the Hub for all pods of the job: the model "
        "is fetched into it once, while planning. It has to allow as many pods as there are workers. Unset: "
        "every worker fetches the model into a scratch volume of its own.",
    )
    termination_grace_period_seconds: int = Field(
        default=120,
        ge=10,
        le=3600,
        description="How long a worker that is told to stop may finish and commit what is in flight.",
    )
    priority_class_name: ObjectName | None = Field(
        default=None, description="PriorityClass of the job's pods."
    )


class FailurePolicy(Spec):
    """When to give up on a shard, and on the job."""

    max_attempts_per_shard: int = Field(
        default=4, ge=1, le=100, description="A shard is abandoned after this many failed attempts."
    )
    max_failed_shards: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="Stop generating if more shards than this have failed. Unset: every shard gets its turn.",
    )
    max_error_ratio: float = Field(
        default=0.05,
        ge=0.0,
        le=1.0,
        description="Suspend the job if more than this share of its samples are errors. It goes on when "
        "maxErrorRatio is raised above the share reached. 1 turns the check off.",
    )
    min_documents: int = Field(
        default=1000, ge=1, le=10**9, description="maxErrorRatio is checked from this many documents on."
    )
    pending_deadline_seconds: int = Field(
        default=1800,
        ge=10,
        le=2_592_000,
        description="The job fails when no pod of it could start for this long: no such GPU, no such image.",
    )


class RephraseJobSpec(Spec):
    """What to rephrase, with what, and where to.

    source, prompts, model, sampling, output and sharding are the recipe. They can't change once the job
    has started.
    """

    rules = (
        Rule(
            "!has(self.engine.maxModelLen) || self.sampling.maxTokens < self.engine.maxModelLen",
            "sampling.maxTokens must be smaller than engine.maxModelLen: the context holds prompt and output",
            ".sampling.maxTokens",
        ),
        Rule(
            "!has(self.engine.speculation) || self.sampling.minP == 0.0",
            "sampling.minP and engine.speculation exclude each other: vLLM refuses every request with both",
            ".engine.speculation",
        ),
    )

    source: spec.Source = Field(description="Where the documents come from.")
    prompts: list[PromptChoice] = Field(
        min_length=1,
        max_length=32,
        description="Prompts that every document is rephrased with. Each gets a folder of its own.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    model: spec.Model = Field(description="The generator model.")
    sampling: spec.Sampling = Field(default=spec.Sampling(), description="How the model samples.")
    output: spec.Output = Field(description="Where the dataset goes.")
    sharding: spec.Sharding = Field(default=spec.Sharding(), description="How much work a shard is.")
    engine: spec.EngineSettings = Field(
        default=spec.EngineSettings(),
        description="The engine's settings. "
        "They may change while the job runs: workers that start afterwards use them. "
        "A change of the number of GPUs per worker takes effect by suspending and resuming.",
    )
    worker: Worker = Field(
        default=Worker(),
        description="The job's pods. Changes take effect by suspending and resuming the job.",
    )
    parallelism: int = Field(
        default=1,
        ge=0,
        le=10_000,
        description="Workers at a time. GPUs are parallelism x tensorParallelSize x pipelineParallelSize. "
        "May change at any time (kubectl scale).",
    )
    suspend: bool = Field(
        default=False,
        description="Stops the workers; what they have committed is kept. May change at any time.",
    )
    failure_policy: FailurePolicy = Field(
        default=FailurePolicy(), description="When to give up on a shard, and on the job."
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="Deletes the RephraseJob, never the dataset, this long after it has finished. "
        "Unset: keep it.",
    )


RECIPE_FIELDS = ("source", "prompts", "model", "sampling", "output", "sharding")


def _frozen(name: str) -> Rule:
    """A rule of its own for each field, so that the refusal names the one that was changed."""
    return Rule(
        f"!has(oldSelf.status) || !has(oldSelf.status.startTime) || self.spec.{name} == oldSelf.spec.{name}",
        f"{name} can't change once the job has started: create a job with another name and another output",
        f".spec.{name}",
    )


ROOT_RULES = (
    Rule(
        f"self.metadata.name.size() <= {NAME_LIMIT} && "
        f"self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        f"must be a DNS label (no dots) of at most {NAME_LIMIT} characters: pods are named after it",
        ".metadata.name",
    ),
    *(_frozen(name) for name in RECIPE_FIELDS),
)


def parse_spec(raw: dict[str, Any]) -> RephraseJobSpec:
    """The spec of an object as the API server returns it. Raises pydantic.ValidationError."""
    return RephraseJobSpec.model_validate(raw)
