"""`rephrase plan -f`: an estimate from a manifest, and what it says about bad ones."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rephrase_operator.cli import main
from tests.operator.builders import SPEC
from tests.worker.builders import write_jsonl


def manifest(tmp_path: Path, **spec: Any) -> dict[str, Any]:
    source = tmp_path / "in.jsonl"
    if not source.exists():
        write_jsonl(source, ["two words"] * 30)
    given = {
        "source": {"uri": str(source)},
        "prompts": [{"name": "faq"}, {"name": "math"}],
        "model": {"name": "simulated"},
        "output": {"uri": str(tmp_path / "out")},
        "engine": {"backend": "simulated"},
        "sharding": {"documentsPerShard": 10},
        "parallelism": 2,
    }
    return {
        "apiVersion": "rephrase.dev/v1alpha1",
        "kind": "RephraseJob",
        "metadata": {"name": "books"},
        "spec": given | spec,
    }


def written(tmp_path: Path, *objects: Any) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["plan", "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = main(["plan", *arguments])
    assert code in (64, 65, 78)
    return capsys.readouterr().err


def test_an_estimate_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, manifest(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    found = planned(capsys, "-f", file)
    assert found["job"] == "default/books"
    assert found["estimate"]["documents"]["expected"] == 30
    assert found["estimate"]["output_tokens"]["expected"] == 30 * 2 * 32
    assert found["estimate"]["gpu_hours"] is None
    assert sorted(tmp_path.rglob("*")) == before


def test_the_price_of_the_job_or_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, manifest(tmp_path, cost={"gpuHourPrice": 2.0, "currency": "EUR"}))
    found = planned(capsys, "-f", file, "--tokens-per-second", "10")
    hours = found["estimate"]["gpu_hours"]["expected"]
    assert found["estimate"]["cost"]["expected"] == pytest.approx(2 * hours)
    assert found["estimate"]["currency"] == "EUR"
    dear = planned(capsys, "-f", file, "--tokens-per-second", "10", "--price", "4")
    assert dear["estimate"]["cost"]["expected"] == pytest.approx(4 * hours)


def test_fewer_workers_take_longer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, manifest(tmp_path))

    def wall(workers: int) -> float:
        found = planned(capsys, "-f", file, "--tokens-per-second", "10", "--parallelism", str(workers))
        seconds = found["estimate"]["wall_seconds"]["expected"]
        assert isinstance(seconds, float)
        return seconds

    # Three shards: two workers take two rounds, and a fourth has nothing to do.
    assert wall(1) == pytest.approx(3 * wall(3))
    assert wall(2) == pytest.approx(2 * wall(3))
    assert wall(4) == wall(3)


def test_the_table_is_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, manifest(tmp_path))
    assert main(["plan", "-f", file, "--tokens-per-second", "10", "--price", "3", "--parallelism", "9"]) == 0
    shown = capsys.readouterr().out
    for part in ("books: 3 shards", "words in", "worker-hours", "cost (USD)", "6 of the 9 workers"):
        assert part in shown


def test_prompts_of_config_maps_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {"name": "own", "configMapKeyRef": {"name": "prompts", "key": "own"}}
    texts = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "prompts"},
        "data": {"own": "Read {{document}}."},
    }
    job = manifest(tmp_path, prompts=[own])
    assert planned(capsys, "-f", written(tmp_path, texts, job))["estimate"]["documents"]["expected"] == 30
    assert "no ConfigMap prompts" in refused(capsys, "-f", written(tmp_path, job))


def test_prompts_of_the_installer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    house = tmp_path / "house"
    house.mkdir()
    (house / "haiku.md").write_text("---\nexpectedTokens: 11\n---\nSum the text up in a haiku.")
    file = written(tmp_path, manifest(tmp_path, prompts=[{"name": "haiku"}]))
    assert "haiku" in refused(capsys, "-f", file)
    found = planned(capsys, "-f", file, "--prompts", str(house))
    assert found["estimate"]["documents"]["expected"] == 30
    with pytest.raises(SystemExit):
        main(["plan", "-f", file, "--prompts", str(house / "haiku.md")])
    assert "is no folder" in capsys.readouterr().err


def test_from_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(manifest(tmp_path))))
    assert planned(capsys, "-f", "-")["job"] == "default/books"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"paralelism": 3}, "spec.paralelism"),
    "an unknown field further down": ({"source": {"uri": "/x", "txt": 1}}, "spec.source.txt"),
    "a negative price": ({"cost": {"gpuHourPrice": -1, "currency": "USD"}}, "spec.cost.gpuHourPrice"),
    "a price without a currency": ({"cost": {"gpuHourPrice": 3}}, "currency belong together"),
    "a currency that is none": ({"cost": {"gpuHourPrice": 3, "currency": "dollars"}}, "spec.cost.currency"),
    "a budget without a price": ({"cost": {"maxCost": 3}}, "maxCost needs gpuHourPrice"),
    "an unknown prompt": ({"prompts": [{"name": "fqa"}]}, "No such prompt in the library: fqa"),
    "a profile that is unknown": (
        {"engine": {"profile": "nope"}, "model": {"name": "Qwen/Qwen3-8B"}},
        "there is no profile nope",
    ),
    "a source that is not there": ({"source": {"uri": "/nowhere/at/all"}}, "/nowhere/at/all is not there"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_specs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, expected = BAD[name]
    assert expected in refused(capsys, "-f", written(tmp_path, manifest(tmp_path, **spec)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1\nb: 2\n", "line 2 is no YAML"),
        ("", "holds 0 objects of kind RephraseJob (nothing)"),
        ("kind: Pod\n", "holds 0 objects of kind RephraseJob (Pod)"),
        ("- 1\n", "does not hold Kubernetes objects"),
        ("kind: RephraseJob\napiVersion: v9\n", "apiVersion is v9"),
        ("kind: RephraseJob\napiVersion: rephrase.dev/v1alpha1\n", "metadata.name is missing"),
    ],
)
def test_bad_files(text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    assert expected in refused(capsys, "-f", str(path))


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "can't be read: No such file" in refused(capsys, "-f", str(tmp_path / "no.yaml"))


@pytest.mark.parametrize("option", ["--price=-1", "--parallelism=-1", "--tokens-per-second=0", "--price=nan"])
def test_bad_options(option: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "-f", written(tmp_path, {"spec": SPEC}), option])
