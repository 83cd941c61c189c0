"""The demo on this machine.

The parts are real: kubectl, the operator with the chart's own permissions, DataTrove, vLLM on the CPU and
SmolLM2-135M. Only Kubernetes is replaced, by `localcluster`. A demo that was interrupted resumes when it is
run again.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from string import Template
from typing import Any

import yaml

from scripts.demo import input as demo_input
from scripts.demo import monitor, output
from scripts.demo.cluster import Cluster
from scripts.demo.model import FOLDER as MODEL
from scripts.demo.processes import Processes, answers
from scripts.demo.shell import CHART, EXAMPLE, NAME, ROOT, DemoError, command, console
from scripts.monitoring.process import free_port

HOME = ROOT / ".local" / "demo"
"""Everything that the demo writes. It can be deleted while nothing runs."""

INPUT, OUTPUT, CLUSTER = HOME / "input", HOME / "output", HOME / "cluster"
NAMESPACE = "rephrase-system"
"""Of the operator."""

STEPS = (
    "make demo-up                  keeps the cluster running, with live panels in",
    "                              a browser, and kubectl to play with",
    "make demo KUBECONFIG=~/.kube/config",
    "                              the same on your own cluster",
    "DOCS=2 make demo              fewer documents",
    "INPUT=my.parquet make demo    your own documents (field: text)",
)
"""What to try after a demo that has ended."""

processes = Processes(HOME)
cluster = Cluster(CLUSTER / "kubeconfig")


def run(*, keep: bool) -> None:
    """Run the demo from the input to the last words. Raises DemoError."""
    kept = False
    processes.stop()
    try:
        manifest = prepare()
        console.print("Starting a local cluster and the operator ...")
        start_cluster()
        port = start_operator()
        page = monitor.start(processes, cluster.kubeconfig, NAMESPACE, port) if keep else None
        if page:
            console.print(f"Live panels in a browser: [bold]{page}[/]")
        cluster.show_apply(manifest, HOME)
        if not cluster.follow():
            raise DemoError(f"the job did not succeed; logs are in {HOME.relative_to(ROOT)}")
        output.show(OUTPUT)
        output.show_estimate(cluster.get("rephrasejob", NAME)["status"])
        output.show_next_steps(OUTPUT, steps_while_it_runs(page, port) if page else STEPS)
        kept = keep
    finally:
        if not kept:
            processes.stop()


def down() -> None:
    """Stop what an earlier run left running."""
    processes.stop()
    console.print("The demo is stopped; the dataset stays where it is.")


def steps_while_it_runs(page: str, port: int) -> list[str]:
    """What to try with the cluster that stays up."""
    kubeconfig = cluster.kubeconfig.relative_to(ROOT)
    return [
        f"live panels   {page}",
        "",
        "export PATH=$PWD/.cache/bin:$PATH",
        f"export KUBECONFIG=$PWD/{kubeconfig}",
        "kubectl get rephrasejobs -o wide",
        f"kubectl describe rephrasejob {NAME}",
        "kubectl get jobs,pods",
        f"curl -s http://127.0.0.1:{port}/metrics | grep ^rephrase_",
        "",
        "make demo-down   stops all of it",
    ]


def prepare() -> dict[str, Any]:
    """Write the input, clear a finished output, and fill in the example's paths. Returns the manifest."""
    wish = demo_input.wish(os.environ)
    source = wish.path or INPUT
    HOME.mkdir(parents=True, exist_ok=True)
    settings = {"source": str(source), "documents": wish.count, "example": EXAMPLE.read_text()}
    wanted = HOME / "wanted.json"
    finished = (OUTPUT / "_rephrase" / "account.json").exists()
    if finished or not wanted.exists() or json.loads(wanted.read_text()) != settings:
        shutil.rmtree(OUTPUT, ignore_errors=True)
        if wish.path is None:
            shutil.rmtree(INPUT, ignore_errors=True)
            demo_input.write(INPUT, wish.count or demo_input.USUAL)
        wanted.write_text(json.dumps(settings))
    else:
        console.print("Carrying on where the last run was interrupted (make clean starts over).")
    paths = {"MODEL": str(MODEL), "INPUT": str(source), "OUTPUT": str(OUTPUT)}
    manifest: dict[str, Any] = yaml.safe_load(Template(EXAMPLE.read_text()).substitute(paths))
    if wish.path:
        del manifest["spec"]["source"]["idField"]
        if wish.count:
            manifest["spec"]["source"]["maxDocuments"] = wish.count
    return manifest


def start_cluster() -> None:
    """Start the local cluster and wait until it answers."""
    shutil.rmtree(CLUSTER, ignore_errors=True)
    CLUSTER.mkdir(parents=True)
    up = [sys.executable, "-m", "localcluster", "up", "--dir", str(CLUSTER)]
    processes.start("cluster", up, cluster.kubeconfig.exists)


def start_operator() -> int:
    """Install the CRDs and the chart's permissions, then start the operator under them.

    Returns its metrics port.
    """
    home = Cluster(cluster.kubeconfig, NAMESPACE)
    home.kubectl("apply", "-f", str(ROOT / "crds"))
    home.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    templates = ["-s", "templates/serviceaccount.yaml", "-s", "templates/rbac.yaml"]
    rendered = command("helm", "template", "rephrase", str(CHART), "-n", NAMESPACE, *templates)
    objects = [found for found in yaml.safe_load_all(rendered) if found]
    home.apply(*objects)
    account = next(found for found in objects if found["kind"] == "ServiceAccount")
    token = home.kubectl("create", "token", account["metadata"]["name"]).strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    kubeconfig = CLUSTER / "operator.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    port = free_port()
    flags = [
        '--pod-defaults={"acceleratorResource": ""}',
        "--allow-local-paths",
        f"--metrics-port={port}",
        "--progress-seconds=2",
    ]
    processes.start(
        "operator",
        ["rephrase", "run", *flags],
        lambda: answers(port),
        KUBECONFIG=str(kubeconfig),
        POD_NAMESPACE=NAMESPACE,
    )
    return port
