"""The contract between operator and worker: what is asked for, and what is reported back.

The operator builds the RephraseJob API from these models and writes a `Recipe` and `EngineSettings` into a
ConfigMap; the worker reads them and answers with reports (`/progress` and the container's termination
message) and an exit code. Nothing else crosses the line, so this module imports nothing but pydantic: it
has to stay cheap for the operator and free of vLLM.

JSON uses camelCase, as Kubernetes does; Python uses snake_case. Unknown fields are errors.

Versions: a field that is added after a release is marked `Since(n)`, has a default, and n becomes
CONTRACT_VERSION. A worker of an older version is never written such a field (`to_json(version)`), and its
default changes no hash. Fields are never removed or renamed, and an old field gets no new kinds of values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

SCHEMA_VERSION = 1
"""Version of recipe, plan, segments, manifests, samples and reports.

A job keeps its worker image to the end.
"""

PLACEHOLDER = "{{document}}"
"""What a prompt template holds exactly once, where the document's text goes."""

RECIPE_FILE = "recipe.json"
ENGINE_FILE = "engine.json"
"""Names of the two files (keys of the ConfigMap) that the worker's commands are given."""

WORKER_PORT = 8080
"""Port of `/metrics`, `/progress` and `/healthz` on every pod that generates."""

PROGRESS_LIMIT_BYTES = 64 * 1024
TERMINATION_LIMIT_BYTES = 2 * 1024
"""Most that the operator reads of `/progress`, and most that a worker writes as termination message."""

SKIPPED_CHARACTERS = 300
"""Most that a plan's report says of what was passed over."""

Text = Annotated[str, Field(min_length=1, max_length=256)]
Uri = Annotated[str, Field(min_length=1, max_length=1024)]


CONTRACT_VERSION = 1
"""Version of this contract: the highest `Since` of any field. A worker tells the operator with its plan."""


@dataclass(frozen=True)
class Since:
    """Marks a field that did not exist in the first version of the contract."""

    version: int


class Contract(BaseModel):
    """Base of every model that crosses the line between operator and worker."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_json(self, version: int = CONTRACT_VERSION) -> str:
        """The JSON form for a reader of this version: camelCase, unset optional fields left out."""
        later = [
            field.path for field in _later_fields(self) if field.since > version or field.has_its_default
        ]
        return self.model_dump_json(by_alias=True, exclude_none=True, exclude=_tree(later))

    def unknown_to(self, version: int) -> list[str]:
        """The fields, such as `a.b`, that are set and that a reader of this version does not know."""
        return [
            ".".join(str(part) if isinstance(part, int) else to_camel(part) for part in field.path)
            for field in _later_fields(self)
            if field.since > version and not field.has_its_default
        ]

    def canonical(self, *without: str) -> str:
        """The JSON form for hashes, the same in every version that knows the fields that are set."""
        later = [field.path for field in _later_fields(self) if field.has_its_default]
        return self.model_dump_json(by_alias=True, exclude=_tree([*later, *((name,) for name in without)]))


Path = tuple[str | int, ...]


@dataclass(frozen=True)
class _LaterField:
    """A field that did not exist in the first version, of one object."""

    path: Path
    since: int
    has_its_default: bool


def _later_fields(value: object, path: Path = ()) -> Iterator[_LaterField]:
    """Every such field of an object and of all that is in it."""
    if isinstance(value, Contract):
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            since = max((mark.version for mark in field.metadata if isinstance(mark, Since)), default=1)
            if since > 1:
                default = field.get_default(call_default_factory=True, validated_data={})
                yield _LaterField((*path, name), since, inner == default)
            yield from _later_fields(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _later_fields(inner, (*path, position))


def _tree(paths: list[Path]) -> dict[Any, Any]:
    """Paths as pydantic wants to be told what to exclude."""
    tree: dict[Any, Any] = {}
    for path in sorted(paths, key=len):
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if node is True:
                break  # The whole of it is excluded.
        else:
            node[path[-1]] = True
    return tree


class Source(Contract):
    """Where the documents come from."""

    uri: Uri = Field(
        description="A file, a folder or a glob: s3://BUCKET/path, gs://BUCKET/path, abfs://CONTAINER/path, "
        "hf://datasets/OWNER/NAME/path, hf://buckets/OWNER/NAME/path, pvc://CLAIM/path (a "
        "PersistentVolumeClaim of the job's namespace) or, where the installer of the operator allows it, an "
        "absolute path. Credentials never go into the URI."
    )
    format: Literal["auto", "parquet", "jsonl"] = Field(
        default="auto",
        description="auto goes by suffix: .parquet or .pq; .jsonl, .ndjson or .json, as .gz, .zst, "
        ".bz2 or .xz. parquet and jsonl also read files without such a suffix.",
    )
    text_field: Text = Field(default="text", description="Column or key that holds a document's text.")
    id_field: Text | None = Field(
        default=None,
        description="Column or key that holds a document's id. Ids may repeat: the key of a document is its "
        "file and position. Unset: the file's name and the position.",
    )
    revision: Text | None = Field(
        default=None,
        description="Branch, tag or commit of an hf:// dataset; pinned to a commit when planned.",
    )
    max_documents: int | None = Field(
        default=None,
        ge=1,
        le=10**12,
        description="Take only about this many documents, from the first file on.",
    )


class Prompt(Contract):
    """A prompt template with its text resolved, as frozen in the recipe."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
    template: Annotated[str, Field(min_length=1, max_length=16384)]

    @property
    def hash(self) -> str:
        """First 16 hex digits of the template's SHA-256: tells samples of two wordings apart."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:16]


class Model(Contract):
    """The generator model."""

    name: Uri = Field(
        description="Id on the Hugging Face Hub (OWNER/NAME, or hf://OWNER/NAME), or a folder that holds "
        "such a model: pvc://CLAIM/path, or the absolute path of one in the worker's image."
    )
    revision: Text | None = Field(
        default=None, description="Branch, tag or commit on the Hub; pinned to a commit when planned."
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
    """Where the dataset goes."""

    uri: Uri = Field(
        description="A folder: s3://BUCKET/path, gs://BUCKET/path, abfs://CONTAINER/path, pvc://CLAIM/path "
        "(a PersistentVolumeClaim that all the job's pods can write) or, where the installer of the operator "
        "allows it, an absolute path. It belongs to one job: a second recipe on the same folder is refused."
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


class Speculation(Contract):
    """Speculative decoding. Pays for small models with predictable output, costs large ones 8 to 16%."""

    method: Literal["ngram", "suffix"] = Field(
        description="Where the guesses come from: the prompt (ngram), or earlier outputs as well (suffix), "
        "for which the worker's image has to have arctic-inference: those of this project don't."
    )
    num_speculative_tokens: int = Field(ge=1, le=128, description="Tokens guessed at a time.")
    prompt_lookup_max: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="ngram only: how many tokens have to match for a guess. Unset: 5. vLLM takes it for its "
        "prompt_lookup_min too.",
    )


class EngineSettings(Contract):
    """The engine's settings. May change while the job runs; workers that start afterwards use them.

    Only these vLLM arguments are offered: none of them runs code or carries a secret. Unset means the
    engine's own default.
    """

    backend: Literal["vllm", "simulated"] = Field(
        default="vllm",
        description="simulated writes placeholder text without any model: "
        "to try a pipeline out without a GPU.",
    )
    tensor_parallel_size: int = Field(default=1, ge=1, le=64, description="GPUs that share each layer.")
    pipeline_parallel_size: int = Field(
        default=1, ge=1, le=64, description="GPUs that share the layers in turn."
    )
    max_model_len: int | None = Field(
        default=None, ge=64, le=1_048_576, description="Context length in tokens: prompt and output together."
    )
    max_num_seqs: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Sequences in one batch; more is faster until the KV cache is full.",
    )
    max_num_batched_tokens: int | None = Field(
        default=None,
        ge=64,
        le=1_048_576,
        description="Tokens in one step; more speeds prefill and takes memory.",
    )
    gpu_memory_utilization: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Share of the GPU's memory; above 0.95 risks running out of it.",
    )
    kv_cache_memory_bytes: int | None = Field(
        default=None,
        ge=1_048_576,
        le=2**43,
        description="Size of the KV cache, instead of a share of the memory.",
    )
    block_size: int | None = Field(
        default=None, ge=1, le=256, description="Tokens per KV block; only whole blocks hit the prefix cache."
    )
    enable_prefix_caching: bool | None = Field(
        default=None, description="Lets the prompts of one document share its KV cache."
    )
    enable_chunked_prefill: bool | None = Field(
        default=None, description="Splits long prefills over several steps."
    )
    enforce_eager: bool | None = Field(
        default=None, description="No compilation: starts a minute earlier, generates more slowly."
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] | None = Field(
        default=None, description="Type of weights and activations; auto is the model's own."
    )
    kv_cache_dtype: Literal["auto", "fp8"] | None = Field(default=None, description="Type of the KV cache.")
    quantization: Literal["fp8", "bitsandbytes"] | None = Field(
        default=None, description="Quantizes the weights while they are loaded."
    )
    speculation: Speculation | None = Field(default=None)
    max_requests_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=131_072,
        description="Requests handed to the engine at once. Unset: a little above max_num_seqs; thousands "
        "above only cost memory and lose more when a worker dies.",
    )
    hang_timeout_seconds: int = Field(
        default=600,
        ge=10,
        le=86_400,
        description="A worker whose engine makes no token for this long, "
        "with requests in flight, is restarted.",
    )
    commit_interval_seconds: int = Field(
        default=60,
        ge=1,
        le=3_600,
        description="How often finished samples are committed: "
        "what a SIGKILL loses at most, beside what is in flight.",
    )

    @property
    def gpus(self) -> int:
        """GPUs of one worker."""
        return self.tensor_parallel_size * self.pipeline_parallel_size


class Owner(Contract):
    """The job that a destination belongs to."""

    namespace: str
    name: str


class Recipe(Contract):
    """Everything that decides what the dataset will be. Frozen when the job starts."""

    schema_version: Literal[1] = 1
    job: Owner
    source: Source
    prompts: list[Prompt] = Field(min_length=1, max_length=32)
    model: Model
    sampling: Sampling = Sampling()
    output: Output
    sharding: Sharding = Sharding()
    parallelism: int = Field(
        default=1,
        ge=1,
        description="Workers wanted when the job was planned: the planner tapers the tail by it.",
    )

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON, the job's name left out."""
        return hashlib.sha256(self.canonical("job", "parallelism").encode()).hexdigest()[:16]

    @property
    def samples_per_document(self) -> int:
        """Outputs asked for per document: prompts times rollouts."""
        return len(self.prompts) * self.sampling.rollouts


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
    Reason.MODEL_NOT_FOUND: ExitCode.CONFIG,
    Reason.OUTPUT_NOT_WRITABLE: ExitCode.CONFIG,
    Reason.OUTPUT_IN_USE: ExitCode.CONFIG,
    Reason.PLAN_MISSING: ExitCode.INTERNAL,
    Reason.ACCOUNT_MISMATCH: ExitCode.DATA,
    Reason.ENGINE_FAILED: ExitCode.ENGINE,
    Reason.ENGINE_HANGS: ExitCode.ENGINE,
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


class PlanReport(Contract):
    """Termination message of `rephrase-worker plan`."""

    kind: Literal["plan"] = "plan"
    shards: int = 0
    documents: int = 0
    """Exact for parquet, and for text files small enough to be read whole; an estimate otherwise."""
    documents_exact: bool = True
    files: int = 0
    bytes: int = 0
    model_revision: str | None = None
    source_revision: str | None = None
    skipped_files: int = 0
    """Files and whole folders below the source that are not read."""
    skipped: str | None = None
    """The first of them with the reasons, in at most `SKIPPED_CHARACTERS`."""
    contract_version: int = 1
    """CONTRACT_VERSION of the worker: what the operator may write to it from now on."""
    failure: Failure | None = None


class ShardReport(Contract):
    """`/progress` of a worker and its termination message: the account of one shard up to now.

    Counts of documents, samples and tokens cover the whole shard, what earlier pods committed included.
    `tokens_per_second`, `engine_seconds`, `generated_tokens`, `commits`, `commit_failures` and
    `startup_seconds` are this process's own in every state: in the report of a shard that is done too, where
    a pod that only merged, or found the shard finished, has 0 of them.
    """

    kind: Literal["shard"] = "shard"
    shard: int
    pod_uid: str = ""
    state: Literal["starting", "generating", "merging", "done", "failed"] = "starting"
    step: str = ""
    documents_planned: int = 0
    documents_done: int = 0
    samples_text: int = 0
    samples_empty: int = 0
    """Of `samples_text`: the model answered with nothing, or with white space only."""
    samples_error: int = 0
    errors: dict[str, int] = Field(default_factory=dict)
    """Samples in error by code, the 16 most frequent."""
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    output_tokens: int = 0
    tokens_per_second: float = 0.0
    """Output tokens per second of the engine over the last half minute (less at the start)."""
    in_flight: int = 0
    commits: int = 0
    commit_failures: int = 0
    """Attempts of this process at writing to the destination that failed. Each is tried again."""
    engine_seconds: float = 0.0
    """Seconds from when this process's engine was ready until it was closed, or until now."""
    generated_tokens: int = 0
    """Output tokens of this process in these seconds, of unfinished requests too. Divided by
    `engine_seconds`: its mean pace. Never divide `output_tokens` by them, which earlier pods made too."""
    startup_seconds: dict[str, float] = Field(default_factory=dict)
    """Seconds by step: import, resume, engine."""
    failure: Failure | None = None


class FinalReport(Contract):
    """Termination message of `rephrase-worker finalize`."""

    kind: Literal["final"] = "final"
    documents: int = 0
    samples_text: int = 0
    samples_empty: int = 0
    """Of `samples_text`: the model answered with nothing, or with white space only."""
    samples_error: int = 0
    samples_missing: int = 0
    """Only in shards that failed."""
    missing_shards: int = 0
    """Shards that failed, or never ran."""
    missing_shard_numbers: str = ""
    """Which these are, as intervals (`0-41,43`); cut, with `...` at the end, where they are very many."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    failure: Failure | None = None
