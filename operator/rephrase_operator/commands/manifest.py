"""Reads a RephraseJob from a manifest, and the ConfigMaps that lie beside it in the file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rephrase_operator import api
from rephrase_operator.api import RephraseJobSpec
from rephrase_operator.observed.views import PromptMap, view_prompt_map
from rephrase_operator.reconcile.prompts import config_maps_of
from rephrase_worker.spec import Reason, WorkerError


@dataclass(frozen=True)
class Manifest:
    """A job as it stands in a file."""

    name: str
    namespace: str
    spec: RephraseJobSpec
    prompt_maps: Mapping[str, PromptMap]
    """ConfigMaps of the file that its prompts come from."""


def read(path: str) -> Manifest:
    """The RephraseJob of a file, or of standard input (`-`). Raises WorkerError(INVALID_RECIPE)."""
    objects = _objects(path)
    jobs = [one for one in objects if one.get("kind") == api.KIND]
    if len(jobs) != 1:
        kinds = ", ".join(sorted({str(one.get("kind")) for one in objects})) or "nothing"
        raise _refused(path, f"holds {len(jobs)} objects of kind {api.KIND} ({kinds}): one is expected")
    job = jobs[0]
    if job.get("apiVersion") != api.API_VERSION:
        raise _refused(path, f"apiVersion is {job.get('apiVersion')}, and {api.API_VERSION} is expected")
    if unknown := sorted(set(job) - {"apiVersion", "kind", "metadata", "spec", "status"}):
        raise _refused(path, f"{', '.join(map(str, unknown))}: no such field")
    meta, raw = job.get("metadata"), job.get("spec")
    if not isinstance(meta, dict) or not meta.get("name"):
        raise _refused(path, "metadata.name is missing")
    if not isinstance(raw, dict):
        raise _refused(path, "spec is missing")
    try:
        spec = api.parse_spec(raw)
    except ValidationError as error:
        faults = (
            f"spec.{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)[:8]
        )
        raise _refused(path, "; ".join(faults)) from error
    if spec.cost is not None and (spec.cost.gpu_hour_price is None) != (spec.cost.currency is None):
        raise _refused(path, "spec.cost: gpuHourPrice and currency belong together")
    if spec.cost is not None and spec.cost.max_cost is not None and spec.cost.gpu_hour_price is None:
        raise _refused(path, "spec.cost: maxCost needs gpuHourPrice and currency")
    return Manifest(str(meta["name"]), str(meta.get("namespace", "default")), spec, _maps(objects, spec))


def _objects(path: str) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _refused(path, f"can't be read: {why}") from error
    try:
        objects = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _refused(path, f"line {line} is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise _refused(path, f"is no YAML: {error}") from error
    if not all(isinstance(one, dict) for one in objects):
        raise _refused(path, "does not hold Kubernetes objects")
    return objects


def _maps(objects: list[dict[str, Any]], spec: RephraseJobSpec) -> dict[str, PromptMap]:
    wanted = config_maps_of(spec.prompts)
    return {
        one["metadata"]["name"]: view_prompt_map(one, wanted[one["metadata"]["name"]])
        for one in objects
        if one.get("kind") == "ConfigMap" and (one.get("metadata") or {}).get("name") in wanted
    }


def _refused(path: str, why: str) -> WorkerError:
    return WorkerError(Reason.INVALID_RECIPE, f"{'standard input' if path == '-' else path}: {why}.")
