"""What `helm install` prints at its end: what to do next, by the values, on one screen."""

from __future__ import annotations

import jsonschema
import pytest

from tests.chart import golden
from tests.chart.helm import CHART, Manifest, as_flags, helm, load
from tests.chart.test_chart_crds import schema_of

LINES, COLUMNS = 32, 110
"""Of a terminal that is not maximized."""


def notes(values: Manifest | None = None, *, file: str = "default") -> str:
    """The notes of an installation with these values, over a value set."""
    path = golden.HERE / "values" / f"{file}.yaml"
    options = ("--namespace", "rephrase", "--dry-run=client", "--values", path)
    done = helm("install", "test", CHART, *options, *as_flags(values))
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:\n")[2]


def job(text: str) -> Manifest:
    """The job that the notes propose, as a shell would pass it on."""
    _, begun, rest = text.partition("<<'EOF'\n")
    manifest, ended, _ = rest.partition("\nEOF\n")
    assert begun
    assert ended, "the end of the here-document is not at the line's begin"
    (only,) = load(manifest)
    return only


@pytest.mark.parametrize("file", golden.SETS)
def test_the_notes_fit_on_a_screen_and_propose_a_job_that_the_crd_takes(file: str) -> None:
    text = notes(file=file)
    assert len(text.strip().splitlines()) <= LINES
    assert max(map(len, text.splitlines())) <= COLUMNS
    jsonschema.Draft4Validator(schema_of(job(text))).validate(job(text))


def test_the_notes_of_a_cluster_with_gpus_that_serves_all_namespaces() -> None:
    text = notes()
    assert "serves all namespaces. Workers run on GPUs (nvidia.com/gpu)." in text
    assert "kubectl --namespace rephrase rollout status deployment/test-rephrase-operator" in text
    assert "kubectl get rephrasejobs --namespace default --watch" in text
    assert "nothing scrapes yet. Set metrics.podMonitor.enabled" in text
    assert "helm upgrade test CHART --namespace rephrase --reset-then-reuse-values" in text
    assert "The CRD is upgraded too." in text
    assert "WARNING: image.repository names no registry." in text


def test_the_notes_follow_the_values() -> None:
    text = notes({"crds": {"upgrade": False}}, file="everything")
    assert "serves the namespaces team-a." in text
    assert "deployment/rephrase\n" in text
    assert "apply --namespace team-a" in text
    assert "a PodMonitor and a ServiceMonitor are in rephrase; dashboards" in text
    assert "Apply the chart's crds/ before." in text
    assert "WARNING" not in text


def test_a_cluster_without_gpus_gets_a_job_that_its_cpus_can_do() -> None:
    text = notes(file="cpu")
    assert "Workers run on CPUs." in text
    assert job(text)["spec"]["model"]["name"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert job(text)["spec"]["source"]["maxDocuments"] == 20


def test_annotated_pods_need_no_monitors() -> None:
    metrics = {"scrapeAnnotations": True, "dashboards": {"enabled": False}}
    assert "Monitoring: pods and Service are annotated for Prometheus.\n" in notes({"metrics": metrics})


def test_pods_of_jobs_that_no_policy_guards_are_a_warning() -> None:
    warning = "WARNING: no NetworkPolicy guards the pods of jobs."
    assert warning in notes({"networkPolicy": {"enabled": True}})
    assert warning not in notes({"networkPolicy": {"enabled": True, "workers": {"namespaces": ["a"]}}})
    assert warning not in notes({"networkPolicy": {"enabled": True}, "watchNamespaces": ["a"]})
