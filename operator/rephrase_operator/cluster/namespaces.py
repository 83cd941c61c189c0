"""Whether a namespace is being deleted, found out without permission to read namespaces."""

from __future__ import annotations

import time
import uuid

from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube

ASK_SECONDS = 2.0
"""An answer is believed for so long: pods end by the hundred when a job is suspended."""

NOTED_SECONDS = 30.0
"""How long a namespace that ends is believed to do so; then it is gone, or another one has its name."""


class Namespaces:
    """Asks the API server, and remembers its answers for a while."""

    def __init__(self, connection: Kube) -> None:
        self._kube = connection
        self._ends: dict[str, tuple[bool, float]] = {}
        """The last answer, and until when it holds (monotonic seconds)."""

    def note_end(self, namespace: str) -> None:
        """The API server has refused to create something there for this reason."""
        self._ends[namespace] = (True, time.monotonic() + NOTED_SECONDS)

    async def ends(self, namespace: str, *, suspected: bool) -> bool:
        """Whether the namespace is being deleted. Asks only where that is suspected."""
        answer, until = self._ends.get(namespace, (False, 0.0))
        if time.monotonic() < until:
            return answer
        self._ends.pop(namespace, None)
        if not suspected:
            return False
        if await self._refuses(namespace):
            self.note_end(namespace)
            return True
        self._ends[namespace] = (False, time.monotonic() + ASK_SECONDS)
        return False

    async def _refuses(self, namespace: str) -> bool:
        """Try a create without doing it. An Event, because that is what the operator may create anyway."""
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": namespace, "name": f"rephrase-operator.{uuid.uuid4().hex[:16]}"},
            "involvedObject": {"apiVersion": "v1", "kind": "Namespace", "namespace": namespace},
        }
        try:
            await self._kube.request("POST", kube.events(namespace), query={"dryRun": "All"}, body=body)
        except ApiError as error:
            if error.namespace_ends:
                return True
            if error.refused or error.status == 404:  # A quota, or the namespace is gone already.
                return False
            raise
        return False
