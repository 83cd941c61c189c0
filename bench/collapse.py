"""Template collapse, seen with a real model: SmolLM2-135M at temperature 0 against 1.

The same documents go through one prompt twice, with the worker's own commands and the real vLLM on the CPU,
and the figures are those of `quality.json`. The documents are docstrings of Python's standard library, so
nothing has to be downloaded. Run it alone, after `make demo-model`, from the root of the repository:

    .venv/bin/python -m bench.collapse
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from bench import results
from rephrase_worker.spec import EngineSettings, Model, Output, Owner, Prompt, Recipe, Sampling, Source

MODEL = results.ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct"
TEMPERATURES = (0.0, 1.0)
MEASURES = ("firstSentence", "first10Characters", "first30Characters")
DOCUMENT_CHARACTERS = 500
TEMPLATE = "{{document}}\n\nWrite a short tutorial that explains the text above to a beginner."
ENGINE = EngineSettings(
    enforce_eager=True,
    dtype="float32",
    kv_cache_memory_bytes=2**29,
    block_size=32,
    max_model_len=1024,
    max_num_seqs=32,
)


def main() -> None:
    """Run both temperatures, print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=32)
    given = parser.parse_args()
    found = documents(given.documents)
    with tempfile.TemporaryDirectory(prefix="rephrase-collapse-") as folder:
        runs = {
            temperature: run(Path(folder) / str(temperature), found, temperature, given.max_tokens)
            for temperature in TEMPERATURES
        }
    print(f"{len(found)} documents, texts that begin like the most frequent one:")
    print(f"{'temperature':>12}" + "".join(f"{measure:>20}" for measure in MEASURES))
    for temperature, counts in runs.items():
        print(f"{temperature:>12}" + "".join(f"{counts[measure]:>20}" for measure in MEASURES))
    cold, warm = (runs[temperature] for temperature in TEMPERATURES)
    results.write(
        "collapse",
        value=cold["first30Characters"] / cold["samples"],
        unit="share of texts whose first 30 characters are the most frequent ones, at temperature 0",
        goal="above that at temperature 1",
        better="lower",
        against={
            "name": "the same at temperature 1",
            "value": warm["first30Characters"] / warm["samples"],
        },
        runs=[{"temperature": temperature, **counts} for temperature, counts in runs.items()],
        interval=None,
        command=f"python -m bench.collapse --documents {given.documents} --max-tokens {given.max_tokens}",
    )


def documents(number: int) -> list[str]:
    """The beginnings of the longest docstrings of modules, one a module."""
    texts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in sorted(sys.stdlib_module_names):
            if name.startswith("_") or name in ("antigravity", "this", "idlelib"):
                continue
            try:
                text = importlib.import_module(name).__doc__ or ""
            except ImportError:  # Not on this platform.
                continue
            if len(text) >= 200:
                texts.append(text.strip()[:DOCUMENT_CHARACTERS])
    return texts[:number]


def run(folder: Path, texts: list[str], temperature: float, max_tokens: int) -> dict[str, int]:
    """Rephrase the documents; counts of the most frequent opening by measure, and the number of texts."""
    folder.mkdir(parents=True)
    (folder / "documents.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = Recipe(
        job=Owner(namespace="bench", name="collapse"),
        source=Source(uri=str(folder / "documents.jsonl")),
        prompts=[Prompt(name="tutorial", template=TEMPLATE)],
        model=Model(name=str(MODEL)),
        sampling=Sampling(temperature=temperature, max_tokens=max_tokens),
        output=Output(uri=str(folder / "out")),
    )
    (folder / "recipe.json").write_text(recipe.to_json())
    (folder / "engine.json").write_text(ENGINE.to_json())
    for step, *arguments in (
        ("plan", "--engine", "engine.json"),
        ("generate", "--engine", "engine.json", "--shard", "0"),
        ("finalize",),
    ):
        command = [sys.executable, "-m", "rephrase_worker", step, "--recipe", "recipe.json", *arguments]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "REPHRASE_PORT": "0"}
        subprocess.run(command, cwd=folder, env=environment, check=True, stderr=(folder / "log").open("ab"))
    prompt = json.loads((folder / "out" / "_rephrase" / "quality.json").read_bytes())["prompts"]["tutorial"]
    top = {measure: prompt["openings"][measure][0]["count"] for measure in MEASURES}
    return {"samples": prompt["samples"], **top}


if __name__ == "__main__":
    main()
