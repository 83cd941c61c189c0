"""The recipe: everything that decides what the dataset will be."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rephrase_worker.spec.contract import Contract, Since, Text, Uri
from rephrase_worker.spec.mix import MIX_FOLDER, Mix, Share
from rephrase_worker.spec.publish import Publish
from rephrase_worker.spec.source import Source

PROMPTS_LIMIT = 32
"""Most prompts of a job."""

PLACEHOLDER = "{{document}}"
"""What a prompt template holds exactly once, where the document's text goes."""

Template = Annotated[str, Field(min_length=1, max_length=16384)]
SystemMessage = Annotated[str, Field(min_length=1, max_length=4096)]
StructureName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$", max_length=40)]
Unstructured = Literal["Keep", "Drop"]
ExpectedTokens = Annotated[int, Field(ge=1, le=131_072)]
"""Values of a prompt, with the limits that hold in the API, in the library's files and in recipes."""


class Prompt(Contract):
    """A prompt template with its text resolved, as frozen in the recipe."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
    template: Template
    system: Annotated[SystemMessage | None, Since(2)] = None
    """The system message of the conversation. None: there is none."""
    structure: Annotated[StructureName | None, Since(2)] = None
    """The structure checker that tells whether an output has the form that the prompt asks for."""
    unstructured: Annotated[Unstructured, Since(2)] = "Keep"
    """What becomes of outputs that don't have the structure."""
    expected_tokens: Annotated[ExpectedTokens | None, Since(2)] = None
    """Mean length of an output in tokens, as far as it is known before the first one."""
    mix_share: Annotated[Share | None, Since(2)] = None
    """Share of the outputs in a mix that says nothing else about this prompt."""

    @model_validator(mode="after")
    def _knows_what_to_drop(self) -> Prompt:
        if self.drops and self.structure is None:
            raise ValueError(
                f"prompt {self.name} drops outputs without the structure, and names no structure: set "
                "structure, or leave unstructured at Keep"
            )
        return self

    @property
    def drops(self) -> bool:
        """Whether outputs without the structure are left out of the dataset."""
        return self.unstructured == "Drop"

    @property
    def hash(self) -> str:
        """16 hex digits of a SHA-256 of template and system message: tells samples of two wordings apart.

        Without a system message it is that of the template alone, as it was in the first version.
        """
        template = hashlib.sha256(self.template.encode())
        if self.system is None:
            return template.hexdigest()[:16]
        both = template.digest() + hashlib.sha256(self.system.encode()).digest()
        return hashlib.sha256(both).hexdigest()[:16]


class Model(Contract):
    """The generator model."""

    name: Uri = Field(
        description="Id on the Hugging Face Hub (OWNER/NAME, or hf://OWNER/NAME), or a folder that holds "
        "such a model: pvc://CLAIM/path, or the absolute path of one in the worker's image."
    )
    revision: Text | None = Field(
        default=None, description="Branch, tag or commit on the Hub; pinned to a commit when planned."
    )
    chat_template_args: Annotated[dict[str, Annotated[str, Field(max_length=256)]], Since(2)] = Field(
        default_factory=dict,
        max_length=16,
        description="Arguments of the model's chat template. true, false, null and numbers are meant as "
        "such, anything else as text. A template that looks at enable_thinking gets false unless it is set "
        "here: what a model thinks before it answers is no training text.",
    )


class Sampling(Contract):
    """How the model samples. The names are vLLM's."""

    temperature: float = Field(default=1.0, ge=0.0, le=2.0, description="0 is greedy.")
    top_p: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        description="Samples from the likeliest tokens that hold this much probability.",
    )
    top_k: int = Field(default=0, ge=0, le=1_000_000, description="0 looks at every token.")
    min_p: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Drops tokens below this share of the likeliest one's probability.",
    )
    repetition_penalty: float = Field(
        default=1.0, gt=0.0, le=2.0, description="Above 1 makes tokens that were used already less likely."
    )
    max_tokens: int = Field(default=2048, ge=1, le=131_072, description="Longest output, in tokens.")
    stop: list[Text] = Field(default_factory=list, max_length=8, description="Strings that end an output.")
    rollouts: int = Field(default=1, ge=1, le=64, description="Outputs per document and prompt.")
    seed: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="Seeds every request with a number of its own. Slows the sampler and does not make text "
        "reproducible across batches; unset is right for most jobs.",
    )


class Output(Contract):
    """Where the dataset goes, and what of the source goes with it."""

    uri: Uri = Field(
        description="A folder: s3://BUCKET/path, gs://BUCKET/path, abfs://CONTAINER/path, pvc://CLAIM/path "
        "(a PersistentVolumeClaim that all the job's pods can write) or, where the installer of the operator "
        "allows it, an absolute path. It belongs to one job: a second recipe on the same folder is refused."
    )
    columns: Annotated[list[Text], Since(2)] = Field(
        default_factory=list,
        max_length=64,
        description="Columns or keys of the source that every sample carries along, with the types that "
        "planning finds. One that has the name of a sample's own column gets the prefix source_.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Sharding(Contract):
    """How much work a shard is. Every shard is one pod's work and starts one engine."""

    documents_per_shard: int | None = Field(
        default=None,
        ge=1,
        le=10**9,
        description="Documents per shard, all shards equal. "
        "Unset: about one GPU-hour a shard, estimated from the model and the source, "
        "and the last shards taper to a tenth so that the job's tail is short.",
    )


APART_FROM_SAMPLES = ("job", "parallelism", "tokens_per_second_per_gpu", "mix", "publish")
"""Parts of a recipe that don't decide what the samples will be."""


class Owner(Contract):
    """The job that a destination belongs to."""

    namespace: str
    name: str


class Recipe(Contract):
    """Everything that decides what the dataset will be. Frozen when the job starts."""

    schema_version: Literal[1] = 1
    job: Owner
    source: Source
    prompts: list[Prompt] = Field(min_length=1, max_length=PROMPTS_LIMIT)
    model: Model
    sampling: Sampling = Sampling()
    output: Output
    sharding: Sharding = Sharding()
    parallelism: int = Field(
        default=1,
        ge=1,
        description="Workers wanted when the job was planned: the planner tapers the tail by it.",
    )
    tokens_per_second_per_gpu: Annotated[int | None, Since(2)] = Field(
        default=None,
        ge=1,
        description="Output tokens expected when the job was planned: the planner sizes shards by it. Unset: "
        "what the model's profile says for an H100.",
    )
    publish: Annotated[Publish | None, Since(2)] = None
    mix: Annotated[Mix | None, Since(2)] = None
    """None: the outputs are not mixed."""

    @model_validator(mode="after")
    def _has_room_for_the_mix(self) -> Recipe:
        if self.mix is not None and any(prompt.name == MIX_FOLDER for prompt in self.prompts):
            raise ValueError(f"a prompt can't be named {MIX_FOLDER}: the mix has the folder of this name")
        return self

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON of all that decides about the dataset.

        The job's name does not, nor does a guess at an output's length or a share to mix it with: the library
        may correct them without making the job that wrote a destination a stranger there.
        """
        advice = [
            ("prompts", position, name)
            for position in range(len(self.prompts))
            for name in ("expected_tokens", "mix_share")
        ]
        apart = [(name,) for name in APART_FROM_SAMPLES]
        return hashlib.sha256(self.canonical(*apart, *advice).encode()).hexdigest()[:16]

    @property
    def samples_per_document(self) -> int:
        """Outputs asked for per document: prompts times rollouts."""
        return len(self.prompts) * self.sampling.rollouts
