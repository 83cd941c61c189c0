"""The engine's settings: what may change while a job runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rephrase_worker.spec.contract import Contract


class Speculation(Contract):
    """Speculative decoding. Pays for small models with predictable output, costs large ones 8 to 16%."""

    method: Literal["ngram", "suffix"] = Field(
        description="Where the guesses come from: the prompt (ngram), or earlier outputs as well (suffix), "
        "for which the worker's image has to have arctic-inference, as this project's CUDA image has."
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
    tensor_parallel_size: int | None = Field(
        default=None, ge=1, le=64, description="GPUs that share each layer. Unset: the profile's, or else 1."
    )
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
        return (self.tensor_parallel_size or 1) * self.pipeline_parallel_size
