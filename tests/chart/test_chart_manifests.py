"""What the chart renders: valid on every supported Kubernetes, and locked down."""

from __future__ import annotations

import tomllib
from typing import Any

import kubernetes_validate
import pytest

from rephrase_operator import settings
from tests.chart.helm import CHART, ROOT, Manifest, helm, load, of_kind, render, the

KUBERNETES = ["1.33", "1.34", "1.35", "1.36", "1.37"]

VALUES: dict[str, Manifest] = {
    "defaults": {},
    "namespaces": {"watchNamespaces": ["team-a", "team-b"]},
    "cpu": {"worker": {"acceleratorResource": "", "image": {"repository": "registry.example/worker-cpu"}}},
    "own-account": {"serviceAccount": {"create": False, "name": "mine"}, "aggregateRoles": False},
    "everything": {
        "fullnameOverride": "rephrase",
        "image": {"repository": "registry.example/operator", "tag": "1", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "logLevel": "debug",
        "metrics": {"port": 9000, "service": {"create": False}},
        "resources": {"requests": {"cpu": 1}, "limits": {"memory": "2Gi"}},
        "podAnnotations": {"example.com/a": "b"},
        "podLabels": {"team": "data"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "system", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "Exists"}]}]
                }
            }
        },
        "priorityClassName": "system-cluster-critical",
    },
}


def container(values: Manifest | None = None) -> dict[str, Any]:
    (only,) = the(render(values), "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def test_lint_is_clean_in_strict_mode() -> None:
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_every_manifest_is_valid_on_every_supported_kubernetes(values: Manifest) -> None:
    for manifest in render(values):
        for version in KUBERNETES:
            assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_the_oldest_supported_kubernetes_is_the_charts_own() -> None:
    old = helm("template", "test", CHART, "--kube-version", "1.32.9")
    assert old.returncode != 0
    assert "1.33" in old.stderr
    assert helm("template", "test", CHART, "--kube-version", KUBERNETES[0]).returncode == 0


def test_every_object_lies_in_the_releases_namespace_or_in_none() -> None:
    for manifest in render({"watchNamespaces": []}, namespace="elsewhere"):
        cluster_wide = manifest["kind"] in ("ClusterRole", "ClusterRoleBinding")
        assert manifest["metadata"].get("namespace") == (None if cluster_wide else "elsewhere")


def test_two_releases_share_no_name() -> None:
    def names(release: str) -> set[tuple[str, str]]:
        return {(m["kind"], m["metadata"]["name"]) for m in render(release=release)}

    assert not names("one") & names("two")


def test_the_operator_runs_once_without_root_or_a_writable_file_system() -> None:
    spec = the(render(), "Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    pod = spec["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "volumes" not in pod


def test_the_probes_and_the_service_reach_the_metrics_port() -> None:
    manifests = render({"metrics": {"port": 9123}})
    (only,) = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert only["ports"] == [{"name": "metrics", "containerPort": 9123}]
    for probe in ("livenessProbe", "readinessProbe"):
        assert only[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    service = the(manifests, "Service")
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 9123, "targetPort": "metrics"}]
    assert service["metadata"]["annotations"]["prometheus.io/port"] == "9123"
    labels = the(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_the_metrics_service_can_be_left_out() -> None:
    assert not of_kind(render({"metrics": {"service": {"create": False}}}), "Service")


def test_pod_labels_cannot_take_the_place_of_the_selectors() -> None:
    template = the(render({"podLabels": {"app.kubernetes.io/name": "other"}}), "Deployment")["spec"][
        "template"
    ]
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "rephrase-operator"


def test_the_operator_understands_every_flag_and_gets_what_the_values_say() -> None:
    assert settings.parse(container()["args"]) == settings.Settings(worker_image="rephrase-worker:0.1.0")
    values = {
        "watchNamespaces": ["team-a", "team-b"],
        "worker": {
            "image": {"repository": "r.example/w", "tag": "7"},
            "acceleratorResource": "amd.com/gpu",
            "securityContext": {"pod": {"fsGroup": 10001}, "container": {"readOnlyRootFilesystem": True}},
        },
        "metrics": {"port": 9123},
        "logLevel": "debug",
    }
    told = settings.parse(container(values)["args"])
    assert told.namespaces == ("team-a", "team-b")
    assert told.worker_image == "r.example/w:7"
    assert told.accelerator_resource == "amd.com/gpu"
    assert told.pod_security_context["fsGroup"] == 10001
    assert told.pod_security_context["runAsNonRoot"] is True
    assert told.container_security_context["readOnlyRootFilesystem"] is True
    assert (told.metrics_port, told.log_level) == (9123, "DEBUG")


def test_the_operator_runs_on_cpus_when_there_is_no_accelerator() -> None:
    assert (
        settings.parse(container({"worker": {"acceleratorResource": ""}})["args"]).accelerator_resource == ""
    )


def test_the_operator_learns_its_name_and_namespace_from_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {env["name"]: env["valueFrom"]["fieldRef"]["fieldPath"] for env in container()["env"]}
    assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
    monkeypatch.setenv("POD_NAME", "a")
    monkeypatch.setenv("POD_NAMESPACE", "b")
    told = settings.parse([])
    assert (told.identity, told.lease_namespace) == ("a", "b")


def test_images_follow_the_charts_version_until_told_otherwise() -> None:
    assert container()["image"] == "rephrase-operator:0.1.0"
    assert container({"image": {"repository": "r.example/o", "tag": "2"}})["image"] == "r.example/o:2"


def test_the_notes_fit_on_a_screen() -> None:
    done = helm("install", "test", CHART, "--dry-run=client", "--set", "watchNamespaces={a,b}")
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2].strip()
    assert "the namespaces a, b." in notes
    assert len(notes.splitlines()) < 15


def test_chart_and_package_have_one_version() -> None:
    (chart,) = load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]
