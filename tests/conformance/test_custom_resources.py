"""Custom resources as kubectl sees them: validation, defaults, columns, status and scale."""

import json
import subprocess
from typing import Any

import pytest

from localcluster import Cluster
from tests.conformance.conftest import Api, Widgets


def create(cluster: Cluster, obj: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return cluster.kubectl("create", "-f", "-", stdin=json.dumps(obj), check=False)


def test_defaults_are_filled_in_and_unknown_fields_refused(
    cluster: Cluster, namespace: str, widgets: Widgets
) -> None:
    assert create(cluster, widgets.make(namespace, free={"any": 1})).returncode == 0
    spec = cluster.get(f"widgets.{widgets.group}", "one", "-n", namespace)["spec"]
    assert spec == {
        "source": "here",
        "replicas": 1,
        "mode": "slow",
        "low": 0,
        "high": 5,
        "nested": {"x": 7},
        "free": {"any": 1},
    }
    refused = create(cluster, widgets.make(namespace, "two", sorce="x", nested={"y": 1}))
    assert (
        'strict decoding error: unknown field "spec.nested.y", unknown field "spec.sorce"' in refused.stderr
    )
    dropped = cluster.kubectl(
        "create", "--validate=warn", "-f", "-", stdin=json.dumps(widgets.make(namespace, "two", sorce="x"))
    )
    assert 'Warning: unknown field "spec.sorce"' in dropped.stderr
    assert "sorce" not in cluster.get(f"widgets.{widgets.group}", "two", "-n", namespace)["spec"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"mode": "odd"}, 'spec.mode: Unsupported value: "odd": supported values: "slow", "fast"'),
        (
            {"source": ""},
            'spec.source: Invalid value: "": spec.source in body should be at least 1 chars long',
        ),
        ({"source": "x" * 11}, "spec.source: Too long: may not be more than 10 bytes"),
        (
            {"replicas": -1},
            "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
        ),
        (
            {"replicas": 10},
            "spec.replicas: Invalid value: 10: spec.replicas in body should be less than or equal to 9",
        ),
        (
            {"replicas": "a"},
            'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
        (
            {"replicas": 1.5},
            'spec.replicas: Invalid value: "number": spec.replicas in body must be of type integer: "number"',
        ),
        ({"code": "A1"}, "spec.code: Invalid value: \"A1\": spec.code in body should match '^[a-z]+$'"),
        ({"names": ["a", "b", "c"]}, "spec.names: Too many: 3: must have at most 2 items"),
        (
            {"names": [1]},
            'spec.names[0]: Invalid value: "integer": spec.names[0] in body must be of type string',
        ),
        (
            {"labels": {"a": 1}},
            'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string',
        ),
        (
            {"amount": []},
            'spec.amount: Invalid value: "array": spec.amount in body must be of type integer,string',
        ),
        (
            {"ratio": 1.5},
            "spec.ratio: Invalid value: 1.5: spec.ratio in body should be less than or equal to 1",
        ),
        ({"parts": [{"size": 1}]}, "spec.parts[0].name: Required value"),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, 'spec.parts[1]: Duplicate value: {"name":"a"}'),
        ({"low": 6}, "spec.low: Invalid value: low must not exceed high"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_invalid_fields_are_named(
    api: Api, namespace: str, widgets: Widgets, spec: dict[str, Any], message: str
) -> None:
    refused = api("POST", widgets.path(namespace), widgets.make(namespace, **spec)).json()
    assert refused["reason"] == "Invalid"
    assert message in refused["message"]


def test_several_faults_are_listed_and_rules_wait_for_structure(
    cluster: Cluster, namespace: str, widgets: Widgets
) -> None:
    body = widgets.make(namespace, mode="odd", low=9)
    del body["spec"]["source"]
    lines = create(cluster, body).stderr
    assert lines.startswith('The Widget "one" is invalid: ')
    assert "* spec.source: Required value" in lines
    assert '* spec.mode: Unsupported value: "odd"' in lines
    assert "* <nil>: Invalid value: null: some validation rules were not checked" in lines
    assert "low must not exceed high" not in lines


def test_a_missing_object_is_required(cluster: Cluster, namespace: str, widgets: Widgets) -> None:
    body = widgets.make(namespace)
    del body["spec"]
    assert "spec: Required value" in create(cluster, body).stderr


def test_transition_rules_hold_on_updates_only(cluster: Cluster, namespace: str, widgets: Widgets) -> None:
    kind = f"widgets.{widgets.group}"
    cluster.apply(widgets.make(namespace, fixed="a"))

    def patch(body: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
        return cluster.kubectl(
            "patch", kind, "one", "-n", namespace, "--type=merge", "-p", json.dumps(body), *more, check=False
        )

    assert "spec.fixed: Invalid value: " in patch({"spec": {"fixed": "b"}}).stderr
    assert patch({"spec": {"source": "there"}}).returncode == 0
    assert patch({"status": {"started": True}}, "--subresource=status").returncode == 0
    refused = patch({"spec": {"source": "elsewhere"}})
    assert "spec.source is immutable once the widget has started" in refused.stderr
    assert patch({"spec": {"replicas": 3}}).returncode == 0


def test_rules_see_the_name(cluster: Cluster, namespace: str, widgets: Widgets) -> None:
    assert "the name is too long" in create(cluster, widgets.make(namespace, "n" * 41)).stderr


def test_columns_are_printed_plain_wide_and_watched(
    cluster: Cluster, namespace: str, widgets: Widgets
) -> None:
    kind = f"widgets.{widgets.group}"
    cluster.apply(widgets.make(namespace))
    command = cluster.command("get", kind, "-n", namespace, "-w")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().split() == ["NAME", "PHASE", "REPLICAS", "READY", "AGE"]
        assert watching.stdout.readline().split()[:2] == ["one", "1"]
        status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        options = ("--type=merge", "--subresource=status", "-p", json.dumps(status))
        cluster.kubectl("patch", kind, "one", "-n", namespace, *options)
        assert watching.stdout.readline().split()[:4] == ["one", "Running", "1", "True"]
        watching.terminate()
    wide = cluster.kubectl("get", kind, "-n", namespace, "-o", "wide").stdout.splitlines()
    assert wide[0].split() == ["NAME", "PHASE", "REPLICAS", "READY", "MODE", "AGE"]
    assert wide[1].split()[:5] == ["one", "Running", "1", "True", "slow"]
    names = cluster.kubectl("get", kind, "-n", namespace, "-o", "name").stdout.split()
    assert names == [f"widget.{widgets.group}/one"]
    yaml = cluster.kubectl("get", kind, "one", "-n", namespace, "-o", "yaml").stdout
    assert "kind: Widget" in yaml


def test_scale_moves_replicas_and_bumps_generation(
    cluster: Cluster, namespace: str, widgets: Widgets
) -> None:
    kind = f"widgets.{widgets.group}"
    cluster.apply(widgets.make(namespace))
    cluster.kubectl("scale", kind, "one", "-n", namespace, "--replicas=4")
    found = cluster.get(kind, "one", "-n", namespace)
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (4, 2)
    refused = cluster.kubectl("scale", kind, "one", "-n", namespace, "--replicas=40", check=False)
    assert "should be less than or equal to 9" in refused.stderr


def test_describe_shows_events(cluster: Cluster, namespace: str, widgets: Widgets) -> None:
    kind = f"widgets.{widgets.group}"
    cluster.apply(widgets.make(namespace))
    found = cluster.get(kind, "one", "-n", namespace)
    about = {"apiVersion": widgets.api_version, "kind": "Widget", "name": "one", "namespace": namespace}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "one.1", "namespace": namespace},
            "involvedObject": {**about, "uid": found["metadata"]["uid"]},
            "reason": "Planned",
            "message": "12 shards",
            "type": "Normal",
            "source": {"component": "tests"},
            "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-01T00:00:00Z",
            "count": 1,
        }
    )
    text = cluster.kubectl("describe", kind, "one", "-n", namespace).stdout
    assert "Planned" in text
    assert "12 shards" in text


def test_apply_is_idempotent_and_removes_what_is_no_longer_said(
    cluster: Cluster, namespace: str, widgets: Widgets
) -> None:
    body = json.dumps(widgets.make(namespace, code="abc"))
    applied = [cluster.kubectl("apply", "-f", "-", stdin=body).stdout.split()[-1] for _ in range(2)]
    assert applied == ["created", "unchanged"]
    cluster.apply(widgets.make(namespace, high=8))
    spec = cluster.get(f"widgets.{widgets.group}", "one", "-n", namespace)["spec"]
    assert (spec["high"], "code" in spec) == (8, False)
    preview = cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=body).stdout
    assert "server dry run" in preview
    assert cluster.get(f"widgets.{widgets.group}", "one", "-n", namespace)["spec"]["high"] == 8


def test_replace_label_and_annotate(cluster: Cluster, namespace: str, widgets: Widgets) -> None:
    kind, where = f"widgets.{widgets.group}", ("-n", namespace)
    cluster.apply(widgets.make(namespace))
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(widgets.make(namespace, mode="fast")))
    cluster.kubectl("label", kind, "one", "colour=red", *where)
    cluster.kubectl("annotate", kind, "one", "note=well", *where)
    found = cluster.get(kind, "one", *where)
    assert found["spec"]["mode"] == "fast"
    assert found["metadata"]["annotations"]["note"] == "well"
    for selector, expected in (
        ("colour=red", 1),
        ("colour!=red", 0),
        ("colour in (red, blue)", 1),
        ("!colour", 0),
    ):
        assert len(cluster.get(kind, *where, "-l", selector)["items"]) == expected
    refused = cluster.kubectl("patch", kind, "one", *where, "-p", "{}", check=False)
    assert "strategic-merge-patch+json is not supported" in refused.stderr


def test_explain_knows_the_schema(cluster: Cluster, widgets: Widgets) -> None:
    words = ("explain", "widgets.spec.source", "--api-version", widgets.api_version)
    assert "Where from." in cluster.kubectl(*words).stdout


def test_a_crd_that_makes_no_sense_is_refused(cluster: Cluster, widgets: Widgets) -> None:
    broken = json.loads(json.dumps(widgets.crd).replace(widgets.group, f"b{widgets.group}"))
    schema = broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["x-kubernetes-validations"] = [{"rule": "self.spec.low =="}]
    refused = create(cluster, broken).stderr
    assert "x-kubernetes-validations[0].rule: Invalid value" in refused
    broken["metadata"]["name"] = "other"
    assert 'must be spec.names.plural+"."+spec.group' in create(cluster, broken).stderr
