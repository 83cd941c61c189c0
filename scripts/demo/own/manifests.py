"""What the demo puts into the user's cluster."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

from scripts.demo.shell import EXAMPLE, NAME

NAMESPACE = "rephrase-demo"
CLAIM = "rephrase-demo"
"""The claim that holds documents, output and model."""

SIZE = "2Gi"
MARK = "rephrase.dev/demo"
"""Label of everything that `make demo-down` may delete."""

SETTINGS = "rephrase.dev/demo-settings"
"""Annotation of the job: what it was made from."""

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
IN_POD = Path(__file__).with_name("in_pod.py")
USER = 10001
"""Of the images; their group gets the claim."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Images:
    """The images, with their tags."""

    operator: str
    worker: str


def values(images: Images, node_selector: Mapping[str, str]) -> Manifest:
    """The chart's values. The operator serves the demo's namespace and has no cluster-wide permission."""
    return {
        "image": image(images.operator),
        "watchNamespaces": [NAMESPACE],
        "aggregateRoles": False,
        "crds": {"upgrade": False},
        "metrics": {"dashboards": {"enabled": False}},
        "nodeSelector": dict(node_selector),
        "worker": {
            "image": image(images.worker),
            "acceleratorResource": "",
            "nodeSelector": dict(node_selector),
            "stepNodeSelector": dict(node_selector),
            "stepResources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
        },
    }


def image(name: str) -> dict[str, str]:
    """An image in the chart's form. The tag follows the last colon, unless that is a registry's port."""
    if "@" in name:
        repository, _, digest = name.partition("@")
        return {"repository": repository, "digest": digest}
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return {"repository": name}
    return {"repository": repository, "tag": tag}


def namespace() -> Manifest:
    """The demo's namespace."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {MARK: "true"}},
    }


def claim(storage_class: str) -> Manifest:
    """The claim. Its pods run one after the other, so that one node at a time is enough."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": SIZE}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec}


def config_map(name: str, folder: Path) -> Manifest:
    """The files of a folder."""
    data = {file.name: base64.b64encode(file.read_bytes()).decode() for file in sorted(folder.iterdir())}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "binaryData": data}


def scripts() -> Manifest:
    """The ConfigMap with what the demo's own pods run."""
    data = {IN_POD.name: IN_POD.read_text()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scripts"}, "data": data}


def task(name: str, images: Images, node_selector: Mapping[str, str]) -> Manifest:
    """The Job that seeds or reads the claim; `name` is a command of in_pod.py."""
    mounts = {"scripts": "/scripts", "claim": "/claim"}
    volumes: list[Manifest] = [
        {"name": "scripts", "configMap": {"name": "scripts"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": CLAIM}},
    ]
    arguments = ["/claim"]
    if name == "seed":
        mounts["documents"] = "/documents"
        volumes.append({"name": "documents", "configMap": {"name": "documents"}})
        arguments = ["/documents", "/claim"]
    container = {
        "name": name,
        "image": images.worker,
        "command": ["python3", f"/scripts/{IN_POD.name}", name, *arguments],
        "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in mounts.items()],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": dict(node_selector),
        "containers": [container],
        "volumes": volumes,
    }
    spec = {"backoffLimit": 1, "template": {"metadata": {"labels": {MARK: name}}, "spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def job(model: str, settings: str, *, own: bool, documents: int | None) -> Manifest:
    """The RephraseJob; `own` documents of the user have no field of ids that is known."""
    paths = {"MODEL": model, "INPUT": f"pvc://{CLAIM}/input", "OUTPUT": f"pvc://{CLAIM}/output"}
    manifest: Manifest = yaml.safe_load(Template(EXAMPLE.read_text()).substitute(paths))
    manifest["metadata"] = {"name": NAME, "annotations": {SETTINGS: settings}}
    spec = manifest["spec"]
    if own:
        del spec["source"]["idField"]
        if documents:
            spec["source"]["maxDocuments"] = documents
    spec["worker"]["resources"] = {"requests": {"cpu": "1", "memory": "3Gi"}}
    if not model.startswith(("/", "pvc://")):
        spec["worker"]["modelCacheClaim"] = CLAIM
    return manifest
