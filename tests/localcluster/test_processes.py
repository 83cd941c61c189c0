"""Nothing outlives a cluster, and a new kubelet finds out what went with the old one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcluster import Cluster, running


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


def gone(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def family(cluster: Cluster, tmp_path: Path, name: str = "p") -> list[int]:
    """A pod whose main process has a child; the process ids of both."""
    note = tmp_path / f"{name}.pids"
    script = f"sleep 1000 & echo $$ $! > {note}.draft; mv {note}.draft {note}; wait"
    container = {"name": "main", "image": "none", "command": ["sh", "-c", script]}
    meta = {"name": name, "namespace": "default"}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    wait_for(note.exists)
    cluster.kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Running")
    return [int(word) for word in note.read_text().split()]


def test_a_stopped_cluster_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "cluster") as cluster:
        processes = family(cluster, tmp_path)
        assert not any(map(gone, processes))
    wait_for(lambda: all(map(gone, processes)))
    assert not cluster.kubeconfig.exists()


def test_a_killed_cluster_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "cluster") as cluster:
        processes = family(cluster, tmp_path)
        assert cluster.pid is not None
        os.kill(cluster.pid, signal.SIGKILL)
        wait_for(lambda: all(map(gone, processes)))


def test_a_deleted_pod_takes_its_children_along(tmp_path: Path) -> None:
    with running(tmp_path / "cluster") as cluster:
        processes = family(cluster, tmp_path)
        cluster.kubectl("delete", "pod", "p", "--timeout=20s")
        wait_for(lambda: all(map(gone, processes)))
        assert cluster.get("pods", "-n", "default")["items"] == []


def test_a_new_kubelet_fails_the_pods_of_the_old_one(tmp_path: Path) -> None:
    with running(tmp_path / "cluster", "--node", "other") as cluster:
        command = [sys.executable, "-m", "localcluster", "kubelet", "--kubeconfig", str(cluster.kubeconfig)]
        command += ["--node", "mine", "--dir", str(tmp_path / "node")]
        with subprocess.Popen(command) as first:
            wait_for(lambda: cluster.kubectl("get", "node", "mine", check=False).returncode == 0)
            note = tmp_path / "here"
            container = {
                "name": "main",
                "image": "none",
                "command": ["sh", "-c", f"touch {note}; exec sleep 1000"],
            }
            spec = {"restartPolicy": "Never", "nodeSelector": {"kubernetes.io/hostname": "mine"}}
            meta = {"name": "p", "namespace": "default"}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta}
            cluster.apply({**pod, "spec": {**spec, "containers": [container]}})
            wait_for(note.exists)
            cluster.kubectl("wait", "pod/p", "--for=jsonpath={.status.phase}=Running")
            first.kill()
        with subprocess.Popen(command) as second:
            cluster.kubectl("wait", "pod/p", "--for=jsonpath={.status.phase}=Failed", "--timeout=20s")
            found = cluster.get("pod", "p", "-n", "default")["status"]["containerStatuses"][0]["state"]
            assert found["terminated"]["exitCode"] == 137, json.dumps(found)
            second.terminate()
