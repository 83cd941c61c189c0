"""What the chart renders: looked at in reviews, valid on every supported Kubernetes, and locked down."""

from __future__ import annotations

import tomllib
from typing import Any

import kubernetes_validate
import pytest

from rephrase_operator import settings
from rephrase_operator.pod_defaults import PodDefaults
from tests.chart import golden
from tests.chart.helm import CHART, ROOT, Manifest, helm, load, of_kind, render, the

KUBERNETES = ["1.33", "1.34", "1.35", "1.36", "1.37"]

FOREIGN = ("monitoring.coreos.com/", "rephrase.dev/")
"""Groups of custom resources, which no schema of Kubernetes describes."""


def container(values: Manifest | None = None) -> dict[str, Any]:
    (only,) = the(render(values), "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def test_lint_is_clean_in_strict_mode_with_every_value_set() -> None:
    for name in golden.SETS:
        done = helm("lint", "--strict", CHART, "--values", golden.HERE / "values" / f"{name}.yaml")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", golden.SETS)
def test_a_golden_manifest_is_what_the_chart_renders(name: str) -> None:
    assert golden.golden(name).read_text() == golden.text(name), (
        "run `make generate` and look at the difference"
    )


def test_no_golden_manifest_is_left_over() -> None:
    assert sorted(path.stem for path in (golden.HERE / "golden").iterdir()) == golden.SETS


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", golden.SETS)
def test_every_manifest_is_valid_on_every_supported_kubernetes(name: str, version: str) -> None:
    for manifest in golden.rendered(name):
        if not manifest["apiVersion"].startswith(FOREIGN):
            assert kubernetes_validate.validate(manifest, version, strict=True) == version


@pytest.mark.parametrize("name", golden.SETS)
def test_every_object_has_the_labels_by_which_it_is_found(name: str) -> None:
    for manifest in golden.rendered(name):
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "test", manifest["metadata"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


def test_common_labels_and_annotations_are_on_every_object_and_on_the_pods() -> None:
    manifests = golden.rendered("everything")
    pods = [manifest["spec"]["template"] for manifest in manifests if "template" in manifest.get("spec", {})]
    assert pods
    for found in (*manifests, *pods):
        meta = found["metadata"]
        assert meta.get("labels", {}).get("team") == "data", f"rephrase-operator.meta is not used: {meta}"
        assert meta.get("annotations", {}).get("example.com/contact") == "data@example.com", meta


def test_the_oldest_supported_kubernetes_is_the_charts_own() -> None:
    old = helm("template", "test", CHART, "--kube-version", "1.32.9")
    assert old.returncode != 0
    assert "1.33" in old.stderr
    assert helm("template", "test", CHART, "--kube-version", KUBERNETES[0]).returncode == 0


def test_every_object_lies_in_the_releases_namespace_or_in_none() -> None:
    for manifest in render({"watchNamespaces": []}, namespace="elsewhere"):
        cluster_wide = manifest["kind"] in ("ClusterRole", "ClusterRoleBinding")
        assert manifest["metadata"].get("namespace") == (None if cluster_wide else "elsewhere")


def test_two_releases_share_no_object() -> None:
    def objects(**release: str) -> set[tuple[str, str, str]]:
        return {
            (m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]) for m in render(**release)
        }

    assert not objects(release="one") & objects(release="two")
    assert not objects(namespace="one") & objects(namespace="two")
    assert not objects(namespace="a", release="b-c") & objects(namespace="a-b", release="c")


def test_the_operator_has_no_root_and_no_writable_file_system() -> None:
    pod = the(render(), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "volumes" not in pod


def test_an_upgrade_starts_the_new_operator_before_it_ends_the_old_one() -> None:
    strategy = the(render(), "Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_one_replica_has_no_budget_that_would_keep_its_node_from_being_drained() -> None:
    manifests = golden.rendered("default")
    deployment = the(manifests, "Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert "topologySpreadConstraints" not in deployment["template"]["spec"]
    assert not of_kind(manifests, "PodDisruptionBudget")


def test_two_replicas_are_spread_and_only_one_may_be_evicted_at_a_time() -> None:
    manifests = golden.rendered("high-availability")
    deployment = the(manifests, "Deployment")["spec"]
    assert deployment["replicas"] == 2
    labels = deployment["template"]["metadata"]["labels"]
    budget = the(manifests, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    for selector in (budget["selector"], *(each["labelSelector"] for each in spread)):
        assert selector["matchLabels"].items() <= labels.items()


def test_the_installers_own_variables_reach_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    added = container({"extraEnv": [{"name": "REPHRASE_RUN_LEASE_SECONDS", "value": "30"}]})["env"][-1]
    monkeypatch.setenv(added["name"], added["value"])
    assert settings.parse(container()["args"]).lease_seconds == 30


def test_the_probes_and_the_service_reach_the_metrics_port() -> None:
    manifests = render({"metrics": {"port": 9123}})
    (only,) = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert only["ports"] == [{"name": "metrics", "containerPort": 9123}]
    for probe in ("livenessProbe", "readinessProbe"):
        assert only[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    service = the(manifests, "Service")
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 9123, "targetPort": "metrics"}]
    labels = the(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_scrapers_that_look_for_annotations_find_the_service_and_the_workers_if_asked_for() -> None:
    assert "annotations" not in the(render(), "Service")["metadata"]
    assert not settings.parse(container()["args"]).pod_defaults.scrape_annotations
    values = {"metrics": {"port": 9123, "scrapeAnnotations": True, "service": {"annotations": {"a": "b"}}}}
    found = the(render(values), "Service")["metadata"]["annotations"]
    assert (found.pop("prometheus.io/scrape"), found.pop("prometheus.io/port")) == ("true", "9123")
    assert found == {"prometheus.io/path": "/metrics", "a": "b"}
    assert settings.parse(container(values)["args"]).pod_defaults.scrape_annotations


def test_the_metrics_service_can_be_left_out() -> None:
    assert not of_kind(render({"metrics": {"service": {"create": False}}}), "Service")


def test_pod_labels_cannot_take_the_place_of_the_selectors() -> None:
    for values in ("podLabels", "commonLabels"):
        rendered = render({values: {"app.kubernetes.io/name": "other"}})
        template = the(rendered, "Deployment")["spec"]["template"]
        assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "rephrase-operator"


def test_the_operator_understands_every_flag_and_gets_what_the_values_say() -> None:
    told = settings.parse(container()["args"])
    assert told == settings.Settings(
        worker_image="rephrase-worker:0.1.0", pod_defaults=PodDefaults(image_pull_policy="IfNotPresent")
    )
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
    assert told.pod_defaults.accelerator_resource == "amd.com/gpu"
    pods = told.pod_defaults
    assert pods.pod_security_context["fsGroup"] == 10001
    assert pods.pod_security_context["runAsNonRoot"] is True
    assert pods.container_security_context["readOnlyRootFilesystem"] is True
    assert (told.metrics_port, told.log_level) == (9123, "DEBUG")


def test_the_settings_of_job_pods_get_through_as_they_are() -> None:
    given = {
        "imagePullSecrets": [{"name": "registry"}],
        "runtimeClassName": "nvidia",
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "stepNodeSelector": {"pool": "cpu"},
        "stepTolerations": [{"key": "batch", "value": "yes"}],
        "stepResources": {"requests": {"cpu": 0.5, "memory": "1Gi"}},
        "priorityClassName": "batch",
        "podLabels": {"team": "data"},
        "podAnnotations": {"example.com/said": 'a "quoted" <word>: {"json": 1}'},
        "env": {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".svc,10.0.0.0/8"},
        "modelCache": {"claimName": "models"},
    }
    pods = settings.parse(container({"worker": given})["args"]).pod_defaults
    assert pods == PodDefaults.model_validate(
        {
            **{name: value for name, value in given.items() if not name.startswith(("pod", "modelCache"))},
            "imagePullPolicy": "IfNotPresent",
            "labels": given["podLabels"],
            "annotations": given["podAnnotations"],
            "modelCacheClaim": "models",
            "stepResources": {
                "requests": {"cpu": 0.5, "memory": "1Gi"},
                "limits": {"cpu": "4", "memory": "8Gi"},
            },
        }
    )


def test_the_operator_runs_on_cpus_when_there_is_no_accelerator() -> None:
    assert (
        settings.parse(
            container({"worker": {"acceleratorResource": ""}})["args"]
        ).pod_defaults.accelerator_resource
        == ""
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


def test_an_image_can_be_pinned_by_its_digest() -> None:
    digest = f"sha256:{'0' * 64}"
    image = {"repository": "r.example/o", "tag": "2", "digest": digest}
    pinned = container({"image": image, "worker": {"image": image}})
    assert pinned["image"] == f"r.example/o@{digest}"
    assert settings.parse(pinned["args"]).worker_image == f"r.example/o@{digest}"


def test_chart_and_package_have_one_version() -> None:
    (chart,) = load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]
