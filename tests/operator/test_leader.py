"""One leader at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rephrase_operator.cluster.kube import ApiError
from rephrase_operator.cluster.leader import LeadershipLostError, Lease, lead
from rephrase_operator.settings import Settings
from tests.operator.fake_kube import FakeKube

PATH = "/apis/coordination.k8s.io/v1/namespaces/system/leases/rephrase-operator"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def candidate(kube: FakeKube, clock: Clock) -> Lease:
    connection: Any = kube
    return Lease(connection, namespace="system", identity="operator", seconds=15, clock=clock)


async def test_the_first_takes_the_lease_and_the_second_waits() -> None:
    kube, clock = FakeKube(), Clock()
    first, second = candidate(kube, clock), candidate(kube, clock)
    assert await first.hold()
    assert not await second.hold()
    assert await first.hold()
    assert kube.objects[PATH]["spec"]["holderIdentity"] == first.identity


async def test_a_silent_leader_is_replaced_after_the_time_that_its_lease_says() -> None:
    kube, clock = FakeKube(), Clock()
    first, second = candidate(kube, clock), candidate(kube, clock)
    await first.hold()
    assert not await second.hold()
    clock.now += 14.9
    assert not await second.hold()
    clock.now += 0.2
    assert await second.hold()
    assert not await first.hold()
    assert kube.objects[PATH]["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_renews_is_never_replaced() -> None:
    kube, clock = FakeKube(), Clock()
    first, second = candidate(kube, clock), candidate(kube, clock)
    for _ in range(10):
        assert await first.hold()
        assert not await second.hold()
        clock.now += 10


async def test_a_released_lease_is_taken_at_once() -> None:
    kube, clock = FakeKube(), Clock()
    first, second = candidate(kube, clock), candidate(kube, clock)
    await first.hold()
    await first.release()
    assert await second.hold()


async def test_of_two_that_write_at_once_one_is_refused() -> None:
    kube, clock = FakeKube(), Clock()
    lease = candidate(kube, clock)
    kube.fail["POST"] = [ApiError(409, "AlreadyExists", "somebody was faster")]
    assert not await lease.hold()


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), ApiError(500, "", "etcd")])
async def test_an_unreachable_api_server_is_a_lost_round_and_no_end(error: Exception) -> None:
    kube, clock = FakeKube(), Clock()
    lease = candidate(kube, clock)
    kube.fail["GET"] = [error]
    assert not await lease.hold()
    assert await lease.hold()


async def test_when_the_work_ends_the_lease_is_given_up() -> None:
    connection: Any = FakeKube()
    done = []

    async def work() -> None:
        done.append(connection.objects[PATH]["spec"]["holderIdentity"])

    await lead(connection, Settings(lease_namespace="system"), work)
    assert done
    assert "holderIdentity" not in connection.objects[PATH]["spec"]


async def test_a_lost_lease_ends_the_work() -> None:
    connection: Any = FakeKube()
    stopped = asyncio.Event()

    async def work() -> None:
        connection.fail["GET"] = [ApiError(500, "", "gone") for _ in range(100)]
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(LeadershipLostError):
        await lead(connection, Settings(lease_namespace="system", lease_seconds=1), work)
    assert stopped.is_set()


async def test_a_lease_is_lost_in_time_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    connection: Any = FakeKube()

    async def work() -> None:
        monkeypatch.setattr(connection, "request", silence)
        await asyncio.Event().wait()

    async def silence(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(3):
        with pytest.raises(LeadershipLostError):
            await lead(connection, Settings(lease_namespace="system", lease_seconds=1), work)


async def test_work_that_fails_says_so() -> None:
    connection: Any = FakeKube()

    async def work() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await lead(connection, Settings(lease_namespace="system"), work)
