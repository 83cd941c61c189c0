"""The monitors: what they select exists, what they keep is what is read, and Prometheus takes them as its
own.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rephrase_worker.report.metrics import WORKER_METRICS
from scripts.monitoring import chart, discovery, scrape
from tests.chart.helm import CHART, ROOT, Manifest, of_kind, render, the
from tests.operator.builders import World
from tests.programs import program

BOTH: Manifest = {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}


def endpoint(monitor: Manifest) -> dict[str, Any]:
    """The only endpoint of a monitor."""
    (found,) = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
    return dict(found)


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return render({"metrics": BOTH})


def kept(monitor: Manifest) -> re.Pattern[str]:
    (rule,) = endpoint(monitor)["metricRelabelings"]
    assert (rule["action"], rule["sourceLabels"]) == ("keep", ["__name__"])
    return re.compile(rule["regex"])


def test_there_are_no_monitors_unless_asked_for() -> None:
    assert not {"PodMonitor", "ServiceMonitor"} & {manifest["kind"] for manifest in render()}


def test_the_pod_monitor_selects_the_pods_that_serve_metrics_and_no_others(manifests: list[Manifest]) -> None:
    monitor = the(manifests, "PodMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    world = World().planned(shards=1)
    world.succeed(0).job_says("generate", complete=True).run()
    pods = {step: job["spec"]["template"] for step, job in world.manifests.items() if job["kind"] == "Job"}
    selected = {step for step, pod in pods.items() if wanted <= pod["metadata"]["labels"].items()}
    assert pods.keys() > {"plan", "generate"}
    assert selected == {step for step, pod in pods.items() if "ports" in pod["spec"]["containers"][0]}
    for step in selected:
        assert monitor["spec"]["jobLabel"] in pods[step]["metadata"]["labels"]
        (port,) = pods[step]["spec"]["containers"][0]["ports"]
        assert port["name"] == endpoint(monitor)["port"]


def test_the_service_monitor_selects_the_operators_service(manifests: list[Manifest]) -> None:
    monitor, service = the(manifests, "ServiceMonitor"), the(manifests, "Service")
    selected = monitor["spec"]["selector"]["matchLabels"].items()
    assert selected <= service["metadata"]["labels"].items()
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [service["metadata"]["namespace"]]}
    assert endpoint(monitor)["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint(monitor)["honorLabels"] is True


def test_workers_are_looked_for_where_the_operator_serves() -> None:
    def namespaces(*watched: str) -> Any:
        values = {"watchNamespaces": list(watched), "metrics": BOTH}
        return the(render(values), "PodMonitor")["spec"]["namespaceSelector"]

    assert namespaces() == {"any": True}
    assert namespaces("a", "b") == {"matchNames": ["a", "b"]}


def test_every_metric_of_a_worker_is_kept_and_every_one_of_vllms_that_the_chart_reads(
    manifests: list[Manifest],
) -> None:
    keep = kept(the(manifests, "PodMonitor"))
    for metric in WORKER_METRICS:
        assert keep.fullmatch(metric.name), metric.name
    read = {
        name
        for path in CHART.rglob("*")
        if path.suffix in (".yaml", ".json") and path.is_file() and path.parent.name != "templates"
        for name in re.findall(r"vllm:[a-z_]+", path.read_text())
    }
    assert not [name for name in read if not keep.fullmatch(name)]
    for dropped in ("vllm:e2e_request_latency_seconds_bucket", "python_gc_objects_collected_total"):
        assert not keep.fullmatch(dropped)


def test_more_metrics_relabelings_and_labels_can_be_asked_for() -> None:
    relabeling = {"targetLabel": "cluster", "replacement": "west"}
    more = {"labels": {"release": "prom"}, "interval": "15s", "relabelings": [relabeling], "enabled": True}
    manifests = render({"metrics": {"podMonitor": more | {"keep": ["python_.+"]}, "serviceMonitor": more}})
    assert kept(the(manifests, "PodMonitor")).fullmatch("python_info")
    for kind in ("PodMonitor", "ServiceMonitor"):
        monitor = the(manifests, kind)
        assert monitor["metadata"]["labels"]["release"] == "prom"
        assert endpoint(monitor)["interval"] == "15s"
        assert endpoint(monitor)["relabelings"][-1] == relabeling


def test_the_monitors_have_names_of_their_own(manifests: list[Manifest]) -> None:
    for kind in ("PodMonitor", "ServiceMonitor"):
        assert len(of_kind(manifests, kind)) == 1
        assert the(manifests, kind)["metadata"]["namespace"] == "rephrase"


def pod_of(template: Manifest, name: str, **status: str) -> Manifest:
    """A pod of a Job's template, as the API server would show it."""
    meta = template["metadata"] | {"namespace": "team", "name": name}
    return {"metadata": meta, "spec": template["spec"] | {"nodeName": "gpu-7"}, "status": status}


def relabeled(labels: dict[str, str], rules: list[dict[str, Any]]) -> dict[str, str] | None:
    """What Prometheus makes of a target's or a series' labels by these rules; None when it drops it.

    The defaults are those of its documentation.
    """
    labels = dict(labels)
    for rule in rules:
        source = ";".join(labels.get(name, "") for name in rule.get("source_labels", []))
        match = re.fullmatch(rule.get("regex", "(.*)"), source)
        action = rule.get("action", "replace")
        if action == "replace":
            if match:
                written = re.sub(r"\$\{?1\}?", r"\\1", rule.get("replacement", "$1"))
                labels[rule["target_label"]] = match.expand(written)
        elif (match is None) == (action == "keep"):
            return None
    return {name: value for name, value in labels.items() if value and not name.startswith("__meta_")}


def test_a_worker_gets_the_labels_of_its_job_pod_and_node() -> None:
    template = World().planned().manifests["generate"]["spec"]["template"]
    planner = World().run().manifests["plan"]["spec"]["template"]
    groups = discovery.target_groups(
        [
            pod_of(template, "runs", phase="Running", podIP="10.0.0.1"),
            pod_of(template, "ended", phase="Succeeded", podIP="10.0.0.2"),
            pod_of(template, "waits", phase="Pending"),
            pod_of(planner, "plans", phase="Running", podIP="10.0.0.3"),
        ]
    )
    assert ["10.0.0.1:8080"] in [group["targets"] for group in groups]
    for watched, seen in (((), True), (("team",), True), (("other",), False)):
        monitor = the(render({"watchNamespaces": list(watched), "metrics": BOTH}), "PodMonitor")
        (config,) = scrape.scrape_configs([monitor], pods="http://127.0.0.1:1")
        found = [relabeled(group["labels"], config["relabel_configs"]) for group in groups]
        assert [labels for labels in found if labels] == seen * [
            {
                "namespace": "team",
                "job": template["metadata"]["labels"]["rephrase.dev/job"],
                "pod": "runs",
                "node": "gpu-7",
                "container": "worker",
                "endpoint": "metrics",
            }
        ]


def test_a_jobs_series_do_not_change_when_the_operator_moves(manifests: list[Manifest]) -> None:
    (config,) = scrape.scrape_configs([the(manifests, "ServiceMonitor")])
    pod = {"pod": "operator-1", "instance": "10.0.0.9:9090", "namespace": "team", "job": "finephrase"}
    job = relabeled({"__name__": "rephrase_job_workers"} | pod, config["metric_relabel_configs"])
    assert job == {"__name__": "rephrase_job_workers", "namespace": "team", "job": "finephrase"}
    own = {"__name__": "rephrase_operator_reconcile_errors_total"} | pod
    assert relabeled(own, config["metric_relabel_configs"]) == own


def test_prometheus_takes_the_translation_of_both_monitors(tmp_path: Path, manifests: list[Manifest]) -> None:
    monitors = of_kind(manifests, "PodMonitor") + of_kind(manifests, "ServiceMonitor")
    path = tmp_path / "prometheus.yml"
    # Debian's Prometheus is built without the discovery of Kubernetes, so it checks all but that.
    elsewhere = scrape.configuration(monitors, pods="http://127.0.0.1:1", operator="127.0.0.1:9090")
    path.write_text(yaml.safe_dump(elsewhere))
    command = [program("promtool"), "check", "config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_field_without_a_translation_is_refused(manifests: list[Manifest]) -> None:
    monitor = the(manifests, "PodMonitor")
    unknown = monitor | {"spec": monitor["spec"] | {"sampleLimit": 5}}
    with pytest.raises(ValueError, match="sampleLimit"):
        scrape.configuration([unknown])
    with pytest.raises(ValueError, match="Service"):
        scrape.configuration([the(manifests, "Service")])


def test_the_documented_scrape_configuration_is_that_of_the_charts_monitors() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text()
    (documented,) = (
        yaml.safe_load(block)
        for block in re.findall(r"```yaml[^\n]*\n(.*?)```", text, re.DOTALL)
        if "scrape_configs" in block
    )
    monitors = chart.monitors(namespace="rephrase", release="rephrase-operator")
    assert documented == {"scrape_configs": scrape.scrape_configs(monitors)}
