"""Settings of the engine that can't work are found while planning, on a CPU, and named."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rephrase_worker.engine import support
from rephrase_worker.models.contents import weights_bytes
from rephrase_worker.planner import plan
from rephrase_worker.planner.engine_check import check_engine
from rephrase_worker.spec import EngineSettings, Model, Reason, Recipe, Sampling, Speculation, WorkerError
from tests.tiny_model import CONTEXT, ensure_tiny_model
from tests.worker.builders import make_recipe, write_jsonl

SUFFIX = Speculation(method="suffix", num_speculative_tokens=32)
NGRAM = Speculation(method="ngram", num_speculative_tokens=6, prompt_lookup_max=5)
EVERYTHING = EngineSettings(
    tensor_parallel_size=1,
    max_model_len=1024,
    max_num_seqs=8,
    max_num_batched_tokens=1024,
    gpu_memory_utilization=0.5,
    kv_cache_memory_bytes=2**30,
    block_size=32,
    enable_prefix_caching=True,
    enable_chunked_prefill=True,
    enforce_eager=True,
    dtype="float32",
    kv_cache_dtype="fp8",
    quantization="fp8",
    speculation=NGRAM,
)


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Hide some packages."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in missing else find(name, *rest)
    )


def with_arctic(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Put a package of that name on the path."""
    (folder / "arctic_inference").mkdir()
    (folder / "arctic_inference" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(folder))


def fake_vllm(monkeypatch: pytest.MonkeyPatch, folder: Path, **changes: str) -> None:
    """Another vLLM, with few arguments."""
    files = {
        "__init__.py": "",
        "engine/arg_utils.py": "from vllm.kinds import Kind as DType\n"
        "class EngineArgs:\n    dtype: DType | None = None\n    pipeline_parallel_size: int = 1\n",
        "kinds/__init__.py": "from typing import Literal\n"
        "One = Literal['half']\nKind = Literal['auto', One]\n",
        "config/speculative.py": "class SpeculativeConfig:\n    method: str\n",
    }
    for name, text in (files | changes).items():
        path = folder / "vllm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "vllm", raising=False)


def refused(engine: EngineSettings) -> str:
    with pytest.raises(WorkerError) as caught:
        support.check_settings(engine)
    assert caught.value.failure.reason is Reason.INVALID_RECIPE
    return caught.value.failure.message


@pytest.mark.parametrize("engine", [EngineSettings(), EVERYTHING])
def test_what_the_installed_vllm_knows_passes(engine: EngineSettings) -> None:
    support.check_settings(engine)


def test_a_value_that_this_vllm_does_not_know_is_named_with_its_field() -> None:
    message = refused(EngineSettings(quantization="bitsandbytes"))
    assert "engine.quantization: bitsandbytes" in message
    assert "fp8" in message
    assert "0.32.0" in message


def test_fields_and_values_are_those_of_the_vllm_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_vllm(monkeypatch, tmp_path)
    message = refused(EngineSettings(max_num_seqs=4, dtype="float32", speculation=NGRAM))
    assert "engine.maxNumSeqs" in message
    assert "engine.dtype: float32 is none of auto, half" in message
    assert "engine.speculation.numSpeculativeTokens" in message
    support.check_settings(EngineSettings(dtype="auto"))


def test_a_vllm_that_is_built_differently_is_a_defect_and_no_silence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_vllm(monkeypatch, tmp_path, **{"engine/arg_utils.py": "EngineArgs = make()\n"})
    with pytest.raises(LookupError, match="EngineArgs"):
        support.check_settings(EngineSettings())


def test_without_vllm_only_the_simulated_engine_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "vllm")
    assert "engine.backend" in refused(EngineSettings())
    support.check_settings(
        EngineSettings(backend="simulated", quantization="bitsandbytes", speculation=SUFFIX)
    )


def test_speculation_needs_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without(monkeypatch, "arctic_inference", "numba")
    message = refused(EngineSettings(speculation=SUFFIX))
    assert "engine.speculation.method: suffix needs the package arctic_inference" in message
    assert "docs/profiles.md" in message
    assert "numba" in refused(EngineSettings(speculation=NGRAM))


def test_suffix_speculation_is_there_where_its_package_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_arctic(monkeypatch, tmp_path)
    assert support.has_suffix_speculation()
    support.check_settings(EngineSettings(speculation=SUFFIX))
    without(monkeypatch, "arctic_inference")
    assert not support.has_suffix_speculation()


def test_the_check_imports_neither_vllm_nor_torch() -> None:
    code = (
        "import sys; from rephrase_worker.engine import support; from rephrase_worker.spec import *;"
        "support.check_settings(EngineSettings(dtype='auto', quantization='fp8',"
        "speculation=Speculation(method='ngram', num_speculative_tokens=3)));"
        "assert not {'vllm', 'torch', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


GEMMA: dict[str, Any] = {
    "text_config": {"num_attention_heads": 16, "max_position_embeddings": 131072},
    "vision_config": {"num_attention_heads": 9},
}
SMOLLM: dict[str, Any] = {"num_attention_heads": 9, "max_position_embeddings": 8192}
YARN: dict[str, Any] = {"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}


@pytest.mark.parametrize(
    ("settings", "config", "field"),
    [
        ({"max_model_len": 8193}, SMOLLM, "engine.maxModelLen"),
        ({"max_model_len": 16385}, YARN, "engine.maxModelLen"),
        ({"max_model_len": 131073}, GEMMA, "engine.maxModelLen"),
        ({"tensor_parallel_size": 2}, SMOLLM, "engine.tensorParallelSize"),
        ({"tensor_parallel_size": 3}, GEMMA, "engine.tensorParallelSize"),
        ({"enable_chunked_prefill": False, "max_num_batched_tokens": 4096}, SMOLLM, "maxNumBatchedTokens"),
    ],
)
def test_settings_at_odds_with_the_model_are_refused(
    settings: dict[str, Any], config: dict[str, Any], field: str
) -> None:
    with pytest.raises(WorkerError, match=field) as caught:
        check_engine(EngineSettings(**settings), "owner/model", config, {})
    assert caught.value.failure.reason is Reason.INVALID_RECIPE
    assert (
        "owner/model" in caught.value.failure.message or "engine.maxModelLen" in caught.value.failure.message
    )


@pytest.mark.parametrize(
    ("settings", "config", "environment"),
    [
        ({"max_model_len": 8192, "tensor_parallel_size": 3}, SMOLLM, {}),
        ({"max_model_len": 9000}, SMOLLM, {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}),
        ({"max_model_len": 16384}, YARN, {}),
        ({"max_model_len": 9000, "tensor_parallel_size": 7}, {}, {}),
        ({"tensor_parallel_size": 8}, GEMMA, {}),
        ({"enable_chunked_prefill": False, "max_num_batched_tokens": 8192}, SMOLLM, {}),
        ({"enable_chunked_prefill": False, "max_num_batched_tokens": 512, "max_model_len": 512}, SMOLLM, {}),
        ({"tensor_parallel_size": 2}, {"num_attention_heads": "many", "text_config": None}, {}),
    ],
)
def test_settings_that_the_model_allows_pass(
    settings: dict[str, Any], config: dict[str, Any], environment: dict[str, str]
) -> None:
    check_engine(EngineSettings(**settings), "owner/model", config, environment)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    write_jsonl(tmp_path / "in.jsonl", ["one", "two"])
    made = make_recipe(tmp_path / "in.jsonl", tmp_path / "out")
    model, sampling = Model(name=str(ensure_tiny_model())), Sampling(max_tokens=64)
    return made.model_copy(update={"model": model, "sampling": sampling})


@pytest.mark.parametrize(
    ("engine", "field"),
    [
        (EngineSettings(quantization="bitsandbytes"), "engine.quantization"),
        (EngineSettings(max_model_len=CONTEXT + 1), "engine.maxModelLen"),
        (EngineSettings(tensor_parallel_size=64), "engine.tensorParallelSize"),
    ],
)
def test_planning_fails_before_anything_is_written(
    recipe: Recipe, engine: EngineSettings, field: str
) -> None:
    with pytest.raises(WorkerError, match=field) as caught:
        plan(recipe, engine)
    assert caught.value.failure.reason is Reason.INVALID_RECIPE
    assert not Path(recipe.output.uri).exists() or not list(Path(recipe.output.uri).rglob("*.json"))


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({"model.safetensors": b"12345678"}, 8),
        ({"model-1.safetensors": b"1234", "model-2.safetensors": b"56", "old.bin": b"1"}, 6),
        ({"model.safetensors.index.json": b'{"metadata": {"total_size": 400}}'}, 400),
        (
            {"model.safetensors.index.json": b'{"metadata": {"total_size": "many"}}', "a.safetensors": b"12"},
            2,
        ),
        ({"model.safetensors.index.json": b"[[["}, None),
        ({}, None),
        ({"a.bin": b"12345678", "config.json": b'{"torch_dtype": "float32"}'}, 4),
        ({"a.bin": b"12345678", "config.json": b'{"text_config": {"dtype": "float32"}}'}, 4),
    ],
)
def test_the_size_of_the_weights_is_read_off_their_index_or_files(
    tmp_path: Path, files: dict[str, bytes], size: int | None
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert weights_bytes(tmp_path) == size


def test_a_plan_says_how_large_the_model_is(recipe: Recipe) -> None:
    engine = EngineSettings(max_model_len=CONTEXT)
    weights = ensure_tiny_model() / "model.safetensors"
    assert plan(recipe, engine).weights_bytes in (weights.stat().st_size, weights.stat().st_size // 2)
    assert plan(recipe, engine).weights_bytes is not None, "also when the plan is there already"


def test_a_plan_says_whether_the_image_has_suffix_speculation(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without(monkeypatch, "arctic_inference")
    assert plan(recipe, EngineSettings()).suffix_speculation is False
    monkeypatch.undo()
    with_arctic(monkeypatch, tmp_path)
    assert plan(recipe, EngineSettings()).suffix_speculation is True
