"""A cluster that the demo talks to by kubectl, and a job that it follows there."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.demo.shell import NAME, ROOT, command, console


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the namespace of the demo's job in it."""

    kubeconfig: Path
    namespace: str = "default"

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace and return its output. Raises DemoError."""
        return command(*self._kubectl, *arguments, stdin=stdin, KUBECONFIG=str(self.kubeconfig))

    def get(self, *arguments: str) -> Any:
        """What `kubectl get -o json` answers. Raises DemoError."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def find(self, *arguments: str) -> Any:
        """An object, or None where there is none of this name. Raises DemoError."""
        found = self.kubectl("get", *arguments, "-o", "json", "--ignore-not-found")
        return json.loads(found) if found.strip() else None

    def apply(self, *objects: dict[str, Any]) -> None:
        """kubectl apply. Raises DemoError."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def show_apply(self, manifest: dict[str, Any], folder: Path) -> None:
        """Write a job's manifest into a folder and apply it, as a user would. Raises DemoError."""
        path = folder / "rephrasejob.yaml"
        path.write_text(yaml.safe_dump(manifest, sort_keys=False))
        applied = self.kubectl("apply", "-f", str(path)).strip()
        console.print(f"\n[bold]$ kubectl{self._words} apply -f {path.relative_to(ROOT)}[/]\n{applied}")

    def follow(self) -> bool:
        """Show the job's progress until it ends; returns whether it succeeded. Raises DemoError."""
        console.print(f"\n[bold]$ rephrase watch{self._words} {NAME}[/]")
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        watch = ["rephrase", "watch", "--namespace", self.namespace, NAME]
        code = subprocess.run(watch, env=environment, check=False).returncode
        table = self.kubectl("get", "rephrasejobs").rstrip()
        console.print(f"\n[bold]$ kubectl{self._words} get rephrasejobs[/]\n{table}\n")
        if code:
            console.print(self.kubectl("describe", "rephrasejob", NAME), markup=False)
        return code == 0

    @property
    def _kubectl(self) -> tuple[str, ...]:
        return ("kubectl", "--namespace", self.namespace)

    @property
    def _words(self) -> str:
        """How a user names the namespace on the command line."""
        return "" if self.namespace == "default" else f" -n {self.namespace}"
