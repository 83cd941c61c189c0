"""What the e2e tests stand on: a cluster, the operator under the chart's own permissions, real files.

Everything goes through kubectl. With REPHRASE_REAL_CLUSTER=1 and KUBECONFIG the same tests run on a real
API server; the local cluster's kubelet then runs the pods as processes, for no node there has the images.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from localcluster import Cluster, running
from tests.e2e.operator_process import Operator

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "rephrase-operator"
SECONDS = 400
"""Longest wait for anything that a job does in these tests."""


def sample_text(number: int) -> str:
    """A document."""
    return f"Document {number}. " + "The otter swims in the river and eats fish. " * (1 + number % 5)


@dataclass
class Stage:
    """A cluster with the operator on it, shared by the tests of one process."""

    cluster: Cluster
    directory: Path
    namespace: str
    real: bool
    port: int
    home: str = ""
    """Namespace of an operator that watches all of them. Unset: it watches the jobs' one, and lives there."""
    watched: tuple[str, ...] = ()
    """Namespaces that the operator watches; none means all."""
    operator_config: Path = Path()
    operator: Operator = field(init=False)

    def __post_init__(self) -> None:
        if not self.home:
            self.home, self.watched = self.namespace, (self.namespace,)
        self.operator = Operator(self, self.port)

    def kubectl(
        self, *words: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """kubectl in the tests' namespace."""
        return self.cluster.kubectl(
            "-n", self.namespace, *words, stdin=stdin, check=check, timeout=SECONDS + 30
        )

    def get(self, *words: str) -> Any:
        """What `kubectl get -o json` says."""
        return json.loads(self.kubectl("get", *words, "-o", "json").stdout)

    def wait(self, what: str, *conditions: str) -> None:
        """kubectl wait."""
        for condition in conditions:
            try:
                self.kubectl("wait", what, f"--for={condition}", f"--timeout={SECONDS}s")
            except subprocess.CalledProcessError as error:
                file = self.directory / "operator.log"
                log = file.read_text().splitlines()[-15:] if file.exists() else []
                shown = self.kubectl("describe", "rj,jobs,pods", check=False).stdout[-6000:]
                error.add_note("\n".join([shown, "operator.log:", *log]))
                raise

    def watch(self, reference: str) -> Iterator[dict[str, Any]]:
        """An object now and after every change, as kubectl get --watch shows it."""
        words = ("-n", self.namespace, "get", reference, "--watch", "-o", "json")
        watching = subprocess.Popen(self.cluster.command(*words), stdout=subprocess.PIPE, text=True)
        killer = threading.Timer(SECONDS, watching.kill)
        killer.start()
        try:
            assert watching.stdout is not None
            lines: list[str] = []
            for line in watching.stdout:
                lines.append(line)
                if line.rstrip() == "}":
                    yield json.loads("".join(lines))
                    lines = []
            pytest.fail(f"{reference} was watched for {SECONDS} s: {self.get(reference)}")
        finally:
            killer.cancel()
            watching.kill()
            watching.wait()
            if watching.stdout is not None:
                watching.stdout.close()

    def claim_folder(self, name: str) -> Path:
        """Where the process kubelet keeps the files of a PersistentVolumeClaim."""
        uid: str = self.get(f"persistentvolumeclaim/{name}")["metadata"]["uid"]
        return self.directory / ("kubelet" if self.real else "cluster") / "claims" / uid

    def apply(self, *objects: dict[str, Any]) -> None:
        """kubectl apply."""
        self.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def install(self) -> None:
        """The CRD, a namespace, and the permissions as the chart renders them."""
        crds = ("apply", "-f", str(ROOT / "crds"))
        if self.cluster.kubectl(*crds, check=False).returncode:
            self.cluster.kubectl(*crds)  # Another test process created it in the same moment.
        # The names first: kubectl can't wait for a condition while a new CRD has `conditions: null`.
        for reached in ("jsonpath={.status.acceptedNames.kind}=RephraseJob", "condition=Established"):
            wait = ("wait", "crd/rephrasejobs.rephrase.dev", f"--for={reached}", "--timeout=30s")
            self.cluster.kubectl(*wait)
        for name in {self.home, self.namespace}:
            # A real API server then refuses every pod that is not what Kubernetes calls restricted.
            labels = {"pod-security.kubernetes.io/enforce": "restricted"}
            metadata = {"name": name, "labels": labels}
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        watched = ["--set", f"watchNamespaces={{{','.join(self.watched)}}}"] if self.watched else []
        rendered = subprocess.run(
            ["helm", "template", "e2e", str(CHART), "-n", self.home, *watched]
            + ["-s", "templates/rbac.yaml", "-s", "templates/serviceaccount.yaml"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        objects = [found for found in yaml.safe_load_all(rendered) if found]
        self.grant(objects)

    def grant(self, objects: list[dict[str, Any]]) -> None:
        """Apply a service account with its permissions, and write its kubeconfig."""
        account = next(found for found in objects if found["kind"] == "ServiceAccount")["metadata"]["name"]
        self.apply(*objects)
        create_token = ("-n", self.home, "create", "token", account, "--duration=2h")
        token = self.cluster.kubectl(*create_token).stdout.strip()
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        self.operator_config = self.directory / "operator.kubeconfig"
        self.operator_config.write_text(yaml.safe_dump(config))


@dataclass
class Job:
    """A RephraseJob of a test, with its files."""

    stage: Stage
    name: str
    folder: Path
    spec: dict[str, Any]

    @property
    def manifest(self) -> dict[str, Any]:
        """The object as it is applied."""
        return {
            "apiVersion": "rephrase.dev/v1alpha1",
            "kind": "RephraseJob",
            "metadata": {"name": self.name, "namespace": self.stage.namespace},
            "spec": self.spec,
        }

    @property
    def reference(self) -> str:
        return f"rephrasejob/{self.name}"

    @property
    def source(self) -> Path:
        return self.folder / "in"

    @property
    def output(self) -> Path:
        return self.folder / "out"

    def apply(self) -> Job:
        """kubectl apply."""
        self.stage.kubectl("apply", "-f", "-", stdin=json.dumps(self.manifest))
        return self

    def patch(self, **spec: Any) -> None:
        """kubectl patch."""
        self.stage.kubectl("patch", self.reference, "--type=merge", "-p", json.dumps({"spec": spec}))

    def wait_phase(self, *phases: str) -> None:
        """Wait for these phases, one after the other."""
        self.stage.wait(self.reference, *(f"jsonpath={{.status.phase}}={phase}" for phase in phases))

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.stage.get(self.reference).get("status", {})
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = next(held for held in self.status()["conditions"] if held["type"] == kind)
        return found

    def children(self) -> list[str]:
        """Names of everything that belongs to the job."""
        found = self.stage.get("jobs,pods,configmaps", "-l", f"rephrase.dev/job={self.name}")["items"]
        return [f"{item['kind']}/{item['metadata']['name']}" for item in found]

    def wait_children_gone(self) -> None:
        for kind in ("jobs", "pods", "configmaps"):
            words = (
                "wait",
                kind,
                "-l",
                f"rephrase.dev/job={self.name}",
                "--for=delete",
                f"--timeout={SECONDS}s",
            )
            self.stage.kubectl(*words, check=False)
        assert self.children() == []

    def workers(self) -> list[dict[str, Any]]:
        """The worker pods that run."""
        return self.running("generate")

    def running(self, step: str) -> list[dict[str, Any]]:
        """The pods of a step that run."""
        label = f"rephrase.dev/job={self.name},rephrase.dev/step={step}"
        words = ("pods", "-l", label, "--field-selector=status.phase=Running")
        found: list[dict[str, Any]] = self.stage.get(*words)["items"]
        return found

    def wait_workers(self, count: int = 1) -> list[dict[str, Any]]:
        """Workers that run and have told the operator of finished samples."""
        self.stage.wait(self.reference, f"jsonpath={{.status.progress.workers}}={count}")
        self.wait_until(lambda status: status["progress"]["samplesText"] > 0)
        return self.workers()

    def kill_worker(self) -> None:
        """SIGKILL a worker that has committed something, so that there is something to resume from."""
        (pod,) = self.wait_workers()
        self.kill(pod)

    def kill(self, pod: dict[str, Any]) -> None:
        """SIGKILL what runs in a pod."""
        mark = f"POD_UID={pod['metadata']['uid']}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                mine = mark in (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # It ended, or is not ours to look at.
            if mine:
                os.kill(int(process.name), signal.SIGKILL)

    def ask_worker(self, pod: dict[str, Any]) -> dict[str, Any]:
        """What a worker says of itself."""
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8080/progress", timeout=10) as answer:
            said: dict[str, Any] = json.load(answer)
            return said

    def watch(self) -> Iterator[dict[str, Any]]:
        """The object now and after every change."""
        return self.stage.watch(self.reference)

    def wait_until(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status for which this is true."""
        for found in self.watch():
            status: dict[str, Any] = found.get("status") or {}
            if reached(status):
                return status
        raise AssertionError("unreachable")

    def rows(self) -> list[dict[str, Any]]:
        """Every row of the dataset."""
        prompts = [prompt["name"] for prompt in self.spec["prompts"]]
        files = [file for name in prompts for file in sorted((self.output / name).glob("*.parquet"))]
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def check_account(self, documents: int) -> None:
        """Every document is there exactly once for every prompt, as a text or as an error."""
        rows = self.rows()
        keys = Counter(
            (row["prompt"], row["source_file"], row["source_position"], row["rollout"]) for row in rows
        )
        assert set(keys.values()) <= {1}
        by_prompt = Counter(row["prompt"] for row in rows)
        assert by_prompt == {prompt["name"]: documents for prompt in self.spec["prompts"]}
        assert all((row["text"] is None) != (row["error"] is None) for row in rows)


def write_source(folder: Path, documents: int) -> None:
    """Documents in two files of different format and unequal size."""
    folder.mkdir(parents=True)
    texts = [sample_text(number) for number in range(documents)]
    cut = documents * 2 // 3
    pq.write_table(pa.table({"text": texts[:cut]}), folder / "a.parquet", row_group_size=4)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[cut:])
    (folder / "b.jsonl").write_text(lines)


def simulated_spec(
    folder: Path, *, per_shard: int = 4, token_seconds: float = 0.0, **changes: Any
) -> dict[str, Any]:
    """A job with the simulated engine: real planning, files, commits and finalizing without a model."""
    environment = {
        "REPHRASE_SIMULATED_TOKEN_SECONDS": str(token_seconds),
        "REPHRASE_SIMULATED_OUTPUT_TOKENS": "16",
        "HF_HUB_OFFLINE": "1",
    }
    spec: dict[str, Any] = {
        "source": {"uri": str(folder / "in")},
        "prompts": [{"name": "faq"}, {"name": "math"}],
        "model": {"name": "simulated"},
        "sampling": {"maxTokens": 32},
        "output": {"uri": str(folder / "out")},
        "sharding": {"documentsPerShard": per_shard},
        "engine": {"backend": "simulated", "commitIntervalSeconds": 1, "maxRequestsInFlight": 4},
        "worker": {
            "terminationGracePeriodSeconds": 15,
            "env": [{"name": name, "value": value} for name, value in environment.items()],
        },
    }
    return spec | changes


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def make_stage(directory: Path, worker: str) -> Iterator[Stage]:
    """The local cluster, or the real one that KUBECONFIG names, ready for jobs."""
    namespace = f"e2e-{worker}"
    if os.environ.get("REPHRASE_REAL_CLUSTER") != "1":
        with (
            running(directory / "cluster", "--backoff", "0.2") as cluster,
            prepared(Stage(cluster, directory, namespace, False, free_port())) as stage,
        ):
            yield stage
        return
    cluster = Cluster.of(Path(os.environ["KUBECONFIG"]))
    namespace += f"-{os.getpid()}"
    with node_of(cluster, directory / "kubelet", namespace):
        try:
            with prepared(Stage(cluster, directory, namespace, True, free_port())) as stage:
                yield stage
        finally:
            # The operator has stopped, and a Job that wants a replacement for a pod would hold its namespace.
            cluster.kubectl("delete", "rephrasejobs,jobs", "--all", "-n", namespace, timeout=150)
            cluster.kubectl("delete", "namespace", namespace, "--timeout=120s", timeout=150)


@contextmanager
def node_of(cluster: Cluster, directory: Path, name: str) -> Iterator[None]:
    """A node of a real cluster, whose pods are processes."""
    command = [sys.executable, "-m", "localcluster", "kubelet", "--kubeconfig", str(cluster.kubeconfig)]
    command += ["--dir", str(directory), "--node", name]
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "kubelet.log").open("wb") as log:
        kubelet = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        kubelet.terminate()
        kubelet.wait(30)
        cluster.kubectl("delete", f"node/{name}", "--ignore-not-found")
        cluster.kubectl("delete", f"lease/{name}", "-n", "kube-node-lease", "--ignore-not-found")


@contextmanager
def prepared(stage: Stage) -> Iterator[Stage]:
    """The stage with everything installed and its operator running; afterwards a look at the log."""
    stage.install()
    stage.operator.start()
    try:
        yield stage
    finally:
        stage.operator.stop()
    log = (stage.directory / "operator.log").read_text()
    assert "Forbidden" not in log, "the chart's permissions are not enough"
    assert "Traceback" not in log
