"""What reaches vLLM, and the simulated engine."""

from __future__ import annotations

import ast
import importlib.util
import os
from pathlib import Path

import pytest

from rephrase_worker.engine import EngineDiedError, GenerationRequest, RequestFailedError
from rephrase_worker.engine.simulated import SimulatedEngine
from rephrase_worker.engine.vllm import NOT_ARGUMENTS, VllmEngine, engine_arguments, set_environment
from rephrase_worker.spec import EngineSettings, ExitCode, Model, Sampling, Speculation, WorkerError

MODEL = Model(name="owner/model")


def arguments(engine: EngineSettings, *, seeded: bool = False, on_cpu: bool = False) -> dict[str, object]:
    return engine_arguments(engine, MODEL, "/cache/abc", seeded=seeded, on_cpu=on_cpu)


def test_unset_settings_are_left_to_vllm() -> None:
    assert arguments(EngineSettings()) == {
        "model": "/cache/abc",
        "served_model_name": "owner/model",
        "pipeline_parallel_size": 1,
    }


def vllm_arguments() -> set[str]:
    """Read off vLLM's source: importing it takes seconds."""
    vllm = importlib.util.find_spec("vllm")
    assert vllm is not None, "vLLM is not installed: make setup"
    assert vllm.submodule_search_locations
    source = Path(vllm.submodule_search_locations[0], "engine", "arg_utils.py").read_text()
    (arguments,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and node.name == "EngineArgs"
    )
    return {
        field.target.id
        for field in arguments.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def test_every_setting_is_a_vllm_argument_or_the_workers_own() -> None:
    known = vllm_arguments()
    assert set(EngineSettings.model_fields) - NOT_ARGUMENTS <= known
    assert known.isdisjoint(NOT_ARGUMENTS)
    assert "speculative_config" in known


def test_speculation_becomes_vllms_configuration() -> None:
    engine = EngineSettings(
        speculation=Speculation(method="ngram", num_speculative_tokens=6, prompt_lookup_max=5)
    )
    assert arguments(engine)["speculative_config"] == {
        "method": "ngram",
        "num_speculative_tokens": 6,
        "prompt_lookup_max": 5,
    }


@pytest.mark.parametrize(
    ("engine", "seeded", "on_cpu", "expected"),
    [
        (EngineSettings(), True, True, False),
        (EngineSettings(enable_chunked_prefill=True), True, True, True),
        (EngineSettings(), True, False, None),
        (EngineSettings(), False, True, None),
    ],
)
def test_seeds_on_a_cpu_switch_chunked_prefill_off_unless_it_is_set(
    engine: EngineSettings, seeded: bool, on_cpu: bool, expected: bool | None
) -> None:
    assert arguments(engine, seeded=seeded, on_cpu=on_cpu).get("enable_chunked_prefill") is expected


def test_workers_are_offline_and_send_no_statistics_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "0")
    for name in ("VLLM_LOGGING_STREAM", "VLLM_WORKER_MULTIPROC_METHOD", "VLLM_CPU_OMP_THREADS_BIND"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    set_environment()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["VLLM_NO_USAGE_STATS"] == "0"
    monkeypatch.delenv("HF_HUB_OFFLINE")


async def test_an_engine_that_was_not_started_says_so() -> None:
    engine = VllmEngine(engine=EngineSettings(), model=MODEL, sampling=Sampling(), folder="/cache/abc")
    with pytest.raises(RuntimeError, match="not been started"):
        _ = engine.max_model_len
    await engine.close()


def test_settings_with_which_vllm_refuses_every_request_are_refused_before_it_starts() -> None:
    engine = EngineSettings(speculation=Speculation(method="ngram", num_speculative_tokens=6))
    VllmEngine(engine=engine, model=MODEL, sampling=Sampling(), folder="/cache/abc")
    with pytest.raises(WorkerError, match="minP") as caught:
        VllmEngine(engine=engine, model=MODEL, sampling=Sampling(min_p=0.1), folder="/cache/abc")
    assert caught.value.exit_code is ExitCode.USAGE


def request(number: int = 0) -> GenerationRequest:
    return GenerationRequest(id=str(number), prompt_token_ids=[1, 2, number])


async def test_simulated_text_says_so_and_is_a_function_of_the_prompt() -> None:
    engine = SimulatedEngine(output_tokens=8)
    first, again, other = [await engine.generate(request(number)) for number in (1, 1, 2)]
    assert first == again != other
    assert first.text.startswith("[simulated output ")
    assert engine.generated_tokens == 24


async def test_the_environment_sets_a_simulated_engines_failures() -> None:
    environment = {
        "REPHRASE_SIMULATED_OUTPUT_TOKENS": "4",
        "REPHRASE_SIMULATED_FAIL_EVERY": "2",
        "REPHRASE_SIMULATED_DIE_AFTER": "3",
    }
    engine = SimulatedEngine.from_environment(EngineSettings(), Sampling(max_tokens=3), environment)
    await engine.start()
    assert (await engine.generate(request(1))).output_tokens == 3
    with pytest.raises(RequestFailedError):
        await engine.generate(request(2))
    await engine.generate(request(3))
    with pytest.raises(EngineDiedError):
        await engine.generate(request(4))


async def test_a_simulated_engine_takes_the_context_and_batch_of_the_settings() -> None:
    engine = SimulatedEngine(engine=EngineSettings(max_model_len=1024, max_num_seqs=7))
    assert (engine.max_model_len, engine.max_num_seqs) == (1024, 7)
