"""The jobs of the run: a real one on the CPU, and simulated ones that show what only GPUs have.

The real job runs vLLM with SmolLM2-135M. A CPU has no profile, so the expected tokens/s and all figures by
GPU come from jobs whose names begin with `simulated-`. Their workers write placeholder text at a chosen pace.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scripts.demo import input as documents

REAL_NAMESPACE, SIMULATED_NAMESPACE = "research", "platform"
REAL, FAST, SLOW, HELD = "smollm2-on-cpu", "simulated-l4", "simulated-slow", "simulated-over-budget"
ALL = (REAL, FAST, SLOW, HELD)
NODE = "cpu-1"
"""The node of the real job, which has the volumes."""
GPU_NODES = ("gpu-1", "gpu-2")

CLAIMS = ("models", "data")
MODEL = "SmolLM2-135M-Instruct"
PROMPTS = ("summarize", "faq", "tutorial", "explanation")

SIMULATED_DOCUMENTS = 12_000
SIMULATED_SEQUENCES = 64

Manifest = dict[str, Any]


def namespace_of(job: str) -> str:
    """Namespace of one of the jobs."""
    return REAL_NAMESPACE if job == REAL else SIMULATED_NAMESPACE


def write_real_input(folder: Path) -> None:
    """The demo's documents, and before them two that can't be rephrased."""
    documents.write(folder, documents.available())
    bad = [{"id": "empty", "text": "  "}, {"id": "no-text"}]
    (folder / "0.jsonl").write_text("".join(json.dumps(each) + "\n" for each in bad))


def write_simulated_input(folder: Path) -> None:
    """Many short documents."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"id": str(n), "text": f"Document {n} of many."}) for n in range(SIMULATED_DOCUMENTS))
    (folder / "documents.jsonl").write_text("\n".join(lines) + "\n")


def real() -> Manifest:
    """Two workers with ngram speculation, four prompts, a price and a budget."""
    return _job(
        REAL,
        REAL_NAMESPACE,
        {
            "source": {"uri": "pvc://data/input", "idField": "id"},
            "prompts": [{"name": name} for name in PROMPTS],
            "model": {"name": f"pvc://models/{MODEL}"},
            "sampling": {"temperature": 0.3, "repetitionPenalty": 1.05, "maxTokens": 224},
            "output": {"uri": "pvc://data/output"},
            "sharding": {"documentsPerShard": 4},
            "engine": {
                "maxModelLen": 1024,
                "maxNumSeqs": 8,
                "kvCacheMemoryBytes": 1 << 28,
                "blockSize": 32,
                "dtype": "float32",
                "enforceEager": True,
                "commitIntervalSeconds": 5,
                "speculation": {"method": "ngram", "numSpeculativeTokens": 3, "promptLookupMax": 2},
            },
            "worker": {
                "nodeSelector": {"kubernetes.io/hostname": NODE},
                "terminationGracePeriodSeconds": 15,
                "env": _environment(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE"),
            },
            "cost": {"gpuHourPrice": 0.2, "currency": "USD", "maxCost": 0.2, "maxGpuHours": 1},
            "parallelism": 2,
        },
    )


def simulated(folder: Path) -> list[Manifest]:
    """One at the speed of its profile, one far below, and one that is held because it would cost too much."""
    return [
        _simulated(
            folder,
            name=FAST,
            model="HuggingFaceTB/SmolLM2-1.7B-Instruct",
            gpu="L4",
            workers=4,
            tokens_per_second=440,
            cost={"gpuHourPrice": 0.8, "currency": "USD", "maxCost": 1.5, "maxGpuHours": 2},
        ),
        _simulated(
            folder,
            name=SLOW,
            model="Qwen/Qwen3-4B",
            gpu="L40S",
            workers=2,
            tokens_per_second=780,
            cost={"gpuHourPrice": 1.9, "currency": "USD", "maxCost": 20},
            fail_every=60,
        ),
        _simulated(
            folder,
            name=HELD,
            model="Qwen/Qwen3-4B",
            gpu="L40S",
            workers=8,
            tokens_per_second=780,
            cost={"gpuHourPrice": 1.9, "currency": "USD", "maxCost": 0.01},
        ),
    ]


def _simulated(
    folder: Path,
    *,
    name: str,
    model: str,
    gpu: str,
    workers: int,
    tokens_per_second: float,
    cost: Manifest,
    fail_every: int | None = None,
) -> Manifest:
    environment = {
        "REPHRASE_SIMULATED_TOKEN_SECONDS": f"{SIMULATED_SEQUENCES / tokens_per_second:.4f}",
        "REPHRASE_SIMULATED_OUTPUT_TOKENS": "48",
        "REPHRASE_SIMULATED_STARTUP_SECONDS": "5",
    }
    if fail_every is not None:
        environment["REPHRASE_SIMULATED_FAIL_EVERY"] = str(fail_every)
    return _job(
        name,
        SIMULATED_NAMESPACE,
        {
            "source": {"uri": str(folder / "input"), "idField": "id"},
            "prompts": [{"name": name} for name in PROMPTS[:2]],
            "model": {"name": model},
            "sampling": {"maxTokens": 256},
            "output": {"uri": str(folder / name)},
            "sharding": {"documentsPerShard": 1000},
            "engine": {"maxNumSeqs": SIMULATED_SEQUENCES, "maxModelLen": 2048, "commitIntervalSeconds": 5},
            "worker": {
                "gpu": gpu,
                "terminationGracePeriodSeconds": 15,
                "env": _environment(**environment),
            },
            "cost": cost,
            "parallelism": workers,
        },
    )


def _job(name: str, namespace: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": "rephrase.dev/v1alpha1",
        "kind": "RephraseJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _environment(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
