"""`spec.worker`: the job's pods."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rephrase_operator.api.cel import Rule, Spec
from rephrase_operator.api.environment import EnvVar
from rephrase_operator.api.names import LABEL_KEY_PATTERN, LabelKey, LabelValue, ObjectName, Quantity


def _keys(name: str, message: str) -> Rule:
    """The keys of a map are names such as `cpu` or `example.com/gpu`."""
    return Rule(
        f"!has(self.{name}) || self.{name}.all(key, key.size() <= 317 && key.matches('{LABEL_KEY_PATTERN}'))",
        f"{name}: {message}",
        f".{name}",
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
    gpu: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="The GPUs that workers get, such as H100-80GB or NVIDIA-L40S: the engine's profile, the "
        "expected speed and the memory go by it. It chooses no nodes: that is for nodeSelector. Unset: "
        "what nodeSelector says under nvidia.com/gpu.product, or else an H100 with 80 GB.",
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
