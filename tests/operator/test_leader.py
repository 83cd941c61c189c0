"""One leader at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from rephrase_operator.cluster.kube import ApiError
from rephrase_operator.cluster.leader import LeadershipLostError, Lease, lead
from tests.operator.fake_kube import FakeKube

PATH = "/apis/coordination.k8s.io/v1/namespaces/system/leases/rephrase-operator"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def candidate(kube: FakeKube, clock: Callable[[], float] = time.monotonic, seconds: int = 15) -> Lease:
    connection: Any = kube
    return Lease(connection, namespace="system", identity="operator", seconds=seconds, clock=clock)


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


async def test_a_lease_is_held_until_it_expires_or_is_given_up() -> None:
    kube, clock = FakeKube(), Clock()
    lease = candidate(kube, clock)
    assert not lease.held
    await lease.hold()
    clock.now += 14.9
    assert lease.held
    clock.now += 0.1
    assert not lease.held, "another process may have taken it"
    await lease.hold()
    assert lease.held
    await lease.release()
    assert not lease.held


async def test_a_lease_that_another_has_taken_is_not_held() -> None:
    kube, clock = FakeKube(), Clock()
    first, second = candidate(kube, clock), candidate(kube, clock)
    await first.hold()
    await first.release()
    await second.hold()
    await first.hold()
    assert (first.held, second.held) == (False, True)


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

    await lead(candidate(connection), work)
    assert done
    assert "holderIdentity" not in connection.objects[PATH]["spec"]


async def test_a_leader_that_is_asked_to_end_stops_its_work_before_it_gives_the_lease_up() -> None:
    connection: Any = FakeKube()
    held: list[bool] = []
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            held.append("holderIdentity" in connection.objects[PATH]["spec"])

    leading = asyncio.create_task(lead(candidate(connection), work))
    await started.wait()
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert held == [True]
    assert "holderIdentity" not in connection.objects[PATH]["spec"]


async def test_a_candidate_that_ends_while_it_is_given_the_lease_gives_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection: Any = FakeKube()
    ask, written = connection.request, asyncio.Event()

    async def slow_answer(method: str, *args: Any, **named: Any) -> Any:
        answer = await ask(method, *args, **named)
        if method == "POST":
            written.set()
            await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(connection, "request", slow_answer)
    waiting = asyncio.create_task(lead(candidate(connection), asyncio.Event().wait))  # type: ignore[arg-type]
    await written.wait()
    assert "holderIdentity" in connection.objects[PATH]["spec"]
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert "holderIdentity" not in connection.objects[PATH]["spec"]


async def test_a_lost_lease_ends_the_work() -> None:
    connection: Any = FakeKube()
    stopped = asyncio.Event()

    async def work() -> None:
        for method in ("GET", "PUT"):
            connection.fail[method] = [ApiError(500, "", "gone") for _ in range(100)]
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(LeadershipLostError):
        await lead(candidate(connection, seconds=1), work)
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
            await lead(candidate(connection, seconds=1), work)


async def test_work_that_fails_says_so() -> None:
    connection: Any = FakeKube()

    async def work() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await lead(candidate(connection), work)


class Loop(asyncio.SelectorEventLoop):
    """A loop in which hours pass at once: time jumps to whatever is due next."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def in_virtual_time(work: Callable[[Loop], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Loop)
        runner.run(work(loop))


def test_a_leader_spends_few_requests_and_a_candidate_not_many_more() -> None:
    async def work(loop: Loop) -> None:
        kube = FakeKube()

        async def lead_for_ten_minutes() -> None:
            kube.requests.clear()
            await asyncio.sleep(600)
            assert len(kube.requests) <= 12 * 10
            assert {method for method, _ in kube.requests} == {"PUT"}

            waiting = asyncio.create_task(lead(candidate(kube, loop.time), asyncio.Event().wait))  # type: ignore[arg-type]
            await asyncio.sleep(10)
            kube.requests.clear()
            await asyncio.sleep(600)
            assert len([method for method, _ in kube.requests if method == "GET"]) <= 20 * 10
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

        await lead(candidate(kube, loop.time), lead_for_ten_minutes)

    in_virtual_time(work)


@pytest.mark.parametrize("phase", [0.0, 0.7, 1.9, 2.9, 4.3])
def test_a_leader_that_falls_silent_is_followed_within_twenty_seconds(phase: float) -> None:
    async def work(loop: Loop) -> None:
        kube = FakeKube()
        leading, taken = asyncio.Event(), loop.create_future()

        async def first() -> None:
            leading.set()
            await asyncio.Event().wait()

        async def second() -> None:
            taken.set_result(loop.time())

        silent = asyncio.create_task(lead(candidate(kube, loop.time), first))
        await leading.wait()
        following = asyncio.create_task(lead(candidate(kube, loop.time), second))
        await asyncio.sleep(60 + phase)
        kube.fail["PUT"] = [ConnectionResetError()]  # Its last one: then it is gone without a word.
        silent.cancel()
        await asyncio.gather(silent, return_exceptions=True)
        gone = loop.time()
        kube.fail.clear()
        assert await taken - gone < 20
        await following

    in_virtual_time(work)


async def test_a_leader_whose_lease_was_taken_notices_at_its_next_write() -> None:
    kube, clock = FakeKube(), Clock()
    first, second = candidate(kube, clock), candidate(kube, clock)
    await first.hold()
    await second.hold()
    clock.now += 16
    assert await second.hold()
    assert not await first.hold()
    assert not await first.hold()
    assert kube.objects[PATH]["spec"]["holderIdentity"] == second.identity


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ApiError(404, "NotFound", 'namespaces "sistem" not found'),
            "there is no namespace system: create it",
        ),
        (ApiError(403, "Forbidden", "no"), "needs get, create and update on leases in namespace system"),
        (ApiError(500, "", "etcd"), "could not be read or written"),
    ],
)
async def test_a_problem_with_the_lease_is_logged_once_and_makes_health_fail(
    error: ApiError, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    lease = candidate(kube := FakeKube())
    kube.fail["POST"] = [error, error]
    assert not await lease.hold()
    assert not await lease.hold()
    assert said in lease.trouble
    assert [said in record.message for record in caplog.records] == [True]
    assert await lease.hold()
    assert lease.trouble == ""


async def test_an_absent_api_server_is_reported_in_one_plain_line() -> None:
    connection: Any = FakeKube()
    key: Any = None
    refused = aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "Connection refused"))

    async def work() -> None:
        for method in ("GET", "PUT"):
            connection.fail[method] = [refused] * 100
        await asyncio.Event().wait()

    with pytest.raises(LeadershipLostError) as lost:
        await lead(candidate(connection, seconds=2), work)
    said = str(lost.value)
    assert "the API server at https://127.0.0.1:6443 does not answer (Connection refused)" in said
    assert "can take over" in said
    assert "\n" not in said
    assert "object at" not in said


async def test_waiting_for_another_holder_of_the_lease_is_healthy() -> None:
    kube, clock = FakeKube(), Clock()
    first, second = candidate(kube, clock), candidate(kube, clock)
    await first.hold()
    await second.hold()
    assert second.trouble == ""
