"""One test for every file of `profiles/`: a new file needs no new test."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from rephrase_worker.profiles import GPUS, ModelProfile, profiles
from rephrase_worker.profiles.library import PRODUCTION_LIMITS, Variant, parse
from rephrase_worker.profiles.memory import check

FOLDER = Path(__file__).resolve().parents[2] / "profiles"

BYTES = {"bfloat16": (1.95, 2.05), "mxfp4": (0.53, 0.70)}
"""Bytes of a parameter. mxfp4 takes 4.25 bits (OCP Microscaling Formats), and some layers stay in bfloat16.
"""


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_profile_agrees_with_itself(path: Path) -> None:
    assert path.suffix == ".yaml"
    profile = parse(path.name, path.read_text())
    assert profiles()[profile.name] == profile, "what is installed is what lies in the folder"
    assert profile.name == profile.models[0].rpartition("/")[2].lower()
    assert all(model.count("/") == 1 for model in profile.models)
    assert profile.parameters.active <= profile.parameters.total
    least, most = BYTES[profile.weights.type]
    assert least <= profile.weights.gib * 2**30 / (profile.parameters.total * 1e9) <= most
    for gpu, on in profile.gpus.items():
        for variant in (on.baseline, on.fastest, on.production):
            _is_valid(profile, gpu, variant)
        _figures_agree(on.baseline, on.fastest, on.production)
        for name, limit in PRODUCTION_LIMITS.items():
            assert (getattr(on.production.settings, name) or 0) <= limit


def _is_valid(profile: ModelProfile, gpu: str, variant: Variant) -> None:
    settings = variant.settings
    assert settings.max_num_seqs is not None
    assert settings.max_num_batched_tokens is not None
    assert settings.max_num_seqs <= settings.max_num_batched_tokens
    assert (settings.max_model_len or 0) <= profile.context
    assert settings.gpu_memory_utilization is None or settings.kv_cache_memory_bytes is None
    assert check(profile.name, profile.weights.gib, GPUS[gpu], settings).kv_cache > 0
    if variant.without_suffix is not None:
        assert variant.without_suffix.speculation.method == "ngram"
        assert variant.without_suffix.tokens_per_second_per_gpu <= variant.tokens_per_second_per_gpu


def _figures_agree(baseline: Variant, fastest: Variant, production: Variant) -> None:
    figures = [one.tokens_per_second_per_gpu for one in (baseline, production, fastest)]
    assert figures == sorted(figures)
    assert baseline.figure == fastest.figure == "measured"
    for one, other in itertools.combinations((baseline, fastest, production), 2):
        if one.settings == other.settings and one.figure == other.figure == "measured":
            assert one.tokens_per_second_per_gpu == other.tokens_per_second_per_gpu
    if production.figure == "measured":
        assert production.settings in (baseline.settings, fastest.settings)
    # What gains less is noise, and not worth more GPUs or memory in production.
    if fastest.tokens_per_second_per_gpu < 1.1 * baseline.tokens_per_second_per_gpu:
        assert production.settings == baseline.settings


def test_no_model_is_in_two_profiles() -> None:
    models = [model.lower() for profile in profiles().values() for model in profile.models]
    assert len(models) == len(set(models))


def test_the_sweep_of_the_playbook_is_here() -> None:
    assert len(profiles()) >= 18
    production = profiles()["smollm2-1.7b-instruct"].gpus["H100-80GB"].production
    hours = 486.4e9 / production.tokens_per_second_per_gpu / 3600
    assert hours == pytest.approx(14_700, rel=0.01), "FinePhrase's 486.4 billion tokens"


GOOD: dict[str, Any] = yaml.safe_load((FOLDER / "smollm2-1.7b-instruct.yaml").read_text())


def changed(path: str, value: object) -> str:
    """The text of a sound file with one value replaced, or removed."""
    fields = yaml.safe_load(yaml.safe_dump(GOOD))
    node = fields
    *parents, last = path.split(".")
    for part in parents:
        node = node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return yaml.safe_dump(fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: [", "is not YAML"),
        ("- a list", "expected fields"),
        ("", "expected fields"),
        (changed("name", "other"), "the file's name is the name"),
        (changed("models", []), "models"),
        (changed("context", None), "context: Field required"),
        (changed("colour", "blue"), "colour: Extra inputs"),
        (changed("weights.type", "int3"), "weights.type"),
        (changed("gpus", {}), "gpus"),
        (changed("gpus", {"H1000": GOOD["gpus"]["H100-80GB"]}), "H1000"),
        (changed("gpus.H100-80GB.production", None), "production: Field required"),
        (changed("gpus.H100-80GB.production.figure", "guessed"), "production.figure"),
        (changed("gpus.H100-80GB.production.tokensPerSecondPerGpu", 0), "tokensPerSecondPerGpu"),
        (changed("gpus.H100-80GB.production.settings.maxSeqs", 3), "maxSeqs: Extra inputs"),
        (changed("gpus.H100-80GB.production.settings.pipelineParallelSize", 2), "pipelineParallelSize"),
        (changed("gpus.H100-80GB.production.settings.speculation", None), "withoutSuffix"),
        (changed("gpus.H100-80GB.production.withoutSuffix", None), "withoutSuffix"),
    ],
)
def test_a_faulty_file_is_refused_by_name_and_field(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^some-model\.yaml") as refused:
        parse("some-model.yaml", text)
    assert says in str(refused.value)
