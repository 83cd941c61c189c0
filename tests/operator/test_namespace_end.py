"""The namespace of a job is being deleted: what shows it, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from rephrase_operator.api.status import Phase
from rephrase_operator.cluster.kube import ApiError
from rephrase_operator.cluster.namespaces import Namespaces
from rephrase_operator.observed.views import JobView, Observed, PodView, Step
from rephrase_operator.reconcile import decision as do
from rephrase_operator.reconcile.lifecycle import reconcile
from rephrase_operator.reconcile.namespace_end import held_up, jobs_to_delete
from tests.operator.builders import World
from tests.operator.fake_kube import FakeKube
from tests.operator.pods import at, failed, pending, running, succeeded

ENDS = ApiError(403, "Forbidden", "unable to create new content", ["NamespaceTerminating"])


def job(step: str = "generate", **fields: Any) -> JobView:
    given: dict[str, Any] = {"namespace": "default", "name": f"books-{step}", "uid": step, "job": "books"}
    return JobView(**(given | {"step": step, "owner_uid": "uid-1"} | fields))


def deleted(pod: PodView, *, owner: str = "generate") -> PodView:
    return replace(pod, gone_by=at(5), owner_uid=owner)


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    jobs: tuple[JobView, ...] = (job(),)
    pods: tuple[PodView, ...] = ()
    suspicious: bool


ROWS = [
    Row(name="nothing is there", jobs=(), suspicious=False),
    Row(name="a pod runs", pods=(running(),), suspicious=False),
    Row(name="a pod has failed and its index is tried again", pods=(failed(ended=5),), suspicious=False),
    Row(name="a pod is in its grace period", pods=(deleted(running()),), suspicious=False),
    Row(name="a pod that never ran is deleted", pods=(deleted(pending()),), suspicious=False),
    Row(name="a deleted pod has ended and stays", pods=(deleted(failed(ended=5)),), suspicious=True),
    Row(name="one has finished its shard and stays", pods=(deleted(succeeded(ended=5)),), suspicious=True),
    Row(name="one of many stays", pods=(running(0), deleted(failed(1, ended=5))), suspicious=True),
    Row(
        name="a suspended Job's pods stay as well",
        jobs=(job(suspended=True),),
        pods=(deleted(failed(ended=5)),),
        suspicious=True,
    ),
    Row(
        name="the Job goes already",
        jobs=(job(deleting=True),),
        pods=(deleted(failed(ended=5)),),
        suspicious=False,
    ),
    Row(name="the Job is gone", jobs=(), pods=(deleted(failed(ended=5)),), suspicious=False),
    Row(name="another Job's pod", pods=(deleted(failed(ended=5), owner="other"),), suspicious=False),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_pods_that_stay_though_they_were_deleted_are_suspicious(row: Row) -> None:
    seen = Observed(jobs={child.step: child for child in row.jobs}, pods=row.pods)
    assert held_up(seen) is row.suspicious


def test_every_job_that_is_ours_and_does_not_go_yet_is_deleted() -> None:
    jobs = (job("plan", complete=True), job("generate"), job("finalize", deleting=True))
    seen = Observed(jobs={child.step: child for child in jobs})
    assert jobs_to_delete(seen, "uid-1") == (
        do.DeleteJob("books-plan", "plan"),
        do.DeleteJob("books-generate", "generate"),
    )
    assert jobs_to_delete(seen, "uid-2") == ()


@pytest.mark.parametrize("phase", [None, *Phase])
def test_in_a_namespace_that_ends_jobs_are_deleted_and_none_is_made(phase: Phase | None) -> None:
    world = World().planned(shards=2)
    status = world.status.model_copy(update={"phase": phase})
    seen = replace(world.seen, namespace_ends=True)
    decided = reconcile(replace(world.job, status=status), seen, world.now, world.settings, world.library)
    assert {type(action) for action in decided.actions} == {do.DeleteJob}
    assert len(decided.actions) == len(world.jobs)
    assert decided.events == ()
    assert "namespace is being deleted" in (decided.status.message or "")
    assert decided.status.phase == phase


def test_a_job_with_a_suspicious_pod_is_looked_at_again_soon() -> None:
    world = World().planned(shards=1)
    world.running(0)
    owner = world.jobs[Step.GENERATE].uid
    world.pod(Step.GENERATE, "shard-0-1", phase="Failed", exit_code=75, gone_by=world.now, owner_uid=owner)
    again = world.decide().requeue_after
    assert again is not None
    assert again <= 5


async def ends(kube: FakeKube, *, suspected: bool = True) -> bool:
    connection: Any = kube
    return await Namespaces(connection).ends("default", suspected=suspected)


async def test_the_api_server_is_asked_by_a_dry_run_and_only_on_suspicion() -> None:
    kube = FakeKube()
    kube.fail["POST events"] = [ENDS]
    assert not await ends(kube, suspected=False)
    assert kube.requests == []
    assert await ends(kube)
    assert not await ends(kube)
    assert kube.objects == {}


@pytest.mark.parametrize(
    "error",
    [ApiError(403, "Forbidden", "exceeded quota"), ApiError(404, "NotFound", 'namespaces "x" not found')],
    ids=["a quota", "a namespace that is gone"],
)
async def test_other_refusals_say_nothing_of_the_namespace(error: ApiError) -> None:
    kube = FakeKube()
    kube.fail["POST events"] = [error]
    assert not await ends(kube)


async def test_an_api_server_that_fails_is_asked_again_in_the_next_pass() -> None:
    kube = FakeKube()
    kube.fail["POST events"] = [ApiError(500, "InternalError", "etcd is away"), ENDS]
    connection: Any = kube
    namespaces = Namespaces(connection)
    with pytest.raises(ApiError):
        await namespaces.ends("default", suspected=True)
    assert await namespaces.ends("default", suspected=True)
    assert await namespaces.ends("default", suspected=False), "it is remembered"
