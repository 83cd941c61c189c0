"""What a user can ask for: the spec of a RephraseJob.

It is composed of the worker's contract (`rephrase_worker.spec`), so that the API, the recipe and the engine's
settings can't drift apart. `crd` turns these models into the CustomResourceDefinition: field descriptions
become `kubectl explain`, limits and `Rules` become validation by the API server.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rephrase_operator.api.cel import Rule, Spec
from rephrase_operator.api.engine import Engine
from rephrase_operator.api.policies import Cost, FailurePolicy, QualityPolicy
from rephrase_operator.api.prompts import PromptChoice
from rephrase_operator.api.worker import Worker
from rephrase_worker import spec

GROUP = "rephrase.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "RephraseJob"
PLURAL = "rephrasejobs"

NAME_LIMIT = 40
"""Longest name of a RephraseJob: `<name>-generate-<index>` has to be a DNS label of at most 63 characters."""


class RephraseJobSpec(Spec):
    """What to rephrase, with what, and where to.

    source, prompts, model, sampling, output, sharding, mix and publish are the recipe. They can't change
    once the job has started.
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
        Rule(
            "!has(self.mix) || !self.prompts.exists(prompt, prompt.name == 'mix')",
            "a prompt can't be named mix in a job that mixes: the mix has the folder of this name",
            ".prompts",
        ),
        Rule(
            "!has(self.mix) || !has(self.mix.share) || "
            "self.mix.share.all(name, self.prompts.exists(prompt, prompt.name == name))",
            "mix.share has a name that none of the prompts has",
            ".mix.share",
        ),
    )

    source: spec.Source = Field(description="Where the documents come from.")
    prompts: list[PromptChoice] = Field(
        min_length=1,
        max_length=spec.PROMPTS_LIMIT,
        description="Prompts that every document is rephrased with. Each gets a folder of its own.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    model: spec.Model = Field(description="The generator model.")
    sampling: spec.Sampling = Field(default=spec.Sampling(), description="How the model samples.")
    output: spec.Output = Field(description="Where the dataset goes.")
    sharding: spec.Sharding = Field(default=spec.Sharding(), description="How much work a shard is.")
    engine: Engine = Field(
        default=Engine(),
        description="The engine's settings; what is unset comes from the model's profile. "
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
    cost: Cost | None = Field(
        default=None,
        description="What GPUs cost, and how much may be spent. May change at any time.",
    )
    mix: spec.Mix | None = Field(
        default=None,
        description="Mixes the finished outputs with original data, into OUTPUT/mix: outputs alone train "
        "worse than a mix. Unset: they are not mixed.",
    )
    publish: spec.Publish | None = Field(
        default=None,
        description="Puts the finished dataset on the Hugging Face Hub. Unset: it stays where it is.",
    )
    quality: QualityPolicy = Field(
        default=QualityPolicy(), description="What is watched in the texts. May change at any time."
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="Deletes the RephraseJob, never the dataset, this long after it has finished. "
        "Unset: keep it.",
    )


RECIPE_FIELDS = ("source", "prompts", "model", "sampling", "output", "sharding", "mix", "publish")


def _frozen(name: str) -> Rule:
    """A rule of its own for each field, so that the refusal names the one that was changed."""
    new, old = f"self.spec.{name}", f"oldSelf.spec.{name}"
    same = f"{new} == {old}"
    if RephraseJobSpec.model_fields[name].default is None:
        same = f"(has({new}) ? has({old}) && {same} : !has({old}))"
    return Rule(
        f"!has(oldSelf.status) || !has(oldSelf.status.startTime) || {same}",
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
