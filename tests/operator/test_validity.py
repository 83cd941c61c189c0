"""What the API server accepts of a user makes Jobs that it accepts as well, and the rest names its field."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes_validate import validate as check_manifest

from localcluster.schema import apply_defaults, validate
from rephrase_operator.api.crd import build
from rephrase_operator.api.rephrasejob import RECIPE_FIELDS
from rephrase_operator.observed.views import Step
from tests.operator.builders import World, spec_of

SCHEMA: dict[str, Any] = build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def job_of(**spec: Any) -> dict[str, Any]:
    found = {
        "apiVersion": "rephrase.dev/v1alpha1",
        "kind": "RephraseJob",
        "metadata": {"name": "books", "namespace": "default"},
        "spec": copy.deepcopy(spec_of(**spec)),
    }
    apply_defaults(SCHEMA, found)
    return found


def refusals(new: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, str]:
    return {cause.field: cause.message for cause in validate(SCHEMA, new, old)}


@pytest.mark.parametrize(
    ("worker", "field"),
    [
        ({"tolerations": [{"value": "x"}]}, "spec.worker.tolerations[0].operator"),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]},
            "spec.worker.tolerations[0].value",
        ),
        ({"tolerations": [{"key": "-a"}]}, "spec.worker.tolerations[0].key"),
        ({"tolerations": [{"key": "a", "value": "x y"}]}, "spec.worker.tolerations[0].value"),
        (
            {"tolerations": [{"key": "a", "tolerationSeconds": 5}]},
            "spec.worker.tolerations[0].tolerationSeconds",
        ),
        ({"nodeSelector": {"not a label": "x"}}, "spec.worker.nodeSelector"),
        ({"nodeSelector": {"gpu": "not a value"}}, "spec.worker.nodeSelector.gpu"),
        ({"modelCacheClaim": "Models"}, "spec.worker.modelCacheClaim"),
        ({"priorityClassName": "very_low"}, "spec.worker.priorityClassName"),
        ({"resources": {"requests": {"cpu": "some"}}}, "spec.worker.resources.requests.cpu"),
        ({"resources": {"requests": {"cpu": -1}}}, "spec.worker.resources.requests"),
        ({"resources": {"limits": {"not a resource": 1}}}, "spec.worker.resources.limits"),
    ],
)
def test_settings_that_no_pod_can_have_are_refused_with_their_field(
    worker: dict[str, Any], field: str
) -> None:
    assert list(refusals(job_of(worker=worker))) == [field]


CHANGES: dict[str, Any] = {
    "source": {"uri": "s3://other/in"},
    "prompts": [{"name": "math"}],
    "model": {"name": "owner/other"},
    "sampling": {"temperature": 0.5},
    "output": {"uri": "s3://other/out"},
    "sharding": {"documentsPerShard": 7},
    "mix": {"source": {"uri": "s3://other/original"}},
    "publish": {"repository": "me/other"},
}


@pytest.mark.parametrize("name", RECIPE_FIELDS)
def test_a_refused_change_of_the_recipe_names_what_was_changed(name: str) -> None:
    old = job_of() | {"status": {"startTime": "2026-01-01T12:00:00Z"}}
    new = job_of(**{name: CHANGES[name]}) | {"status": old["status"]}
    (field, message), *others = refusals(new, old).items()
    assert (field, others) == (f"spec.{name}", [])
    assert f"{name} can't change once the job has started" in message
    assert refusals(new, job_of()) == {}, "nothing has started yet"


@pytest.mark.parametrize("name", ["with.dots", "x" * 41, "Upper"])
def test_a_name_that_pods_can_not_have_is_refused(name: str) -> None:
    job = job_of()
    job["metadata"]["name"] = name
    assert "metadata.name" in refusals(job)


words = st.from_regex(re.compile(r"[a-z0-9]([-a-z0-9]{0,9}[a-z0-9])?", re.ASCII), fullmatch=True)
quantities = st.one_of(st.integers(0, 1000), st.sampled_from(["1", "100m", "1.5", "64Gi", "2e3", ".5", "0"]))
amounts = st.dictionaries(st.sampled_from(["cpu", "memory", "example.com/nic"]), quantities, max_size=2)
tolerations = st.fixed_dictionaries(
    {},
    optional={
        "key": words,
        "operator": st.sampled_from(["Exists", "Equal"]),
        "value": words,
        "effect": st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
        "tolerationSeconds": st.integers(0, 100),
    },
)
policies = st.fixed_dictionaries(
    {},
    optional={
        "maxAttemptsPerShard": st.sampled_from([1, 4, 100]),
        "maxFailedShards": st.sampled_from([0, 1, 3, 1000, 100_000]),
    },
)
workers = st.fixed_dictionaries(
    {},
    optional={
        "resources": st.fixed_dictionaries({}, optional={"requests": amounts, "limits": amounts}),
        "nodeSelector": st.dictionaries(words, words, max_size=2),
        "tolerations": st.lists(tolerations, max_size=3),
        "modelCacheClaim": words,
        "priorityClassName": words,
        "terminationGracePeriodSeconds": st.integers(10, 3600),
    },
)


def job_is_valid(spec: dict[str, Any]) -> None:
    """What the API server checks of a Job beyond its schema (pkg/apis/batch/validation, 1.36)."""
    if "completions" in spec:
        assert spec.get("maxFailedIndexes", 0) <= spec["completions"]
        assert len(f"{'x' * 40}-generate-{max(spec['completions'] - 1, 0)}") <= 63
    assert 0 <= spec.get("parallelism", 0) <= 10_000
    rules = spec["podFailurePolicy"]["rules"]
    assert len(rules) <= 20
    for rule in rules:
        values = rule.get("onExitCodes", {}).get("values", [1])
        assert values == sorted(set(values))
        assert 0 not in values
        assert rule["action"] != "FailIndex" or "backoffLimitPerIndex" in spec
    pod = spec["template"]["spec"]
    for toleration in pod.get("tolerations", ()):
        assert "key" in toleration or toleration["operator"] == "Exists"
        assert toleration.get("operator") != "Exists" or not toleration.get("value")
        assert "tolerationSeconds" not in toleration or toleration.get("effect") == "NoExecute"


@settings(max_examples=60, deadline=None)
@given(workers, policies, st.sampled_from([0, 1, 10_000]), st.sampled_from([1, 3, 100_000]))
def test_every_accepted_spec_makes_valid_jobs(
    worker: dict[str, Any], policy: dict[str, Any], parallelism: int, shards: int
) -> None:
    spec = spec_of(worker=worker, failurePolicy=policy, parallelism=parallelism)
    if refusals(job_of(worker=worker, failurePolicy=policy, parallelism=parallelism)):
        return
    world = World(raw=spec).planned(shards=shards)
    for step in (Step.PLAN, Step.GENERATE):
        manifest = json.loads(json.dumps(world.manifests[step]))
        check_manifest(manifest, "1.36", strict=True)
        job_is_valid(manifest["spec"])
