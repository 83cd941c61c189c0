"""What a pod gets of the machine, and what is left of it there."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localcluster import Cluster, running
from tests.localcluster.test_processes import wait_for


def start(cluster: Cluster, name: str, *command: str, **spec: Any) -> None:
    container = {"name": "main", "image": "none", "command": list(command)}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "containers": [container], **spec}
    meta = {"name": name, "namespace": "default"}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def environment(cluster: Cluster, tmp_path: Path, name: str = "p") -> dict[str, str]:
    """The variables of a pod that goes on running."""
    note = tmp_path / f"{name}.json"
    script = (
        "import json, os, sys, time; note = sys.argv[1]; json.dump(dict(os.environ), open(note + '~', 'w'))"
    )
    script += "; os.rename(note + '~', note); time.sleep(1000)"
    start(cluster, name, sys.executable, "-c", script, str(note))
    wait_for(note.exists)
    found: dict[str, str] = json.loads(note.read_text())
    return found


def test_a_pod_inherits_nothing_that_leads_to_the_users_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaks = ("HF_HOME", "HF_TOKEN", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "PYTHONPATH")
    for name in (*leaks, "HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    with running(tmp_path / "cluster") as cluster:
        found = environment(cluster, tmp_path)
        allowed = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME", "TMPDIR", "HOSTNAME"}
        assert set(found) <= allowed
        assert found["HOME"] != found["TMPDIR"]
        assert tmp_path not in (Path(found["HOME"]), Path(found["TMPDIR"]))


def test_a_pods_files_go_with_it(tmp_path: Path) -> None:
    with running(tmp_path / "cluster") as cluster:
        found = environment(cluster, tmp_path)
        folders = [Path(found["HOME"]), Path(found["TMPDIR"])]
        assert all(folder.is_dir() for folder in folders)
        cluster.kubectl("delete", "pod", "p", "-n", "default", "--timeout=20s")
        assert not any(folder.exists() for folder in folders)
        assert list((tmp_path / "cluster" / "pods").iterdir()) == []


def test_room_is_left_for_the_names_of_sockets(tmp_path: Path) -> None:
    """A Unix socket's path has 107 bytes at most, and vLLM's names of sockets have 36."""
    with running(tmp_path / ("long" * 20) / "cluster") as cluster:
        assert len(environment(cluster, tmp_path)["TMPDIR"]) + 1 + 36 <= 107


def test_a_killed_cluster_leaves_no_temporary_files(tmp_path: Path) -> None:
    with running(tmp_path / "cluster") as cluster:
        temporary = Path(environment(cluster, tmp_path)["TMPDIR"])
        assert cluster.pid is not None
        os.kill(cluster.pid, 9)
        wait_for(lambda: not temporary.exists())


def test_a_new_kubelet_removes_what_the_old_one_left(tmp_path: Path) -> None:
    with running(tmp_path / "cluster", "--node", "other") as cluster:
        command = [sys.executable, "-m", "localcluster", "kubelet", "--kubeconfig", str(cluster.kubeconfig)]
        command += ["--node", "mine", "--dir", str(tmp_path / "node")]
        orphan = tmp_path / "node" / "claims" / "gone"
        orphan.mkdir(parents=True)
        left = tmp_path / "node" / "pods" / "gone"
        left.mkdir(parents=True)
        with subprocess.Popen(command) as kubelet:
            wait_for(lambda: cluster.kubectl("get", "node", "mine", check=False).returncode == 0)
            assert not orphan.exists()
            assert not left.exists()
            kubelet.terminate()
