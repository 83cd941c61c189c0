"""One checker a language: what is wrong with a block of code in the documentation?

A YAML block holds whole Kubernetes objects, or begins at `spec:` and is then a part of a RephraseJob, or its
title says what else it is: `values.yaml` (of the chart), `prometheus.yml`. A language without a checker is an
error.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from localcluster import schema
from rephrase_operator import api
from rephrase_operator.api import crd
from rephrase_operator.library import library, read_prompt_file
from tests.chart.helm import load, tool
from tests.chart.test_chart_manifests import KUBERNETES
from tests.docs.markdown import Block
from tests.docs.programs import PROGRAMS, Files, problem, rendered
from tests.docs.shell import commands, typed
from tests.programs import program
from tests.requirements import ROOT

Manifest = dict[str, Any]
SCHEMA: Manifest = crd.build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
WHOLE: Manifest = yaml.safe_load((ROOT / "examples" / "rephrasejob-finephrase.yaml").read_text())
"""The job that a part of one is put into."""


def problems(block: Block, files: Files) -> list[str]:
    """Everything that is wrong with a block."""
    checker = LANGUAGES.get(block.language)
    if checker is None:
        return [f"no checker knows the language {block.language!r}: add one to tests/docs/blocks.py"]
    return [why for why in checker(block, files) if why]


def _yaml(block: Block, files: Files) -> Iterator[str]:
    name = Path(block.title).name
    if name.endswith("values.yaml"):
        yield rendered(("-f", str(files[block.title])))
    elif name == "prometheus.yml":
        yield _promtool(_without_kubernetes(block.text), "check", "config", "--syntax-only")
    else:
        try:
            for manifest in load(block.text):
                yield from _manifest(manifest)
        except (AssertionError, yaml.YAMLError) as error:
            yield str(error)


def _without_kubernetes(configuration: str) -> str:
    """Debian's promtool is built without the discovery of Kubernetes, and calls it an unknown field."""
    found = yaml.safe_load(configuration)
    for scrape in found.get("scrape_configs", ()):
        scrape.pop("kubernetes_sd_configs", None)
    return yaml.safe_dump(found)


def _manifest(manifest: Manifest) -> Iterator[str]:
    if manifest.keys() == {"spec"}:
        yield from rephrase_job(merged(WHOLE, manifest))
    elif "kind" not in manifest:
        yield f"neither an object, nor a part of a job from spec on, nor a titled file: {[*manifest]}"
    elif manifest["kind"] == "RephraseJob":
        yield from rephrase_job(manifest)
    else:
        for version in (KUBERNETES[0], KUBERNETES[-1]):
            yield _standard(manifest, version)


def rephrase_job(manifest: Manifest) -> Iterator[str]:
    """What API server and operator refuse in a RephraseJob: unknown fields, schema, CEL rules, prompts."""
    whole = copy.deepcopy(manifest)
    yield from (f"unknown field {field}" for field in schema.prune(SCHEMA, whole))
    schema.apply_defaults(SCHEMA, whole)
    causes = schema.validate(SCHEMA, whole, None)
    yield from (f"{cause.field}: {cause.message}" for cause in causes)
    if not causes:
        for choice in api.parse_spec(whole["spec"]).prompts:
            own = choice.template or choice.config_map_key_ref
            yield "" if own or choice.name in library() else f"no such prompt: {choice.name}"


def merged(base: Any, part: Any) -> Any:
    """An object with a part of it replaced; lists are replaced whole."""
    if not isinstance(base, dict) or not isinstance(part, dict):
        return part
    return {**base, **{key: merged(base.get(key), value) for key, value in part.items()}}


def _standard(manifest: Manifest, version: str) -> str:
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return f"{manifest['kind']}, Kubernetes {version}: {error}"
    return ""


def _commands(found: Iterable[list[str]], files: Files) -> Iterator[str]:
    any_found = False
    try:
        for words in found:
            any_found = True
            why = problem(words, files)
            yield f"{' '.join(words)}: {why}" if why else ""
    except ValueError as error:
        yield str(error)
    if not any_found:
        yield "there is no command in it"


def _script(block: Block, files: Files) -> Iterator[str]:
    yield from _commands(commands(block.text), files)


def _session(block: Block, files: Files) -> Iterator[str]:
    yield from _commands(typed(block.text), files)


def _plain(block: Block, files: Files) -> Iterator[str]:
    for line in block.text.splitlines():
        first = line.removeprefix("$ ").partition(" ")[0]
        yield f"a command in a block without a language: {line}" if first in PROGRAMS else ""


def _promql(block: Block, files: Files) -> Iterator[str]:
    queries = [query for query in re.split(r"\n(?=\S)", re.sub(r"#.*", "", block.text)) if query.strip()]
    yield promql_problem(queries)


def promql_problem(queries: list[str]) -> str:
    """What Prometheus says of queries that it can't parse."""
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    return _promtool(json.dumps({"groups": [{"name": "queries", "rules": rules}]}), "check", "rules")


def _promtool(text: str, *arguments: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        command = [program("promtool"), *arguments, file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() or done.stdout.strip() if done.returncode else ""


def _python(block: Block, files: Files) -> Iterator[str]:
    try:
        compile(block.text, block.place, "exec")
    except SyntaxError as error:
        yield str(error)


def _json(block: Block, files: Files) -> Iterator[str]:
    try:
        json.loads(block.text)
    except ValueError as error:
        yield str(error)


def _toml(block: Block, files: Files) -> Iterator[str]:
    try:
        tomllib.loads(block.text)
    except ValueError as error:
        yield str(error)


def _dockerfile(block: Block, files: Files) -> Iterator[str]:
    text = block.text if block.text.startswith("FROM") else f"FROM scratch\n{block.text}"
    command = [tool("hadolint"), "--ignore", "DL3008", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    yield done.stdout.strip() if done.returncode else ""


def _prompt(block: Block, files: Files) -> Iterator[str]:
    try:
        read_prompt_file(block.text)
    except ValueError as error:
        yield str(error)


LANGUAGES: dict[str, Callable[[Block, Files], Iterator[str]]] = {
    "": _plain,
    "text": _plain,
    "yaml": _yaml,
    "sh": _script,
    "console": _session,
    "python": _python,
    "json": _json,
    "toml": _toml,
    "promql": _promql,
    "dockerfile": _dockerfile,
    "markdown": _prompt,
}
