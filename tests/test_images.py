"""The parts of `make images` that decide something. The proof itself is `make images`: it needs a builder."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from scripts.images import base, engines, proof, sizes
from scripts.images.containers import Container, Mount, docker_command, runtime_config
from tests.chart.helm import render

CONTAINER = Container(
    name="worker",
    image="localhost/rephrase-worker-cpu:1",
    command=("rephrase-worker", "plan", "--recipe", "/etc/rephrase/recipe.json"),
    env={"POD_IP": "127.1.2.3"},
    mounts=(Mount(Path("/here/scratch"), "/tmp", False), Mount(Path("/here/recipe"), "/etc/rephrase", True)),
    user=1_000_650_000,
    groups=(10001,),
)


def test_a_runtime_is_told_to_allow_nothing_and_to_keep_the_root_read_only() -> None:
    config = runtime_config(CONTAINER, Path("/image"), ["PATH=/app/bin", "HOME=/tmp"])
    assert config["root"] == {"path": "/image", "readonly": True}
    process = config["process"]
    assert "capabilities" not in process
    assert process["noNewPrivileges"] is True
    assert process["user"] == {"uid": 1_000_650_000, "gid": 0, "additionalGids": [10001]}
    assert process["args"] == list(CONTAINER.command)
    assert process["env"] == ["PATH=/app/bin", "HOME=/tmp", "POD_IP=127.1.2.3"]
    bound = {one["destination"]: one for one in config["mounts"] if one["type"] == "bind"}
    assert {target: one["options"][1] for target, one in bound.items()} == {
        "/tmp": "rw",
        "/etc/rephrase": "ro",
    }
    assert "network" not in {one["type"] for one in config["linux"]["namespaces"]}


def test_docker_is_told_the_same() -> None:
    words = docker_command(CONTAINER)
    for pair in (
        ["--cap-drop", "ALL"],
        ["--security-opt", "no-new-privileges"],
        ["--user", "1000650000:0"],
        ["--group-add", "10001"],
        ["--env", "POD_IP=127.1.2.3"],
        ["--volume", "/here/scratch:/tmp:rw"],
        ["--volume", "/here/recipe:/etc/rephrase:ro"],
    ):
        assert pair in [words[i : i + 2] for i in range(len(words))]
    assert "--read-only" in words
    tail = [
        "--entrypoint",
        "rephrase-worker",
        CONTAINER.image,
        "plan",
        "--recipe",
        "/etc/rephrase/recipe.json",
    ]
    assert words[-6:] == tail


def test_the_operators_pod_is_that_of_the_chart_with_its_token() -> None:
    deployment = next(one for one in render() if one["kind"] == "Deployment")
    pod = proof.pod_of(deployment)
    given = deployment["spec"]["template"]["spec"]
    assert {**pod["spec"], "containers": [], "volumes": []} == {**given, "containers": [], "volumes": []}
    (container,) = pod["spec"]["containers"]
    assert container["args"] == given["containers"][0]["args"]
    assert container["volumeMounts"][-1]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"


def test_pips_settings_are_taken_over_and_the_environments_win() -> None:
    listed = (
        ":env:.find-links='/wheels'\n"
        "global.cert='/etc/ssl/certs/ca-certificates.crt'\n"
        "global.extra-index-url='https://user@index.example/simple file:///srv/simple'\n"
        "global.find-links='/elsewhere'\n"
        "global.timeout='60'\n"
    )
    assert base.settings_of(listed) == {
        "find-links": "/wheels",
        "cert": "/etc/ssl/certs/ca-certificates.crt",
        "extra-index-url": "https://user@index.example/simple file:///srv/simple",
    }


def test_a_build_is_shown_the_folders_of_this_machine_that_pip_is_told_of(tmp_path: Path) -> None:
    settings = {
        "find-links": f"{tmp_path} /does/not/exist https://wheels.example",
        "extra-index-url": f"file://{tmp_path}/simple file:///simple",
        "cert": "/etc",
    }
    (tmp_path / "simple").mkdir()
    assert base.folders_of(settings) == [tmp_path]
    assert base.folders_of({"index-url": f"file://{tmp_path}/simple"}) == [tmp_path], (
        "its files lie beside it"
    )


def test_a_base_gets_the_certificates_and_settings_and_loses_what_nobody_needs(tmp_path: Path) -> None:
    for name in (
        "var/cache/apt/archives",
        "var/lib/apt/lists",
        "usr/share/doc/bash",
        "usr/local/bin",
        "etc/ssl/certs",
    ):
        (tmp_path / name).mkdir(parents=True)
    base.prepare(tmp_path, {"find-links": "/wheels"})
    assert (tmp_path / "etc/pip.conf").read_text() == "[global]\nfind-links = /wheels\n\n"
    assert (tmp_path / "usr/local/bin/python").is_symlink()
    assert not (tmp_path / "usr/share/doc").exists()


@pytest.mark.parametrize(
    ("name", "local", "why"),
    [("podman", False, "ENGINE is docker or buildah"), ("docker", True, "use buildah")],
)
def test_an_engine_that_does_not_fit_is_refused_with_what_to_use(name: str, local: bool, why: str) -> None:
    with pytest.raises(engines.ImagesError, match=why):
        engines.choose(name, local=local)


def test_without_any_engine_both_are_named_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(engines.ImagesError) as refused:
        engines.choose("", local=False)
    assert "apt install docker.io" in str(refused.value)
    assert "apt install buildah runc" in str(refused.value)


def test_layers_are_read_in_order_with_their_sizes(tmp_path: Path) -> None:
    contents = {"one/layer.tar": b"a" * 100_000, "two/layer.tar": bytes(range(256)) * 20}
    history = [
        {"created_by": "/bin/sh -c #(nop) ADD file:1 in /"},
        {"created_by": "ENV A=b", "empty_layer": True},
        {"created_by": "RUN --mount=type=bind pip install --requirement /requirements/torch.txt"},
    ]
    files = {
        "manifest.json": json.dumps([{"Config": "config.json", "Layers": list(contents)}]).encode(),
        "config.json": json.dumps({"history": history}).encode(),
        **contents,
    }
    archive = tmp_path / "image.tar"
    with tarfile.open(archive, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    first, second = sizes.read(archive)
    assert (first.made_by, first.unpacked) == ("ADD file:1 in /", 100_000)
    assert (second.made_by, second.unpacked) == ("requirements/torch.txt", 5120)
    for layer, content in ((first, contents["one/layer.tar"]), (second, contents["two/layer.tar"])):
        assert abs(layer.download - len(gzip.compress(content, 6))) < 64


APT = "/bin/sh -c apt-get update     && apt-get install --yes --no-install-recommends g++ libnuma1     && rm"
SBOM = "RUN |1 A=1 /bin/sh -c mkdir -p /usr/share/rephrase && /app/bin/python /images/sbom.py x"


@pytest.mark.parametrize(
    ("made_by", "shown"),
    [
        (APT, "Debian: g++ libnuma1"),
        ("/bin/sh -c #(nop) COPY dir:1 in /app", "this project"),
        (SBOM, "bill of materials"),
        ("", "base image"),
        ("/bin/sh", "base image"),
    ],
)
def test_a_layer_is_named_by_what_it_brings(made_by: str, shown: str) -> None:
    assert sizes.shortened(made_by) == shown


def test_layers_are_listed_by_size_without_the_tiny_ones() -> None:
    found = [sizes.Layer("small", 10, 5), sizes.Layer("b", 2_000_000, 1), sizes.Layer("a", 3_000_000, 2)]
    listed: Any = [layer.made_by for layer in sizes.largest(found)]
    assert listed == ["a", "b"]
