"""The demo on the user's own cluster: what it refuses, what it puts there, how it reads a pod's trouble."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from rephrase_operator import api
from scripts.demo.input import Wish
from scripts.demo.own import in_pod, manifests, preflight, run, waiting
from scripts.demo.own.manifests import CLAIM, NAMESPACE, Images
from scripts.demo.shell import DemoError
from tests.chart.helm import render

IMAGES = Images("rephrase-operator:0.1.0", "registry.example.com:5000/rephrase-worker-cpu:0.1.0")


def node(architecture: str) -> dict[str, Any]:
    return {"status": {"nodeInfo": {"architecture": architecture}}}


def storage_class(name: str, default: str = "false") -> dict[str, Any]:
    return {"metadata": {"name": name, "annotations": {preflight.DEFAULT_CLASS: default}}}


def pod(reason: str = "", message: str = "", *, unscheduled: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    status: dict[str, Any] = {"containerStatuses": [{"image": IMAGES.worker, "state": state}]}
    if unscheduled:
        status = {"conditions": [{"type": "PodScheduled", "status": "False", "message": unscheduled}]}
    return {"metadata": {"name": "seed-x"}, "status": status}


@pytest.mark.parametrize(
    ("architectures", "selector"),
    [
        (["amd64"], {}),
        (["amd64", "arm64"], {preflight.ARCHITECTURE: "amd64"}),
        (["x86_64"], {}),
    ],
)
def test_pods_go_to_nodes_that_can_run_the_images(architectures: list[str], selector: dict[str, str]) -> None:
    assert preflight.node_selector([node(name) for name in architectures]) == selector


@pytest.mark.parametrize(("architectures", "message"), [(["arm64"], "arm64.*amd64"), ([], "no nodes")])
def test_nodes_that_cannot_are_refused(architectures: list[str], message: str) -> None:
    with pytest.raises(DemoError, match=message):
        preflight.node_selector([node(name) for name in architectures])


def test_the_default_storage_class_is_taken_unless_one_is_given() -> None:
    classes = [storage_class("slow"), storage_class("standard", "true")]
    assert preflight.chosen_class(classes, None) == "standard"
    assert preflight.chosen_class(classes, "slow") == "slow"
    with pytest.raises(DemoError, match=r"no such StorageClass .*slow, standard"):
        preflight.chosen_class(classes, "fast")
    with pytest.raises(DemoError, match=r"STORAGE_CLASS=.*slow"):
        preflight.chosen_class(classes[:1], None)
    with pytest.raises(DemoError, match="none at all"):
        preflight.chosen_class([], None)


def test_a_second_operator_is_refused() -> None:
    own = {"metadata": {"name": "operator", "namespace": NAMESPACE}}
    other = {"metadata": {"name": "rephrase-operator", "namespace": "rephrase"}}
    preflight.refuse_second_operator([own], NAMESPACE)
    with pytest.raises(DemoError, match="in namespace rephrase"):
        preflight.refuse_second_operator([own, other], NAMESPACE)


@pytest.mark.parametrize(
    ("context", "advice"),
    [
        ("kind-lab", f"kind load docker-image {IMAGES.worker} --name lab"),
        ("k3d-lab", f"k3d image import {IMAGES.worker} --cluster lab"),
        ("minikube", f"minikube image load {IMAGES.worker}"),
        ("prod", "WORKER_IMAGE="),
    ],
)
def test_an_image_that_cannot_be_pulled_is_told_with_the_way_to_load_it(context: str, advice: str) -> None:
    said = waiting.trouble([pod(), pod("ImagePullBackOff", "not found")], context)
    assert f"can't get the image {IMAGES.worker}" in said
    assert "not found" in said
    assert advice in said


def test_what_may_pass_is_waited_for() -> None:
    passing = [pod(), pod("ContainerCreating"), pod("ErrImagePull"), pod(unscheduled="no memory")]
    assert waiting.trouble(passing, "kind-lab") == ""
    assert waiting.trouble([pod("CrashLoopBackOff", "back-off")], "kind-lab") == (
        "pod seed-x: CrashLoopBackOff: back-off"
    )
    said = waiting.hindrance(passing)
    assert "not scheduled: no memory" in said
    assert "waits: ErrImagePull" in said


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b:1", {"repository": "a/b", "tag": "1"}),
        ("a/b", {"repository": "a/b"}),
        ("host:5000/b", {"repository": "host:5000/b"}),
        ("host:5000/b:1", {"repository": "host:5000/b", "tag": "1"}),
        ("a/b@sha256:0f", {"repository": "a/b", "digest": "sha256:0f"}),
    ],
)
def test_an_image_is_divided_at_its_tag_or_digest(name: str, expected: dict[str, str]) -> None:
    assert manifests.image(name) == expected


def test_the_chart_takes_the_values() -> None:
    values = manifests.values(IMAGES, {preflight.ARCHITECTURE: "amd64"})
    rendered = render(values, namespace=NAMESPACE, release=run.RELEASE)
    assert "ClusterRole" not in {manifest["kind"] for manifest in rendered}
    (deployment,) = (manifest for manifest in rendered if manifest["kind"] == "Deployment")
    assert deployment["metadata"]["labels"]["app.kubernetes.io/name"] == "rephrase-operator"
    template = deployment["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/instance"] == run.RELEASE
    assert template["spec"]["nodeSelector"] == {preflight.ARCHITECTURE: "amd64"}
    assert f"--worker-image={IMAGES.worker}" in template["spec"]["containers"][0]["args"]


def test_what_the_demo_applies_fits_the_schemas(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    applied = [
        manifests.namespace(),
        manifests.claim("standard"),
        manifests.scripts(),
        manifests.config_map("documents", tmp_path),
        *(manifests.task(name, IMAGES, {}) for name in ("seed", "read")),
    ]
    for manifest in applied:
        kubernetes_validate.validate(manifest, "1.33", strict=True)


@pytest.mark.parametrize("model", [manifests.MODEL, "/models/SmolLM2"])
def test_the_job_reads_and_writes_the_claim(model: str) -> None:
    manifest = manifests.job(model, "abc", own=True, documents=2)
    spec = api.parse_spec(manifest["spec"])
    assert (spec.source.uri, spec.output.uri) == (f"pvc://{CLAIM}/input", f"pvc://{CLAIM}/output")
    assert spec.source.max_documents == 2
    assert spec.worker.model_cache_claim == (CLAIM if model == manifests.MODEL else None)


def test_documents_go_onto_the_claim_and_come_back_with_the_output(tmp_path: Path) -> None:
    documents, claim = tmp_path / "documents", tmp_path / "claim"
    (documents / "..data").mkdir(parents=True)
    (documents / "b.jsonl").write_bytes(b"\x00\xff" * 5000)
    (claim / "output" / "old").mkdir(parents=True)
    in_pod.seed(documents, claim)
    assert [path.name for path in claim.rglob("*")] == ["input", "b.jsonl"]

    (claim / "output").mkdir()
    read = [sys.executable, in_pod.__file__, "read", str(claim)]
    log = subprocess.run(read, capture_output=True, check=True).stdout
    assert max(map(len, log.splitlines())) <= in_pod.LINE
    run.unpack(log, tmp_path / "back")
    back, seeded = tmp_path / "back" / "input" / "b.jsonl", claim / "input" / "b.jsonl"
    assert back.read_bytes() == (documents / "b.jsonl").read_bytes()
    assert back.stat().st_mtime_ns == seeded.stat().st_mtime_ns, "a plan would call the copy changed"
    assert (tmp_path / "back" / "output").is_dir()


def test_a_job_is_known_by_what_it_was_made_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "HOME", tmp_path)
    folder = run.write_input(Wish(3, None))
    first = run.fingerprint(folder, "model", "image", 3)
    assert run.fingerprint(run.write_input(Wish(3, None)), "model", "image", 3) == first
    assert run.fingerprint(run.write_input(Wish(4, None)), "model", "image", 3) != first
    assert run.fingerprint(folder, "model", "another image", 3) != first


def test_documents_that_a_config_map_cannot_hold_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "HOME", tmp_path / "home")
    large = tmp_path / "large.jsonl"
    large.write_bytes(b"x" * (run.LARGEST_INPUT + 1))
    with pytest.raises(DemoError, match="too many for the demo"):
        run.write_input(Wish(None, large))
