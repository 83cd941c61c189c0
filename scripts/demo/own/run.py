"""The demo on the user's own cluster, from its checks to its samples; and its removal."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shlex
import shutil
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from rephrase_worker.uris import CLAIMS_VARIABLE, claims_value
from scripts.demo import input as demo_input
from scripts.demo import output
from scripts.demo.cluster import Cluster
from scripts.demo.own import manifests, preflight, waiting
from scripts.demo.own.manifests import MARK, NAMESPACE, SETTINGS, Images
from scripts.demo.own.preflight import CRD, Ground
from scripts.demo.shell import CHART, EXAMPLE, NAME, ROOT, DemoError, command, console

HOME = ROOT / ".local" / "own-demo"
"""What the demo writes on this machine: the input, and a copy of the claim's content."""

RELEASE = "rephrase-demo"
SECONDS = 600
"""Longest wait for a pod: on a fresh cluster the worker's image of some GB has to be pulled first."""

LARGEST_INPUT = 700_000
"""Bytes of documents of the user's own. They travel in a ConfigMap, which holds 1 MiB, base64 included."""

FINAL = frozenset({"Succeeded", "Failed"})


def run(kubeconfig: Path, environment: Mapping[str, str]) -> None:
    """Run the demo from the checks to the last words. Raises DemoError."""
    cluster = Cluster(kubeconfig, NAMESPACE)
    wish = demo_input.wish(environment)
    ground = preflight.check(cluster, environment.get("STORAGE_CLASS"))
    console.print(f"Context [bold]{ground.context}[/]: Kubernetes {ground.version}. Namespace: {NAMESPACE}.")
    images = wished_images(environment)
    model = environment.get("MODEL", manifests.MODEL)
    folder = write_input(wish)
    settings = fingerprint(folder, model, images.worker, wish.count)
    manifest = manifests.job(model, settings, own=wish.path is not None, documents=wish.count)
    install(cluster, ground, images, shlex.split(environment.get("HELM_ARGS", "")))
    if goes_on(cluster, settings):
        console.print("The job of an earlier run goes on.")
    else:
        seed(cluster, ground, images, folder)
        cluster.show_apply(manifest, HOME)
    if not cluster.follow():
        raise DemoError(f"the job did not succeed; to remove it: {CLEAN.format(kubeconfig=kubeconfig)}")
    copy_claim(cluster, ground, images)
    os.environ[CLAIMS_VARIABLE] = claims_value({manifests.CLAIM: str(HOME / "claim")})
    output.show(HOME / "claim" / "output")
    output.show_estimate(cluster.get("rephrasejob", NAME)["status"])
    output.show_next_steps(HOME / "claim" / "output", next_steps(kubeconfig))


CLEAN = "make demo-down KUBECONFIG={kubeconfig}"
"""How the demo is removed from the cluster."""


def next_steps(kubeconfig: Path) -> list[str]:
    """What to try with the job that stays in the cluster."""
    return [
        f"export KUBECONFIG={kubeconfig}",
        f"kubectl -n {NAMESPACE} describe rephrasejob {NAME}",
        f"kubectl -n {NAMESPACE} get jobs,pods",
        "",
        "remove the demo from the cluster:",
        CLEAN.format(kubeconfig=kubeconfig),
    ]


def wished_images(environment: Mapping[str, str]) -> Images:
    """OPERATOR_IMAGE and WORKER_IMAGE, or what `make images` builds."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    return Images(
        environment.get("OPERATOR_IMAGE", f"rephrase-operator:{version}"),
        environment.get("WORKER_IMAGE", f"rephrase-worker-cpu:{version}"),
    )


def write_input(wish: demo_input.Wish) -> Path:
    """Put the documents into a folder. Raises DemoError for those that are too large for a ConfigMap."""
    folder = HOME / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if wish.path is None:
        demo_input.write(folder, wish.count or demo_input.USUAL)
        return folder
    for file in [wish.path] if wish.path.is_file() else wish.path.iterdir():
        shutil.copyfile(file, folder / file.name)
    size = sum(file.stat().st_size for file in folder.iterdir())
    if size > LARGEST_INPUT:
        raise DemoError(
            f"INPUT={wish.path}: {size:,} bytes are too many for the demo ({LARGEST_INPUT:,}), which sends "
            "them in a ConfigMap; put them where pods can read them, and write a RephraseJob of your own"
        )
    return folder


def fingerprint(folder: Path, model: str, image: str, documents: int | None) -> str:
    """What a job was made from: a job with another fingerprint is replaced."""
    digest = hashlib.sha256(json.dumps([EXAMPLE.read_text(), model, image, documents]).encode())
    for file in sorted(folder.iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def install(cluster: Cluster, ground: Ground, images: Images, more: list[str]) -> None:
    """Install the CRD, unless another one is there, and the operator, and wait for it. Raises DemoError."""
    cluster.apply(manifests.namespace())
    if ground.makes_crd:
        (path,) = (ROOT / "crds").glob("*.yaml")
        crd = yaml.safe_load(path.read_text())
        crd["metadata"].setdefault("labels", {})[MARK] = "true"
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(crd))
        # The names first: kubectl can't wait for a condition while a new CRD has `conditions: null`.
        for reached in ("jsonpath={.status.acceptedNames.kind}=RephraseJob", "condition=Established"):
            cluster.kubectl("wait", CRD, f"--for={reached}", "--timeout=60s")
    console.print("Installing the operator with Helm ...")
    chart = ["helm", "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--skip-crds"]
    wanted = json.dumps(manifests.values(images, ground.node_selector))
    command(*chart, "--values", "-", *more, stdin=wanted, KUBECONFIG=str(cluster.kubeconfig))
    selector = f"app.kubernetes.io/instance={RELEASE}"

    def available() -> bool:
        (deployment,) = cluster.get("deployments", f"--selector={selector}")["items"]
        status = deployment.get("status", {})
        current = status.get("observedGeneration") == deployment["metadata"]["generation"]
        return bool(current and status.get("updatedReplicas") and not status.get("unavailableReplicas"))

    wait(cluster, ground, "the operator", selector, available)


def goes_on(cluster: Cluster, settings: str) -> bool:
    """Whether a job of these settings runs already. Any other one is deleted, with its pods."""
    found = cluster.find("rephrasejob", NAME)
    if found is None:
        return False
    phase = found.get("status", {}).get("phase")
    if found["metadata"].get("annotations", {}).get(SETTINGS) == settings and phase not in FINAL:
        return True
    delete_jobs(cluster)
    return False


def delete_jobs(cluster: Cluster) -> None:
    """Delete the demo's job, and wait until its pods have ended: they write to the claim."""
    cluster.kubectl("delete", "rephrasejobs", "--all", "--timeout=60s")
    for _ in range(SECONDS):
        if not cluster.get("pods", "--selector=rephrase.dev/job")["items"]:
            return
        time.sleep(1)
    raise DemoError(f"pods of the earlier job don't end: kubectl -n {NAMESPACE} get pods")


def seed(cluster: Cluster, ground: Ground, images: Images, folder: Path) -> None:
    """Put the documents onto the claim. Raises DemoError."""
    console.print("Putting the documents onto a claim ...")
    if not cluster.find("persistentvolumeclaim", manifests.CLAIM):
        cluster.apply(manifests.claim(ground.storage_class))
    cluster.apply(manifests.scripts(), manifests.config_map("documents", folder))
    run_task(cluster, ground, images, "seed")


def copy_claim(cluster: Cluster, ground: Ground, images: Images) -> None:
    """Copy documents and output from the claim to this machine. Raises DemoError."""
    log = run_task(cluster, ground, images, "read")
    target = HOME / "claim"
    shutil.rmtree(target, ignore_errors=True)
    unpack(log, target)


def unpack(log: str | bytes, target: Path) -> None:
    """Unpack what the reader's pod has written to its log."""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(log))) as tar:
        # Python 3.11 knows the argument `filter` of extractall from 3.11.4 on only, and Debian 12 has 3.11.2.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(target)


def run_task(cluster: Cluster, ground: Ground, images: Images, name: str) -> str:
    """Run one of the demo's own pods to its end; returns its log. Raises DemoError."""
    cluster.kubectl("delete", "job", name, "--ignore-not-found", "--timeout=60s")
    cluster.apply(manifests.task(name, images, ground.node_selector))

    def ended() -> bool:
        status = cluster.get("job", name).get("status", {})
        if any(one["type"] == "Failed" and one["status"] == "True" for one in status.get("conditions", ())):
            log = cluster.kubectl("logs", f"job/{name}", "--tail=20")
            raise DemoError(f"job {name} in namespace {NAMESPACE} failed:\n{log}")
        return bool(status.get("succeeded"))

    wait(cluster, ground, f"job {name}", f"{MARK}={name}", ended)
    log = cluster.kubectl("logs", f"job/{name}")
    cluster.kubectl("delete", "job", name, "--timeout=60s")
    return log


def wait(cluster: Cluster, ground: Ground, what: str, selector: str, done: Callable[[], bool]) -> None:
    """Wait until something is done. Raises DemoError as soon as its pods can't do it, or after SECONDS."""
    deadline = time.monotonic() + SECONDS
    while not done():
        pods: list[Any] = cluster.get("pods", f"--selector={selector}")["items"]
        if reason := waiting.trouble(pods, ground.context):
            raise DemoError(reason)
        if time.monotonic() > deadline:
            raise DemoError(f"{what} did not get ready in {SECONDS} s:\n{waiting.hindrance(pods)}")
        time.sleep(1)


def down(kubeconfig: Path) -> None:
    """Remove everything that the demo has made in the cluster, and nothing else. Raises DemoError."""
    cluster = Cluster(kubeconfig, NAMESPACE)
    namespace = cluster.find("namespace", NAMESPACE)
    if namespace is None or MARK not in namespace["metadata"].get("labels", {}):
        console.print(f"The cluster has no demo: no namespace {NAMESPACE} with the label {MARK}.")
        return
    crd = cluster.find(CRD)
    if crd:
        delete_jobs(cluster)
    console.print("Uninstalling the operator ...")
    uninstall = ["helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait"]
    command(*uninstall, KUBECONFIG=str(kubeconfig))
    if crd and MARK in crd["metadata"].get("labels", {}):
        remove_crd(cluster)
    console.print(f"Deleting the namespace {NAMESPACE} ...")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=300s")
    console.print("The demo is gone from the cluster.")


def remove_crd(cluster: Cluster) -> None:
    """Delete the CRD that the demo has brought, unless somebody else uses it by now."""
    used = cluster.get("rephrasejobs", "--all-namespaces")["items"]
    if used:
        console.print(f"The CRD stays, because there are {len(used)} RephraseJobs in other namespaces.")
    else:
        cluster.kubectl("delete", CRD, "--timeout=60s")
