"""All code in the documentation works, as far as that can be told without a cluster."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chart.helm import load
from tests.docs.blocks import problems
from tests.docs.markdown import Page, pages, parse
from tests.docs.programs import PROGRAMS, Files, problem
from tests.docs.shell import commands
from tests.requirements import ROOT


@contextmanager
def shown_by(page: Page) -> Iterator[Files]:
    """The files that a page shows: its blocks with a title."""
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for block in page.blocks:
            if block.title:
                files[block.title] = Path(folder, block.title.replace("/", "-"))
                files[block.title].write_text(block.text)
        yield files


def in_sentences(page: Page) -> Iterator[tuple[int, list[str]]]:
    """Commands that stand as code within sentences. N stands for a number."""
    for line, code in page.code:
        first, space, _ = code.partition(" ")
        if space and first in PROGRAMS:
            yield from ((line, words) for words in commands(re.sub(r"\bN\b", "1", code)))


def wrong(page: Page) -> list[str]:
    """Everything that is wrong with the code of a page."""
    with shown_by(page) as files:
        found = [f"{block.place}: {why}" for block in page.blocks for why in problems(block, files)]
        for line, words in in_sentences(page):
            why = problem(words, files)
            found += [f"{page.name}:{line}: {' '.join(words)}: {why}"] if why else []
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_the_code_of_a_page_works(page: Page) -> None:
    assert wrong(page) == []


JOB = (ROOT / "examples" / "rephrasejob-minimal.yaml").read_text()
MISTAKES = {
    "kubectl flag": ("sh", "kubectl get pods --al", "unknown flag"),
    "kubectl value": ("sh", "kubectl scale rj/x --replicas=many", "invalid argument"),
    "kubectl command": ("sh", "kubectl fetch pods", "unknown command"),
    "kubectl group": ("sh", "kubectl create configmaps-x y", "has no configmaps-x"),
    "kubectl resource": ("sh", "kubectl get rephrasjobs", "no such resource"),
    "kubectl field": ("sh", "kubectl explain rephrasejob.spec.worker.gpus", "no field gpus"),
    "kubectl file": ("sh", "kubectl apply -f nothing.yaml", "no file nothing.yaml"),
    "kubectl plugin": ("sh", "kubectl rephrase wach demo", "invalid choice"),
    "helm command": ("sh", "helm instal x", "unknown command"),
    "helm flag": ("sh", "helm uninstall x --namespac=y", "unknown flag"),
    "helm value": ("sh", "helm upgrade x charts/rephrase-operator --set worker.imag=x", "imag"),
    "helm values file": ("sh", "helm template x charts/rephrase-operator -f nothing.yaml", "no file"),
    "rephrase command": ("sh", "rephrase plann -f job.yaml", "invalid choice"),
    "rephrase flag": ("sh", "rephrase plan -f job.yaml --prise 3", "unrecognized"),
    "worker flag": ("sh", "rephrase-worker plan --receipt x", "required"),
    "make target": ("sh", "make demos", "no target demos"),
    "make variable": ("sh", "make lock UPGRADES=x", "does not look at UPGRADES"),
    "docker target": ("sh", "docker build --target workers -t x .", "invalid choice"),
    "benchmark": ("sh", "python -m bench.nothing", "there is no benchmark"),
    "pytest path": ("sh", ".venv/bin/python -m pytest tests/nothing", "no such tests"),
    "unknown program": ("sh", "A=1 frobnicate --x", "no checker knows"),
    "behind a pipe": ("sh", "kubectl get pods | frobnicate", "no checker knows"),
    "continued": ("console", "$ kubectl get pods \\\n    --al\nNAME", "unknown flag"),
    "here-document": ("sh", "kubectl apply -f - <<EOF\nEOF", "here-document"),
    "no command": ("console", "kubectl get pods", "no command"),
    "no language": ("", "kubectl get pods", "without a language"),
    "unknown language": ("ruby", "puts 1", "no checker knows"),
    "unknown field": ("yaml", JOB + "  paralelism: 3\n", "unknown field spec.paralelism"),
    "CEL rule": (
        "yaml",
        "spec: {sampling: {minP: 0.1}, engine: {speculation: {method: ngram, numSpeculativeTokens: 4}}}",
        "exclude",
    ),
    "limit": ("yaml", "spec: {parallelism: -1}", "greater than or equal to 0"),
    "prompt": ("yaml", "spec: {prompts: [{name: nothing}]}", "no such prompt: nothing"),
    "key twice": ("yaml", "spec: {parallelism: 1, parallelism: 2}", "a key twice"),
    "part of what": ("yaml", "worker: {}", "neither an object"),
    "values": ('yaml title="values.yaml"', "worker: {imag: x}", "imag"),
    "other kind": ("yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringdata: {}", "stringdata"),
    "unknown kind": ("yaml", "apiVersion: x/v1\nkind: Y\nmetadata: {name: x}", "Y"),
    "query": ("promql", "rate(x[5m]", "unclosed"),
    "program text": ("python", "print(", "never closed"),
    "prompt file": ("markdown", "---\ntitel: x\n---\nDo it.", "titel"),
}


@pytest.mark.parametrize(("language", "text", "why"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found(language: str, text: str, why: str) -> None:
    page = parse(ROOT / "docs" / "page.md", f"```{language}\n{text}\n```\n")
    assert why in " ".join(wrong(page))


def test_a_mistake_within_a_sentence_is_found() -> None:
    page = parse(
        ROOT / "docs" / "page.md", "Run `rephrase plans`, `kubectl scale rj/x --replicas=N` and `make`.\n"
    )
    (found,) = wrong(page)
    assert "invalid choice: 'plans'" in found


def test_every_secret_of_the_storage_page_is_shown_with_its_keys() -> None:
    (page,) = [page for page in pages() if page.name == "docs/storage.md"]
    asked = 0
    for block in page.blocks:
        objects = load(block.text)
        has = {one["metadata"]["name"]: one["stringData"] for one in objects if one["kind"] == "Secret"}
        for job in (one for one in objects if one["kind"] == "RephraseJob"):
            for variable in job["spec"].get("worker", {}).get("env", ()):
                if "secretKeyRef" in variable:
                    asked += 1
                    assert variable["secretKeyRef"]["key"] in has[variable["secretKeyRef"]["name"]], (
                        block.place
                    )
    assert asked > 5
