"""Every pod of this project may run where the strictest of Kubernetes' pod security standards is enforced."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from rephrase_operator import settings
from rephrase_operator.observed.views import Step
from tests.chart import golden
from tests.chart.helm import Manifest, the
from tests.chart.pod_security import violations
from tests.operator.builders import World, spec_of
from tests.operator.test_mix import MIX, WHOLE
from tests.operator.test_publish import PUBLISH

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "c",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


def pods(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pod specs among manifests, by kind and name of what makes them."""
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            yield name, manifest["spec"]
        elif "template" in manifest.get("spec", {}):
            yield name, manifest["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", golden.SETS)
def test_the_pods_of_the_chart_are_restricted(name: str) -> None:
    found = dict(pods(golden.rendered(name)))
    assert {kind.partition("/")[0] for kind in found} >= {"Deployment", "Job"}
    assert {pod: said for pod, spec in found.items() if (said := violations(spec))} == {}


def test_the_pods_of_jobs_are_restricted_as_the_chart_installs_the_operator() -> None:
    (container,) = the(golden.rendered("default"), "Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {"mix": MIX, "publish": PUBLISH, "engine": {"tensorParallelSize": 2}}
    claims = {"source": {"uri": "pvc://data/in"}, "worker": {"modelCacheClaim": "models"}}
    spec = spec_of(**asked, **claims)
    world = World(raw=spec, settings=settings.parse(container["args"])).planned(shards=1)
    world.succeed(0).job_says(Step.GENERATE, complete=True).run().finalized(mix_shards=1).run()
    world.mixed(0, **WHOLE).run()
    found = {step: manifest["spec"]["template"]["spec"] for step, manifest in world.manifests.items()}
    assert set(found) == set(Step)
    assert {step: said for step, pod in found.items() if (said := violations(pod))} == {}


@pytest.mark.parametrize(
    ("where", "changes"),
    [
        ("pod", {"hostNetwork": True}),
        ("pod", {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
        ("pod", {"securityContext": {}}),
        ("pod", {"securityContext": GOOD["securityContext"] | {"sysctls": [{"name": "kernel.msgmax"}]}}),
        ("container", {"securityContext": {}}),
        ("container", {"securityContext": GOOD["containers"][0]["securityContext"] | {"privileged": True}}),
        ("container", {"securityContext": GOOD["containers"][0]["securityContext"] | {"runAsUser": 0}}),
        ("container", {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}}}),
        ("container", {"ports": [{"containerPort": 80, "hostPort": 80}]}),
    ],
)
def test_a_pod_that_is_not_restricted_is_noticed(where: str, changes: dict[str, Any]) -> None:
    pod = copy.deepcopy(GOOD)
    assert violations(pod) == []
    (pod if where == "pod" else pod["containers"][0]).update(changes)
    assert violations(pod)
