"""The store of objects: tables, one revision counter, and a short history for watches.

Objects in the store are never changed in place: readers may keep them, writers put a new one.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from localcluster.errors import ApiError, Object

Table = tuple[str, str]
"""API group and plural: all versions of a resource share one table."""


class Event(NamedTuple):
    """One change; `previous` lets a watch with a selector see objects enter and leave it."""

    type: str
    object: Object
    previous: Object | None

    @property
    def version(self) -> int:
        """The resourceVersion of the change."""
        return int(self.object["metadata"]["resourceVersion"])


class Store:
    """All state of the cluster. It is single-threaded: nothing else runs between two awaits."""

    def __init__(self, history: int = 2000) -> None:
        self.version = 1
        self._limit = history
        self._tables: dict[Table, dict[tuple[str, str], Object]] = {}
        self._history: dict[Table, deque[Event]] = {}
        self._forgotten: dict[Table, int] = {}
        self._watchers: dict[Table, set[asyncio.Queue[Event]]] = {}

    def get(self, table: Table, namespace: str, name: str) -> Object | None:
        """Not a copy."""
        return self._tables.get(table, {}).get((namespace, name))

    def rows(self, table: Table, namespace: str = "") -> list[Object]:
        """Objects in the order of their names; an empty namespace means all."""
        rows = self._tables.get(table, {})
        return [rows[key] for key in sorted(rows) if not namespace or key[0] == namespace]

    def put(self, table: Table, obj: Object) -> Object:
        """Add or replace, under a new resourceVersion."""
        rows = self._tables.setdefault(table, {})
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        previous = rows.get(key)
        rows[key] = stored = self._stamped(obj)
        self._publish(table, Event("MODIFIED" if previous else "ADDED", stored, previous))
        return stored

    def remove(self, table: Table, obj: Object) -> Object:
        """Remove an object. Its last event has the revision of the removal, as with etcd."""
        gone = self._tables[table].pop((obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
        last = self._stamped(obj)
        self._publish(table, Event("DELETED", last, gone))
        return last

    def subscribe(self, table: Table, since: int) -> tuple[list[Event], asyncio.Queue[Event]]:
        """Events after `since`, and a queue of those to come. Raises 410 when that is too long ago."""
        if since < self._forgotten.get(table, 0):
            raise ApiError(410, f"too old resource version: {since} ({self._forgotten[table]})")
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._watchers.setdefault(table, set()).add(queue)
        return [event for event in self._history.get(table, ()) if event.version > since], queue

    def unsubscribe(self, table: Table, queue: asyncio.Queue[Event]) -> None:
        """End a subscription."""
        self._watchers[table].discard(queue)

    def _stamped(self, obj: Object) -> Object:
        self.version += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}

    def _publish(self, table: Table, event: Event) -> None:
        history = self._history.setdefault(table, deque())
        history.append(event)
        if len(history) > self._limit:
            self._forgotten[table] = history.popleft().version
        for queue in self._watchers.get(table, ()):
            queue.put_nowait(event)
