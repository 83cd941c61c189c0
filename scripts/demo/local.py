"""The demo on this machine.

The parts are real: kubectl, the operator with the chart's own permissions, DataTrove, vLLM on the CPU and
SmolLM2-135M. Only Kubernetes is replaced, by `localcluster`. A demo that was interrupted resumes when it is
run again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from string import Template
from typing import Any

import yaml

from scripts.demo import input as demo_input
from scripts.demo import monitor, output
from scripts.demo.model import FOLDER as MODEL
from scripts.demo.processes import Processes, answers, free_port
from scripts.demo.shell import CHART, EXAMPLE, NAME, ROOT, DemoError, command, console

HOME = ROOT / ".local" / "demo"
"""Everything that the demo writes. It can be deleted while nothing runs."""

INPUT, OUTPUT, CLUSTER = HOME / "input", HOME / "output", HOME / "cluster"
NAMESPACE = "rephrase-system"
"""Of the operator."""

STEPS = (
    "make demo-up                  keeps the cluster running, with live panels in",
    "                              a browser, and kubectl to play with",
    "DOCS=2 make demo              fewer documents",
    "INPUT=my.parquet make demo    your own documents (field: text)",
)
"""What to try after a demo that has ended."""

processes = Processes(HOME)


def run(*, keep: bool) -> None:
    """Run the demo from the input to the last words. Raises DemoError."""
    kept = False
    processes.stop()
    try:
        manifest = prepare()
        console.print("Starting a local cluster and the operator ...")
        start_cluster()
        port = start_operator()
        page = monitor.start(processes, CLUSTER / "kubeconfig", NAMESPACE, port) if keep else None
        if page:
            console.print(f"Live panels in a browser: [bold]{page}[/]")
        follow(manifest)
        output.show(OUTPUT)
        job = json.loads(kubectl("get", "rephrasejob", NAME, "-o", "json"))
        output.show_estimate(job["status"])
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
    kubeconfig = (CLUSTER / "kubeconfig").relative_to(ROOT)
    return [
        f"live panels   {page}",
        "",
        f"export PATH=$PWD/.cache/bin:$PATH KUBECONFIG=$PWD/{kubeconfig}",
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
    processes.start("cluster", up, (CLUSTER / "kubeconfig").exists)


def start_operator() -> int:
    """Install the CRDs and the chart's permissions, then start the operator under them.

    Returns its metrics port.
    """
    kubectl("apply", "-f", str(ROOT / "crds"))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    templates = ["-s", "templates/serviceaccount.yaml", "-s", "templates/rbac.yaml"]
    rendered = command("helm", "template", "rephrase", str(CHART), "-n", NAMESPACE, *templates)
    kubectl("apply", "-f", "-", stdin=rendered)
    account = next(o for o in yaml.safe_load_all(rendered) if o and o["kind"] == "ServiceAccount")
    token = kubectl("create", "token", "-n", NAMESPACE, account["metadata"]["name"]).strip()
    config = yaml.safe_load((CLUSTER / "kubeconfig").read_text())
    config["users"][0]["user"] = {"token": token}
    kubeconfig = CLUSTER / "operator.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    port = free_port()
    flags = [
        "--accelerator-resource=",
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


def follow(manifest: dict[str, Any]) -> None:
    """Apply the job and show its progress until it ends. Raises DemoError if it fails."""
    path = HOME / "rephrasejob.yaml"
    path.write_text(yaml.safe_dump(manifest, sort_keys=False))
    shown = path.relative_to(ROOT)
    console.print(f"\n[bold]$ kubectl apply -f {shown}[/]\n{kubectl('apply', '-f', str(path)).strip()}")
    console.print(f"\n[bold]$ rephrase watch {NAME}[/]")
    environment = os.environ | {"KUBECONFIG": str(CLUSTER / "kubeconfig")}
    code = subprocess.run(["rephrase", "watch", NAME], env=environment, check=False).returncode
    table = kubectl("get", "rephrasejobs").rstrip()
    console.print(f"\n[bold]$ kubectl get rephrasejobs[/]\n{table}\n")
    if code:
        console.print(kubectl("describe", "rephrasejob", NAME), markup=False)
        raise DemoError(f"the job did not succeed; logs are in {HOME.relative_to(ROOT)}")


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Run kubectl as the cluster's administrator and return its output."""
    return command("kubectl", *arguments, stdin=stdin, KUBECONFIG=str(CLUSTER / "kubeconfig"))
