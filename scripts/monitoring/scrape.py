"""PodMonitors and ServiceMonitors as Prometheus' scrape configuration.

The Prometheus operator makes the same of them (its `pkg/prometheus/promcfg.go`). Only the fields that the
chart sets are known; any other is an error, because leaving it out would scrape something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.monitoring.discovery import label_name

Manifest = Mapping[str, Any]
Relabeling = dict[str, Any]

_POD = "__meta_kubernetes_pod"
_SERVICE = "__meta_kubernetes_service"
_ENDPOINT_FIELDS = {
    "port", "path", "interval", "scrapeTimeout", "honorLabels", "relabelings", "metricRelabelings"
}  # fmt: skip


def configuration(
    monitors: Iterable[Manifest],
    *,
    pods: str | None = None,
    operator: str | None = None,
    rules: Sequence[str] = (),
    interval: str = "30s",
) -> dict[str, Any]:
    """Prometheus' configuration for these monitors.

    As it is, it is for a Prometheus in the cluster. Elsewhere, `pods` is the URL of a `discovery`, and
    `operator` is an address (`127.0.0.1:9090`) in the place of the ServiceMonitor's Service. `rules` are rule
    files. `interval` is that of evaluating rules, and of monitors that say none.
    """
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        **({"rule_files": list(rules)} if rules else {}),
        "scrape_configs": scrape_configs(monitors, pods=pods, operator=operator),
    }


def scrape_configs(
    monitors: Iterable[Manifest], *, pods: str | None = None, operator: str | None = None
) -> list[dict[str, Any]]:
    """One entry of `scrape_configs` for each endpoint of each monitor; see `configuration`."""
    found = []
    for monitor in monitors:
        spec = monitor["spec"]
        match monitor["kind"]:
            case "PodMonitor":
                _refuse_unknown(spec, {"namespaceSelector", "selector", "jobLabel", "podMetricsEndpoints"})
                for endpoint in spec["podMetricsEndpoints"]:
                    relabelings = _of_pods(monitor, endpoint)
                    if pods is None:
                        discovery = _kubernetes("pod", spec)
                    else:
                        discovery, relabelings = _http(pods), _in_namespaces(spec) + relabelings
                    found.append(_scrape(monitor, endpoint, discovery, relabelings))
            case "ServiceMonitor":
                _refuse_unknown(spec, {"namespaceSelector", "selector", "endpoints"})
                for endpoint in spec["endpoints"]:
                    if operator is None:
                        discovery = _kubernetes("endpointslice", spec)
                        relabelings = _of_services(spec, endpoint)
                    else:
                        labels = {"namespace": monitor["metadata"]["namespace"]}
                        discovery = {"static_configs": [{"targets": [operator], "labels": labels}]}
                        relabelings = []
                    found.append(_scrape(monitor, endpoint, discovery, relabelings))
            case kind:
                raise ValueError(f"{kind} is no monitor: give PodMonitors and ServiceMonitors")
    return found


def _scrape(
    monitor: Manifest, endpoint: Manifest, discovery: Mapping[str, Any], relabelings: list[Relabeling]
) -> dict[str, Any]:
    _refuse_unknown(endpoint, _ENDPOINT_FIELDS)
    meta, kind = monitor["metadata"], monitor["kind"]
    found: dict[str, Any] = {
        "job_name": f"{kind[0].lower()}{kind[1:]}/{meta['namespace']}/{meta['name']}",
        "honor_labels": endpoint.get("honorLabels", False),
        **discovery,
    }
    named = {"interval": "scrape_interval", "scrapeTimeout": "scrape_timeout", "path": "metrics_path"}
    found |= {ours: endpoint[theirs] for theirs, ours in named.items() if theirs in endpoint}
    found["relabel_configs"] = relabelings + _translated(endpoint.get("relabelings", ()))
    found["metric_relabel_configs"] = _translated(endpoint.get("metricRelabelings", ()))
    return found


def _kubernetes(role: str, spec: Manifest) -> dict[str, Any]:
    config: dict[str, Any] = {"role": role}
    if not spec["namespaceSelector"].get("any"):
        config["namespaces"] = {"names": list(spec["namespaceSelector"]["matchNames"])}
    return {"kubernetes_sd_configs": [config]}


def _http(url: str) -> dict[str, Any]:
    return {"http_sd_configs": [{"url": url, "refresh_interval": "5s"}]}


def _in_namespaces(spec: Manifest) -> list[Relabeling]:
    """What Prometheus' own discovery does by asking for these namespaces only."""
    names = spec["namespaceSelector"].get("matchNames")
    return [_keep("__meta_kubernetes_namespace", "|".join(names))] if names else []


def _of_pods(monitor: Manifest, endpoint: Manifest) -> list[Relabeling]:
    spec, meta = monitor["spec"], monitor["metadata"]
    return [
        _ended_pods(),
        *_selected(_POD, spec["selector"]),
        _keep(f"{_POD}_container_port_name", endpoint["port"]),
        _copy("__meta_kubernetes_namespace", "namespace"),
        _copy(f"{_POD}_container_name", "container"),
        _copy(f"{_POD}_name", "pod"),
        {"target_label": "job", "replacement": f"{meta['namespace']}/{meta['name']}"},
        _copy(_label(_POD, spec["jobLabel"]), "job") | {"regex": "(.+)"},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]


def _of_services(spec: Manifest, endpoint: Manifest) -> list[Relabeling]:
    return [
        *_selected(_SERVICE, spec["selector"]),
        _keep("__meta_kubernetes_endpointslice_port_name", endpoint["port"]),
        _copy("__meta_kubernetes_namespace", "namespace"),
        _copy(f"{_SERVICE}_name", "service"),
        _copy(f"{_POD}_name", "pod"),
        _copy(f"{_POD}_container_name", "container"),
        _ended_pods(),
        _copy(f"{_SERVICE}_name", "job"),
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]


def _ended_pods() -> Relabeling:
    return {"action": "drop", "source_labels": [f"{_POD}_phase"], "regex": "(Failed|Succeeded)"}


def _selected(prefix: str, selector: Manifest) -> list[Relabeling]:
    _refuse_unknown(selector, {"matchLabels"})
    return [_keep(_label(prefix, name), value) for name, value in sorted(selector["matchLabels"].items())]


def _label(prefix: str, name: str) -> str:
    """The label in which Prometheus' discovery hands over a label of an object."""
    return f"{prefix}_label_{label_name(name)}"


def _keep(source: str, value: str) -> Relabeling:
    return {"action": "keep", "source_labels": [source], "regex": value}


def _copy(source: str, target: str) -> Relabeling:
    return {"source_labels": [source], "target_label": target}


def _translated(relabelings: Iterable[Manifest]) -> list[Relabeling]:
    """Relabelings of a monitor in Prometheus' spelling."""
    spelled = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return [{spelled.get(key, key): value for key, value in one.items()} for one in relabelings]


def _refuse_unknown(given: Manifest, known: set[str]) -> None:
    if unknown := given.keys() - known:
        raise ValueError(f"no translation of {', '.join(sorted(unknown))}: teach it to {__name__}")
