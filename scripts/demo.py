"""`make demo`: the whole product on one machine, from kubectl apply to a rephrased dataset.

The parts are real: kubectl, the operator with the chart's own permissions, DataTrove, vLLM on the CPU and
SmolLM2-135M. Only Kubernetes is replaced, by `localcluster`. A demo that was interrupted resumes when it is
run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import demo_input, demo_output  # noqa: E402 - run as a file, this one is not in a package
from scripts.demo_output import console  # noqa: E402

HOME = ROOT / ".local" / "demo"
"""Everything that the demo writes. It can be deleted while nothing runs."""

INPUT, OUTPUT, CLUSTER = HOME / "input", HOME / "output", HOME / "cluster"
RUNNING = HOME / "running.json"
"""Process ids of the running parts, and the operator's metrics port."""

MODEL = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct"
CHART = ROOT / "charts" / "rephrase-operator"
EXAMPLE = ROOT / "examples" / "rephrasejob-demo.yaml"
NAMESPACE = "rephrase-system"
NAME = "demo"
DOCUMENTS = 8
START_SECONDS = 60


class DemoError(Exception):
    """The demo can't go on; the message says why."""


def main() -> int:
    """Run the demo, with `--keep` leave it running, or stop it with `--down`. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Rephrase a handful of documents on this machine.")
    parser.add_argument("--keep", action="store_true", help="leave the cluster and the operator running")
    parser.add_argument("--down", action="store_true", help="end what --keep left running")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stop()
    if arguments.down:
        console.print("The demo's cluster and operator are stopped; the dataset stays where it is.")
        return 0
    keep = False
    try:
        run(keep=arguments.keep)
        keep = arguments.keep
    except KeyboardInterrupt:
        console.print("\nInterrupted. [bold]make demo[/] carries on from the last commit.")
        return 130
    except DemoError as error:
        console.print(f"[red]demo:[/] {error}")
        return 1
    finally:
        if not keep:
            stop()
    return 0


def run(*, keep: bool) -> None:
    """Run the demo from the input to the last words. Raises DemoError."""
    manifest = prepare()
    console.print("Starting a local cluster and the operator ...")
    processes = {"cluster": start_cluster()}
    port = free_port()
    record(processes, port)
    processes["operator"] = start_operator(port)
    record(processes, port)
    follow(manifest)
    demo_output.show(OUTPUT)
    job = json.loads(kubectl("get", "rephrasejob", NAME, "-o", "json"))
    demo_output.show_estimate(job["status"])
    demo_output.show_next_steps(OUTPUT, CLUSTER / "kubeconfig" if keep else None, port, root=ROOT)


def prepare() -> dict[str, Any]:
    """Write the input, clear a finished output, and fill in the example's paths. Returns the manifest."""
    documents, given = os.environ.get("DOCS"), os.environ.get("INPUT")
    if documents is not None and not (documents.isdigit() and int(documents) > 0):
        raise DemoError(f"DOCS={documents}: give the number of documents, such as DOCS=2")
    if given is None and documents and int(documents) > demo_input.available():
        raise DemoError(
            f"DOCS={documents}: the demo has {demo_input.available()} documents; "
            "bring your own with INPUT=my.parquet"
        )
    if given is not None and not Path(given).exists():
        raise DemoError(f"INPUT={given}: there is no such file or folder")
    source = Path(given).resolve() if given else INPUT
    HOME.mkdir(parents=True, exist_ok=True)
    settings = {"source": str(source), "documents": documents, "example": EXAMPLE.read_text()}
    wanted = HOME / "wanted.json"
    finished = (OUTPUT / "_rephrase" / "account.json").exists()
    if finished or not wanted.exists() or json.loads(wanted.read_text()) != settings:
        shutil.rmtree(OUTPUT, ignore_errors=True)
        if given is None:
            shutil.rmtree(INPUT, ignore_errors=True)
            demo_input.write(INPUT, int(documents or DOCUMENTS))
        wanted.write_text(json.dumps(settings))
    else:
        console.print("Carrying on where the last run was interrupted (make clean starts over).")
    paths = {"MODEL": str(MODEL), "INPUT": str(source), "OUTPUT": str(OUTPUT)}
    manifest: dict[str, Any] = yaml.safe_load(Template(EXAMPLE.read_text()).substitute(paths))
    if given:
        del manifest["spec"]["source"]["idField"]
        if documents:
            manifest["spec"]["source"]["maxDocuments"] = int(documents)
    return manifest


def start_cluster() -> int:
    """Start the local cluster and wait until it answers; returns its process id."""
    shutil.rmtree(CLUSTER, ignore_errors=True)
    CLUSTER.mkdir(parents=True)
    process = spawn("cluster", [sys.executable, "-m", "localcluster", "up", "--dir", str(CLUSTER)])
    wait_for("cluster", process, (CLUSTER / "kubeconfig").exists)
    return process.pid


def start_operator(port: int) -> int:
    """Install the CRDs and the chart's permissions, then start the operator under them."""
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
    flags = [
        "--accelerator-resource=",
        "--allow-local-paths",
        f"--metrics-port={port}",
        "--progress-seconds=2",
    ]
    process = spawn(
        "operator", ["rephrase", "run", *flags], KUBECONFIG=str(kubeconfig), POD_NAMESPACE=NAMESPACE
    )
    wait_for("operator", process, lambda: answers(port))
    return process.pid


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


def command(*arguments: str, stdin: str | None = None, **environment: str) -> str:
    """Run a program and return its output. Raises DemoError with the program's error if it fails."""
    result = subprocess.run(
        arguments, env=os.environ | environment, input=stdin, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise DemoError(f"{' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


def spawn(name: str, arguments: list[str], **environment: str) -> subprocess.Popen[bytes]:
    """Start a part in a session of its own, its output in a log file."""
    with (HOME / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait_for(name: str, process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    """Wait until a part is ready. Raises DemoError with its last log lines if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            log = (HOME / f"{name}.log").read_text(errors="replace").splitlines()[-20:]
            raise DemoError(f"the {name} did not start:\n" + "\n".join(log))
        time.sleep(0.1)


def answers(port: int) -> bool:
    """Whether something listens on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def record(processes: dict[str, int], port: int) -> None:
    """Record what runs, for `--down` and for the run after one that was killed."""
    RUNNING.write_text(json.dumps({"processes": processes, "port": port}))


def stop() -> None:
    """Stop the recorded parts, the operator first, and wait until they have ended."""
    if not RUNNING.exists():
        return
    processes: dict[str, int] = json.loads(RUNNING.read_text())["processes"]
    for name, pid in reversed(processes.items()):
        # Another process may have the id by now.
        if name in ("cluster", "operator") and any(
            part in command_line(pid) for part in ("localcluster", "rephrase")
        ):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            wait_gone(pid)
    RUNNING.unlink()


def command_line(pid: int) -> str:
    """The command line of a process; empty if there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def wait_gone(pid: int, seconds: float = 30.0) -> None:
    """Wait until a process has ended; kill it when the time is over."""
    for _ in attempts(seconds):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if not command_line(pid):
            return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def attempts(seconds: float) -> Iterator[None]:
    """Ten attempts a second until the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
