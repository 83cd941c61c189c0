"""Resolving: what a job asks for, the profile of its model, and its GPU make the workers' settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_worker.profiles import (
    GPUS,
    DoesNotFitError,
    GpuChoice,
    Resolved,
    Suffix,
    UnknownGpuError,
    UnknownProfileError,
    choose_gpu,
    profiles,
    resolve,
    tokens_per_second,
)
from rephrase_worker.spec import EngineSettings, Sampling, Speculation

SMOLLM = "HuggingFaceTB/SmolLM2-1.7B-Instruct"
FINEPHRASE = EngineSettings(
    tensor_parallel_size=1,
    max_model_len=8192,
    max_num_seqs=2048,
    max_num_batched_tokens=16384,
    gpu_memory_utilization=0.90,
    enable_prefix_caching=True,
    speculation=Speculation(method="suffix", num_speculative_tokens=32),
)


def resolved(model: str = SMOLLM, *, gpu: str | GpuChoice = "", **options: Any) -> Resolved:
    chosen = choose_gpu(gpu) if isinstance(gpu, str) else gpu
    return resolve(model=model, gpu=chosen, **{"engine": EngineSettings(), "suffix": True} | options)


def test_auto_is_the_production_settings_of_finephrase() -> None:
    found = resolved()
    assert found.settings == FINEPHRASE
    assert (found.profile, found.gpu) == ("smollm2-1.7b-instruct/production", "H100-80GB")
    assert (found.tokens_per_second_per_gpu, found.figure, found.scaled) == (9220, "assumed", None)
    assert set(found.sources.values()) == {"profile"}
    assert "assumed to be H100-80GB" in found.why


@pytest.mark.parametrize(
    ("model", "profile", "name", "tokens"),
    [
        (SMOLLM, "baseline", "smollm2-1.7b-instruct/baseline", 5255),
        (SMOLLM, "fastest", "smollm2-1.7b-instruct/fastest", 9220),
        (SMOLLM, "none", "none", None),
        ("hf://huggingfacetb/smollm2-1.7b-instruct@main", "auto", "smollm2-1.7b-instruct/production", 9220),
        ("/models/SmolLM2-1.7B-Instruct/", "auto", "smollm2-1.7b-instruct/production", 9220),
        ("pvc://models/SmolLM2-1.7B-Instruct", "auto", "smollm2-1.7b-instruct/production", 9220),
        ("acme/SmolLM2-1.7B-Instruct-tuned", "auto", "baseline", 5255),
        (
            "acme/SmolLM2-1.7B-Instruct-tuned",
            "smollm2-1.7b-instruct",
            "smollm2-1.7b-instruct/production",
            9220,
        ),
        ("acme/tuned", "smollm2-1.7b-instruct/fastest", "smollm2-1.7b-instruct/fastest", 9220),
        ("google/gemma-3-4b-it", "qwen3-4b", "qwen3-4b/production", 7919),
        ("acme/unknown-7b-chat", "auto", "baseline", 6338),
        ("acme/unknown-7b-chat", "baseline", "baseline", 6338),
        ("acme/tiny-150m", "auto", "baseline", 28391),
        ("acme/no-size", "auto", "baseline", 4677),
    ],
)
def test_which_profile_a_model_gets(model: str, profile: str, name: str, tokens: int | None) -> None:
    found = resolved(model, profile=profile)
    assert (found.profile, found.tokens_per_second_per_gpu) == (name, tokens)


def test_what_is_assumed_is_said() -> None:
    tuned = resolved("acme/SmolLM2-1.7B-Instruct-tuned")
    assert tuned.settings.max_num_seqs == 256
    assert tuned.settings.max_model_len is None
    assert "no profile for acme/SmolLM2-1.7B-Instruct-tuned" in tuned.why
    assert "engine.profile: smollm2-1.7b-instruct" in tuned.why
    assert "has the same name" in resolved("/models/SmolLM2-1.7B-Instruct").why
    assert "made for Qwen/Qwen3-4B" in resolved("google/gemma-3-4b-it", profile="qwen3-4b").why
    assert "nearest" in resolved("acme/unknown-7b-chat").why


@pytest.mark.parametrize("profile", ["smollm", "smollm2-1.7b-instruct/slowest", "auto/fastest", "qwen3-4b/"])
def test_an_unknown_profile_is_refused_with_those_that_there_are(profile: str) -> None:
    with pytest.raises(UnknownProfileError) as refused:
        resolved(profile=profile)
    assert profile in str(refused.value)
    assert "auto, baseline, fastest, none" in str(refused.value)
    assert "qwen3-next-80b-a3b-thinking" in str(refused.value)


def test_fastest_needs_a_profile() -> None:
    with pytest.raises(UnknownProfileError, match=r"none for acme/unknown-7b-chat"):
        resolved("acme/unknown-7b-chat", profile="fastest")


@pytest.mark.parametrize(
    "own",
    [
        {"max_num_seqs": 64},
        {"max_model_len": 4096},
        {"enable_prefix_caching": False},
        {"gpu_memory_utilization": 0.5},
        {"tensor_parallel_size": 4},
        {"speculation": Speculation(method="ngram", num_speculative_tokens=3)},
        {"quantization": "fp8"},
    ],
)
def test_a_field_that_is_set_wins(own: dict[str, Any]) -> None:
    found = resolved(engine=EngineSettings(**own))
    assert found.settings == FINEPHRASE.model_copy(update=own)
    (name,) = own
    assert found.sources[name] == "spec.engine"
    assert found.figure == "assumed"
    assert "From spec.engine" in found.why


def test_a_field_that_is_set_to_the_profiles_value_changes_no_figure() -> None:
    found = resolved("openai/gpt-oss-20b", engine=EngineSettings(max_num_seqs=512, hang_timeout_seconds=60))
    assert found.figure == "measured"
    assert found.sources["max_num_seqs"] == "spec.engine"


@pytest.mark.parametrize(
    ("own", "filled"),
    [
        ({"kv_cache_memory_bytes": 2**30}, {"gpu_memory_utilization": None}),
        ({"max_num_batched_tokens": 512}, {"max_num_seqs": 512}),
        ({"max_num_seqs": 20_000}, {"max_num_batched_tokens": 20_000}),
        ({"enable_chunked_prefill": False, "max_model_len": 32_768}, {"max_num_batched_tokens": 32_768}),
        (
            {"enable_chunked_prefill": False, "max_num_batched_tokens": 4096, "max_num_seqs": 8},
            {"max_model_len": 4096},
        ),
    ],
)
def test_a_profile_never_contradicts_what_is_set(own: dict[str, Any], filled: dict[str, Any]) -> None:
    found = resolved(engine=EngineSettings(**own))
    assert found.settings == FINEPHRASE.model_copy(update=own | filled)


def test_min_p_excludes_speculation() -> None:
    found = resolved(sampling=Sampling(min_p=0.1))
    assert found.settings.speculation is None
    assert found.tokens_per_second_per_gpu == 5255
    assert found.suffix is Suffix.NOT_ASKED


@pytest.mark.parametrize(
    ("model", "max_tokens", "context"),
    [
        (SMOLLM, 4096, 8192),
        (SMOLLM, 8000, 8192),
        ("Qwen/Qwen3-8B", 2048, 8192),
        ("Qwen/Qwen3-8B", 8192, 16384),
        ("Qwen/Qwen3-8B", 40_000, 40_960),
    ],
)
def test_long_outputs_get_a_longer_context(model: str, max_tokens: int, context: int) -> None:
    assert resolved(model, sampling=Sampling(max_tokens=max_tokens)).settings.max_model_len == context


def test_suffix_speculation_is_used_where_the_worker_has_it() -> None:
    unknown, used, missing = (resolved(suffix=suffix) for suffix in (None, True, False))
    assert (unknown.suffix, unknown.settings.speculation) == (Suffix.UNKNOWN, None)
    assert unknown.tokens_per_second_per_gpu == 9220
    assert (used.suffix, used.settings.speculation) == (Suffix.USED, FINEPHRASE.speculation)
    assert used.shortfall == ""
    assert missing.suffix is Suffix.MISSING
    assert missing.settings.speculation == Speculation(
        method="ngram", num_speculative_tokens=6, prompt_lookup_max=5
    )
    assert missing.tokens_per_second_per_gpu == 5255
    assert "5,255 instead of 9,220" in missing.shortfall


def test_a_users_own_suffix_is_left_alone() -> None:
    own = Speculation(method="suffix", num_speculative_tokens=16)
    for suffix in (None, True, False):
        found = resolved(engine=EngineSettings(speculation=own), suffix=suffix)
        assert (found.settings.speculation, found.suffix) == (own, Suffix.NOT_ASKED)


def test_without_a_gpu_there_is_no_profile() -> None:
    own = EngineSettings(max_num_seqs=16)
    found = resolved(engine=own, gpu=choose_gpu(None, accelerated=False))
    assert (found.settings, found.profile, found.gpu) == (own, "none", "CPU")
    assert (found.tokens_per_second_per_gpu, found.figure) == (None, "none")
    assert "CPU" in found.why
    simulated = EngineSettings(backend="simulated")
    assert resolved(engine=simulated).settings == simulated


def test_another_gpu_is_scaled_by_its_bandwidth_and_batches_shrink_with_its_memory() -> None:
    found = resolved(gpu="L4")
    assert found.tokens_per_second_per_gpu == round(9220 * 300 / 3350)
    assert found.figure == "scaled"
    assert "H100-80GB to L4" in (found.scaled or "")
    assert (found.settings.max_num_seqs, found.settings.max_num_batched_tokens) == (512, 8192)
    larger = resolved(gpu="H200")
    assert larger.settings == FINEPHRASE
    assert larger.tokens_per_second_per_gpu == round(9220 * 4800 / 3350)
    without = resolved(gpu="L4", suffix=False)
    assert f"{round(5255 * 300 / 3350)} instead of {round(9220 * 300 / 3350)}" in without.shortfall


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NVIDIA-H100-80GB-HBM3", "H100-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100-80GB"),
        ("h100", "H100-80GB"),
        ("NVIDIA-H100-PCIe", "H100-PCIe"),
        ("NVIDIA-H100-NVL", "H100-NVL"),
        ("NVIDIA-H200", "H200"),
        ("NVIDIA-B200", "B200"),
        ("NVIDIA-A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA-A100-PCIE-40GB", "A100-40GB"),
        ("NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA-A100-80GB-PCIe", "A100-80GB-PCIe"),
        ("NVIDIA-L40S", "L40S"),
        ("NVIDIA-L4", "L4"),
        ("NVIDIA-A10G", "A10G"),
        ("NVIDIA-GeForce-RTX-4090", "RTX-4090"),
    ],
)
def test_gpus_are_known_by_the_names_that_nodes_carry(text: str, name: str) -> None:
    assert choose_gpu(text).name == name
    assert choose_gpu(None, {"nvidia.com/gpu.product": text}).gpu == GPUS[name]
    assert choose_gpu("L4", {"nvidia.com/gpu.product": text}).name == "L4", "worker.gpu goes first"


@pytest.mark.parametrize(
    "text",
    ["NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", "NVIDIA-A100-SXM4-80GB-SHARED", "a100", "TPU", "H1000", "-", "Ⅻ"],
)
def test_what_is_not_a_whole_known_gpu_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(UnknownGpuError, match=r"A100-40GB, A100-80GB|A100-80GB-PCIe"):
        choose_gpu(text)
    seen = choose_gpu(None, {"nvidia.com/gpu.product": text})
    assert (seen.gpu, seen.name) == (None, text)
    found = resolved(gpu=seen)
    assert found.profile == "smollm2-1.7b-instruct/baseline"
    assert found.tokens_per_second_per_gpu is None
    assert "not known" in found.why


@pytest.mark.parametrize(
    ("model", "gpu", "own", "says"),
    [
        ("google/gemma-3-27b-it", "A10G", {}, "Set engine.tensorParallelSize to 4"),
        ("Qwen/Qwen3-14B", "L4", {}, "Set engine.tensorParallelSize to 2"),
        ("Qwen/Qwen3-Next-80B-A3B-Thinking", "H100", {"tensor_parallel_size": 1}, "to 4"),
        ("Qwen/Qwen3-Next-80B-A3B-Thinking", "L4", {}, "Not even 8 of them are enough"),
        ("Qwen/Qwen3-32B", "A100-40GB", {"tensor_parallel_size": 1, "dtype": "float32"}, "to 4"),
        ("Qwen/Qwen3-14B", "L4", {"pipeline_parallel_size": 2, "dtype": "float32"}, "asks for 4 GPUs"),
        ("Qwen/Qwen3-8B", "L4", {"kv_cache_memory_bytes": 2**36}, "Not even 8"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_what_would(
    model: str, gpu: str, own: dict[str, Any], says: str
) -> None:
    with pytest.raises(DoesNotFitError) as refused:
        resolved(model, gpu=gpu, engine=EngineSettings(**own))
    assert says in str(refused.value)
    assert model in str(refused.value)


def test_quantized_weights_take_less_memory() -> None:
    found = resolved("Qwen/Qwen3-14B", gpu="L4", engine=EngineSettings(quantization="fp8"))
    assert found.memory is not None
    assert found.memory.weights == pytest.approx(27.5 * 0.6)


@pytest.mark.parametrize("model", [profile.models[0] for profile in profiles().values()])
@pytest.mark.parametrize("variant", ["auto", "baseline", "fastest"])
def test_every_known_model_fits_its_own_gpu_and_larger_ones(model: str, variant: str) -> None:
    for gpu in ("H100", "H200", "B200"):
        assert (resolved(model, gpu=gpu, profile=variant).tokens_per_second_per_gpu or 0) > 0


@pytest.mark.parametrize(
    ("model", "expected"),
    [(SMOLLM, 9220), ("/models/Qwen3-4B/", 7919), ("acme/unknown-7b-chat", 6338), ("simulated", 4677)],
)
def test_what_is_expected_of_a_model_alone(model: str, expected: int) -> None:
    assert tokens_per_second(model) == expected


OWN = st.fixed_dictionaries(
    {},
    optional={
        "tensor_parallel_size": st.sampled_from([1, 2, 4, 8]),
        "max_model_len": st.integers(64, 300_000),
        "max_num_seqs": st.integers(1, 65_536),
        "max_num_batched_tokens": st.integers(64, 1_048_576),
        "gpu_memory_utilization": st.floats(0.5, 1.0),
        "kv_cache_memory_bytes": st.integers(2**20, 2**31),
        "enable_chunked_prefill": st.booleans(),
        "enable_prefix_caching": st.booleans(),
        "quantization": st.sampled_from(["fp8"]),
        "speculation": st.just(Speculation(method="ngram", num_speculative_tokens=2)),
    },
)


def contradictions(engine: EngineSettings, sampling: Sampling) -> set[str]:
    """Pairs that the API server or vLLM refuses."""
    found = set()
    seqs, tokens, length = engine.max_num_seqs, engine.max_num_batched_tokens, engine.max_model_len
    if engine.gpu_memory_utilization is not None and engine.kv_cache_memory_bytes is not None:
        found.add("memory")
    if tokens is not None and seqs is not None and seqs > tokens:
        found.add("batch")
    if engine.enable_chunked_prefill is False and None not in (tokens, length) and tokens < length:
        found.add("prefill")
    if engine.speculation is not None and sampling.min_p > 0:
        found.add("min_p")
    return found


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([profile.models[0] for profile in profiles().values()] + ["me/other-3b"]),
    OWN,
    st.sampled_from(["auto", "baseline", "none", "smollm2-1.7b-instruct/fastest"]),
    st.sampled_from(["H100", "L4", "B200"]),
    st.sampled_from([None, True, False]),
    st.builds(Sampling, max_tokens=st.integers(1, 131_072), min_p=st.sampled_from([0.0, 0.1])),
)
def test_what_is_set_stays_and_nothing_new_contradicts_it(
    model: str, own: dict[str, Any], profile: str, gpu: str, suffix: bool | None, sampling: Sampling
) -> None:
    engine = EngineSettings(**own)
    try:
        found = resolved(model, gpu=gpu, engine=engine, profile=profile, suffix=suffix, sampling=sampling)
    except DoesNotFitError:
        return
    assert {name: getattr(found.settings, name) for name in own} == own
    assert contradictions(found.settings, sampling) <= contradictions(engine, sampling)
    assert EngineSettings.model_validate_json(found.settings.to_json()) == found.settings
    again = resolved(model, gpu=gpu, engine=found.settings, profile=profile, suffix=suffix, sampling=sampling)
    assert again.settings == found.settings or suffix is None, "resolving twice changes nothing"
