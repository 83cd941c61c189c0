"""Output tokens per second of a worker, files in to parquet out, against bare vLLM on the same prompts.

The worker reads, renders, generates, commits and merges. Its time runs from the engine being ready until it
is closed, plus that from the last commit to the shard's manifest. The other side is AsyncLLM with the same
engine arguments, which is given every rendered prompt at once and writes nothing: the most that this engine
can do. Start-up is left out on both sides. Each run is a process of its own, in alternating order. Run it
alone, after `make demo-model`, from the root of the repository:

    .venv/bin/python -m bench.throughput
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import results
from bench.collapse import ENGINE, MODEL, documents
from rephrase_worker import layout
from rephrase_worker.engine.vllm import engine_arguments, set_environment
from rephrase_worker.rendering.render import Renderer
from rephrase_worker.rendering.tokenizer import load_tokenizer
from rephrase_worker.spec import Model, Output, Owner, Prompt, Recipe, Sampling, Source

TEMPLATE = "{{document}}\n\nSummarize the text above."
GOAL = 0.98
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(os.cpu_count() or 1)}


def main() -> None:
    """Run the pairs, print a line each and the median, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare is not None:
        print(json.dumps(asyncio.run(bare(given.bare))))
        return
    texts = documents(given.documents)
    pairs: list[dict[str, float]] = []
    for number in range(given.pairs):
        pair = {}
        for side in ("worker", "bare") if number % 2 else ("bare", "worker"):
            with tempfile.TemporaryDirectory(prefix="rephrase-throughput-") as folder:
                prepare(Path(folder), texts, given.max_tokens)
                pair[side] = run_worker(Path(folder)) if side == "worker" else run_bare(Path(folder))
        pairs.append(pair)
        print(f"worker {pair['worker']:.1f} tok/s, bare AsyncLLM {pair['bare']:.1f}: {ratio(pair):.3f}")
    ratios = sorted(map(ratio, pairs))
    median = statistics.median(ratios)
    print(f"median {median:.3f} of bare AsyncLLM ({ratios[0]:.3f} to {ratios[-1]:.3f}; goal: {GOAL})")
    results.write(
        "throughput",
        value=round(median, 4),
        unit="output tokens/s of a worker, as a share of bare AsyncLLM's (SmolLM2-135M, 32 sequences)",
        goal=GOAL,
        better="higher",
        against={
            "name": "AsyncLLM with all prompts at once, no files",
            "tokens_per_second": [round(pair["bare"], 1) for pair in pairs],
        },
        runs=[round(pair["worker"], 1) for pair in pairs],
        interval=[round(ratios[0], 4), round(ratios[-1], 4)],
        command=f"python -m bench.throughput --documents {given.documents} "
        f"--max-tokens {given.max_tokens} --pairs {given.pairs}",
    )


def ratio(pair: dict[str, float]) -> float:
    """The worker's share of what the bare engine does."""
    return pair["worker"] / pair["bare"]


def prepare(folder: Path, texts: list[str], max_tokens: int) -> None:
    """Write source, recipe and engine settings."""
    lines = [json.dumps({"text": text}) for text in texts]
    (folder / "source.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = Recipe(
        job=Owner(namespace="bench", name="throughput"),
        source=Source(uri=str(folder / "source.jsonl")),
        prompts=[Prompt(name="summarize", template=TEMPLATE)],
        model=Model(name=str(MODEL)),
        sampling=Sampling(temperature=0.7, max_tokens=max_tokens),
        output=Output(uri=str(folder / "output")),
    )
    (folder / "recipe.json").write_text(recipe.to_json())
    (folder / "engine.json").write_text(ENGINE.to_json())


def run_worker(folder: Path) -> float:
    """Tokens/s of a worker, closing the engine and merging included."""
    recipe = ["--recipe", str(folder / "recipe.json")]
    _run([sys.executable, "-m", "rephrase_worker", "plan", *recipe], folder)
    command = [sys.executable, "-m", "rephrase_worker", "generate", *recipe, "--shard", "0"]
    _run([*command, "--engine", str(folder / "engine.json")], folder)
    output = folder / "output"
    segments = (output / layout.segments_dir(0)).iterdir()
    merging = (output / layout.manifest(0)).stat().st_mtime - max(file.stat().st_mtime for file in segments)
    report = json.loads((folder / "termination").read_text())
    return float(report["generatedTokens"] / (report["engineSeconds"] + merging))


def run_bare(folder: Path) -> float:
    """Tokens/s of the bare engine, in a process of its own."""
    return float(_run([sys.executable, "-m", "bench.throughput", "--bare", str(folder)], folder))


def _run(command: list[str], folder: Path) -> str:
    settings = {"TERMINATION_MESSAGE_PATH": str(folder / "termination"), "REPHRASE_PORT": "0"}
    done = subprocess.run(
        command,
        env={**os.environ, **ENVIRONMENT, **settings},
        cwd=results.ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()[-1] if done.stdout else ""


async def bare(folder: Path) -> float:
    """Tokens/s of the engine alone, which has every prompt from the start."""
    recipe = Recipe.model_validate_json((folder / "recipe.json").read_text())
    tokenizer = load_tokenizer(str(MODEL), None)
    renderer = Renderer(
        tokenizer,
        recipe.prompts,
        max_model_len=ENGINE.max_model_len or 0,
        max_tokens=recipe.sampling.max_tokens,
    )
    lines = (folder / "source.jsonl").read_text(encoding="utf-8").splitlines()
    rendered = [renderer.render(json.loads(line)["text"]).prompt_token_ids["summarize"] for line in lines]
    arguments = engine_arguments(ENGINE, recipe.model, str(MODEL), seeded=False, on_cpu=True)
    set_environment()
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.inputs import tokens_input
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    sampling = SamplingParams(
        temperature=recipe.sampling.temperature,
        max_tokens=recipe.sampling.max_tokens,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )

    async def one(number: int, prompt: list[int]) -> int:
        tokens = 0
        async for output in engine.generate(tokens_input(prompt), sampling, str(number)):
            tokens = len(output.outputs[0].token_ids)
        return tokens

    began = time.monotonic()
    tokens = await asyncio.gather(*(one(number, prompt) for number, prompt in enumerate(rendered)))
    seconds = time.monotonic() - began
    engine.shutdown()
    return sum(tokens) / seconds


if __name__ == "__main__":
    main()
