"""The claims that cache models: where they are made, and which jobs are told of them."""

from __future__ import annotations

from typing import Any

from rephrase_operator import settings
from rephrase_operator.pod_defaults import PodDefaults
from tests.chart.helm import Manifest, of_kind, render, the


def cache(**values: Any) -> tuple[list[Manifest], PodDefaults]:
    """The claims, and what the operator is told, for worker.modelCache and (watch) watchNamespaces."""
    given = {"watchNamespaces": values.pop("watch", []), "worker": {"modelCache": values}}
    manifests = render(given)
    (operator,) = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return of_kind(manifests, "PersistentVolumeClaim"), settings.parse(operator["args"]).pod_defaults


def test_nothing_is_cached_unless_asked_for() -> None:
    claims, told = cache()
    assert (claims, told.model_cache_claim) == ([], None)


def test_a_claim_that_exists_is_named_and_not_made() -> None:
    claims, told = cache(claimName="models")
    assert (claims, told.model_cache_claim, told.model_cache_namespaces) == ([], "models", [])


def test_a_claim_is_made_in_every_watched_namespace_and_outlives_the_release() -> None:
    claims, told = cache(create=True, watch=["team-a", "team-b"], size="1Ti", storageClassName="nfs")
    assert [claim["metadata"]["namespace"] for claim in claims] == ["team-a", "team-b"]
    for claim in claims:
        assert claim["metadata"]["name"] == told.model_cache_claim
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert claim["spec"] == {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "nfs",
            "resources": {"requests": {"storage": "1Ti"}},
        }


def test_only_jobs_of_the_namespaces_that_are_listed_are_sent_to_the_claim() -> None:
    claims, told = cache(create=True, claimName="hub", namespaces=["team-a"])
    assert [claim["metadata"]["namespace"] for claim in claims] == ["team-a"]
    assert (told.model_cache_claim, told.model_cache_namespaces) == ("hub", ["team-a"])


def test_without_a_storage_class_the_clusters_default_is_asked_for() -> None:
    (claim,), _ = cache(create=True, namespaces=["team-a"])
    assert "storageClassName" not in claim["spec"], "an empty name would ask for none at all"
