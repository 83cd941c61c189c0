"""Starts the images as a cluster does: the operator from the chart, and the pods of a job of ten documents.

The cluster is the local one with a node that runs containers. The operator's pod is the chart's, with its
token and under its permissions. It reconciles a RephraseJob whose pods plan, generate with the real vLLM
and SmolLM2-135M, and finalize, all in the `worker-cpu` image. Documents, model and dataset lie on claims.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from string import Template
from typing import Any

import yaml

from localcluster.__main__ import write_kubeconfig
from localcluster.apiserver import ApiServer
from localcluster.certificates import loopback_tls
from localcluster.client import Client
from localcluster.garbage import GarbageCollector
from localcluster.jobcontroller import JobController
from localcluster.podspec import TOKENS
from localcluster.testing import Cluster
from scripts.demo import input as documents
from scripts.demo.model import FOLDER as MODEL
from scripts.demo.shell import CHART, EXAMPLE
from scripts.images.engines import ROOT, Engine, ImagesError
from scripts.images.node import ContainerNode

DOCUMENTS = 10
NAMESPACE = "rephrase-system"
JOB = "ten-documents"
CLAIMS = ("documents", "models", "dataset")
READY_SECONDS = 60


def prove(engine: Engine, images: dict[str, str], folder: Path, say: Callable[[str], None]) -> None:
    """Run the job in the images. Raises ImagesError with the pods' logs if it does not succeed."""
    asyncio.run(_prove(engine, images, folder, say))


async def _prove(engine: Engine, images: dict[str, str], folder: Path, say: Callable[[str], None]) -> None:
    server = ApiServer()
    context, authority = loopback_tls()
    runner, url = await server.start(context, 0)
    token = server.authority.admin_token
    try:
        async with Client.local(url, token, authority) as client:
            node = ContainerNode(client, folder / "node", "containers", engine)
            controllers = JobController(client, timedelta(seconds=1)), GarbageCollector(client)
            running = [asyncio.create_task(part.run()) for part in (*controllers, node)]
            write_kubeconfig(folder / "kubeconfig", url, token, authority)
            cluster = Cluster.of(folder / "kubeconfig")
            proof = asyncio.create_task(asyncio.to_thread(_run, cluster, folder, images, authority, say))
            try:
                done, _ = await asyncio.wait([proof, *running], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
    finally:
        await runner.cleanup()


def _run(
    cluster: Cluster, folder: Path, images: dict[str, str], authority: bytes, say: Callable[[str], None]
) -> None:
    try:
        _install(cluster, images, authority)
        say("the operator's container is ready")
        dataset = _job(cluster, folder)
        _watch(cluster)
        _verify(dataset)
        say(f"{DOCUMENTS} documents are rephrased, and `rephrase verify` finds nothing missing")
    except (ImagesError, subprocess.CalledProcessError) as error:
        logs = sorted(folder.glob("node/pods/*/containers/*/log"))
        said = [f"--- {path.parent.name}\n{_end_of(path)}" for path in logs]
        reasons = "\n".join([str(error), *getattr(error, "__notes__", ()), *said])
        raise ImagesError(f"the images did not do their work:\n{reasons}") from error


def _install(cluster: Cluster, images: dict[str, str], authority: bytes) -> None:
    """Install the chart. The local cluster makes no pods of a Deployment, so its pod is applied itself."""
    cluster.kubectl("apply", "-f", str(ROOT / "crds"))
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    root = {"name": "kube-root-ca.crt", "namespace": NAMESPACE}
    cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": root, "data": {"ca.crt": authority.decode()}}
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    values = {
        "image": _image(images["operator"]),
        "worker": {"image": _image(images["worker-cpu"]), "acceleratorResource": ""},
        "metrics": {"port": port},
    }
    rendered = subprocess.run(
        ["helm", "template", "rephrase", str(CHART), "--namespace", NAMESPACE, "--no-hooks", "--values", "-"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
    )
    if rendered.returncode:
        raise ImagesError(f"helm template: {rendered.stderr.strip()}")
    objects = [one for one in yaml.safe_load_all(rendered.stdout) if one]
    allowed = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    cluster.apply(*(one for one in objects if one["kind"] in allowed))
    pod = pod_of(next(one for one in objects if one["kind"] == "Deployment"))
    cluster.apply(pod)
    ready = ("wait", f"pod/{pod['metadata']['name']}", "--for=condition=Ready", f"--timeout={READY_SECONDS}s")
    cluster.kubectl("-n", NAMESPACE, *ready, timeout=READY_SECONDS + 30)


def _image(name: str) -> dict[str, str]:
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag}


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    """The pod of a Deployment, with the token that the API server gives to its account."""
    template = deployment["spec"]["template"]
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    volume = {"name": "kube-api-access", "projected": {"sources": sources}}
    mount = {"name": volume["name"], "mountPath": TOKENS, "readOnly": True}
    spec = template["spec"]
    containers = [
        {**one, "volumeMounts": [*one.get("volumeMounts", ()), mount]} for one in spec["containers"]
    ]
    metadata = {key: deployment["metadata"][key] for key in ("name", "namespace")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | {"labels": template["metadata"]["labels"]},
        "spec": {**spec, "containers": containers, "volumes": [*spec.get("volumes", ()), volume]},
    }


def _job(cluster: Cluster, folder: Path) -> Path:
    """Fill the claims and apply the job; the folder of its dataset."""
    claims: dict[str, Path] = {}
    for name in CLAIMS:
        storage = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}}
        cluster.apply({**claim, "spec": storage})
        claims[name] = folder / "node" / "claims" / cluster.get("pvc", name)["metadata"]["uid"]
        claims[name].mkdir(parents=True, exist_ok=True)
    documents.write(claims["documents"] / "in", DOCUMENTS)
    shutil.copytree(MODEL, claims["models"] / MODEL.name)
    places = {
        "INPUT": "pvc://documents/in",
        "MODEL": f"pvc://models/{MODEL.name}",
        "OUTPUT": "pvc://dataset/out",
    }
    job = yaml.safe_load(Template(EXAMPLE.read_text()).substitute(places))
    job["metadata"]["name"] = JOB
    job["spec"]["prompts"] = job["spec"]["prompts"][:1]
    job["spec"]["sharding"] = {"documentsPerShard": DOCUMENTS}
    cluster.apply(job)
    return claims["dataset"] / "out"


def _watch(cluster: Cluster) -> None:
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    if subprocess.run(["rephrase", "watch", JOB], env=environment, check=False).returncode:
        raise ImagesError(cluster.kubectl("describe", "rephrasejob", JOB).stdout)


def _verify(dataset: Path) -> None:
    done = subprocess.run(
        ["rephrase", "verify", str(dataset), "--content"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ImagesError(f"rephrase verify: {done.stdout}{done.stderr}")


def _end_of(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-25:])
