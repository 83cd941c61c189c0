"""No permission is granted that no code uses: the code runs against an API that records what is asked.

That it is granted enough, the e2e tests show: their operator has the chart's permissions and nothing else.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest

from rephrase_operator.cluster import crds, kube
from rephrase_operator.cluster.leader import Lease
from rephrase_operator.cluster.namespaces import Namespaces
from rephrase_operator.reconcile import decision as do
from rephrase_operator.runtime.actions import Actor
from rephrase_operator.settings import LEASE_NAME, Settings
from tests.chart import golden
from tests.chart.helm import hooks, the
from tests.chart.test_chart_rbac import Rule, bound, rules
from tests.operator.fake_kube import FakeKube
from tests.operator.test_controller import CONFIG, JOB, PLAN, Bench, running

NO_REQUEST = {
    ("rephrase.dev", "rephrasejobs", "", "list"),
    ("rephrase.dev", "rephrasejobs", "", "watch"),
    ("rephrase.dev", "rephrasejobs/finalizers", "", "update"),
}
"""Of kopf, which has a connection of its own; and what the admission plugin of OpenShift asks for."""

NAMED = {"leases", "customresourcedefinitions"}
"""Resources of which one object is granted by its name."""

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def rule(method: str, path: str, *, watch: bool = False) -> Rule:
    """The permission that a request needs."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    if rest[0] == "namespaces":
        rest = rest[2:]
    plural, name, sub = (*rest, "", "")[:3]
    verb = VERBS.get(method) or ("watch" if watch else "get" if name else "list")
    return group, f"{plural}/{sub}" if sub else plural, name if plural in NAMED else "", verb


def recorded(connection: FakeKube) -> set[Rule]:
    """The permissions that the requests so far have needed."""
    found = {rule(method, path) for method, path in connection.requests}
    while not connection.watched.empty():
        found.add(rule("GET", connection.watched.get_nowait().partition("@")[0], watch=True))
    return found


async def passes() -> set[Rule]:
    """A job is found, started and told of, after a conflict about its status."""
    bench = Bench()
    bench.kube.store(JOB, bench.raw)  # Newer than what the controller is given.
    async with running(bench):
        await bench.until(
            lambda: (
                PLAN in bench.kube.objects
                and any("/events/" in path for path in bench.kube.objects)
                and bench.kube.watched.qsize() >= 2
            )
        )
        return recorded(bench.kube)


async def actions() -> set[Rule]:
    """Every action that a pass can decide on."""
    connection: Any = FakeKube()
    actor = Actor(connection, Settings(), lambda _: None, Namespaces(connection))
    owned = {"ownerReferences": [{"uid": "uid-1"}]}
    plan, config = ({"metadata": {"name": path.rpartition("/")[2]} | owned} for path in (PLAN, CONFIG))
    connection.store(JOB, {"metadata": {"name": "books"}})
    every: list[do.Action] = [
        do.CreateConfigMap(config),
        do.PatchConfigMap("books-recipe", {}),
        do.CreateJob(plan),
        do.CreateJob(plan),  # It exists: whose is it?
        do.PatchJob("books-plan", {}),
        do.DeleteJob("books-plan", "uid"),
        do.DeleteRephraseJob("books", "uid"),
    ]
    assert {type(action) for action in every} == set(get_args(do.Action))
    await actor.config(("default", "books"))
    await actor.carry_out(("default", "books"), every)
    assert not actor.refused(("default", "books"))
    return recorded(connection)


async def leading() -> set[Rule]:
    """The Lease is taken and renewed."""
    connection: Any = FakeKube()
    lease = Lease(connection, namespace="rephrase", identity="operator", seconds=15)
    assert await lease.hold()
    assert await lease.hold()
    return recorded(connection)


async def test_every_permission_in_the_watched_namespaces_is_used_and_no_other_is_needed() -> None:
    granted = rules(dict(bound(list(golden.rendered("default"))))[""])
    assert await passes() | await actions() | NO_REQUEST == granted


async def test_every_permission_on_leases_is_used_and_no_other_is_needed() -> None:
    granted = rules(dict(bound(list(golden.rendered("default"))))["rephrase"])
    assert await leading() == granted
    assert LEASE_NAME in {name for _, _, name, _ in granted}


async def test_every_permission_of_an_upgrade_is_used_and_no_other_is_needed() -> None:
    connection: Any = FakeKube()
    name = "rephrasejobs.rephrase.dev"
    connection.store(kube.crds(name), {"metadata": {"name": name}, "spec": {}})
    await crds.upgrade_crd(connection)
    assert recorded(connection) == rules(the(hooks(golden.rendered("default"), "pre-upgrade"), "ClusterRole"))


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/api/v1/pods", ("", "pods", "", "list")),
        ("PATCH", f"{JOB}/status", ("rephrase.dev", "rephrasejobs/status", "", "patch")),
        (
            "GET",
            "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
            ("coordination.k8s.io", "leases", "b", "get"),
        ),
    ],
)
def test_a_request_is_mapped_to_the_permission_that_it_needs(method: str, path: str, needed: Rule) -> None:
    assert rule(method, path) == needed
