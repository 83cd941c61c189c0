"""How the test goes: seed the claim, run the job, recount its dataset, and clean up whatever happened."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

from rephrase_operator.api.status import Phase, RephraseJobStatus, parse_status
from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube
from rephrase_operator.commands.display import line
from rephrase_operator.commands.live import states
from rephrase_operator.commands.selftest import objects
from rephrase_operator.commands.selftest.objects import LABEL, NAME, SEED, VERIFY, Trial
from rephrase_operator.observed.views import view_job, view_pod

POLL_SECONDS = 1.0
CLEAN_UP_SECONDS = 120.0
"""How long to wait until what was deleted is gone. A claim stays until the last pod that uses it is gone."""


class NotWorkingError(Exception):
    """The installation does not work. The message says what was seen, and what to do."""


async def run(trial: Trial, *, keep: bool) -> int:
    """Run the test with the pod's account or the kubeconfig; returns the exit code, 0 for what works."""
    async with await Kube.connect() as connection:
        return await conduct(connection, trial, keep=keep)


async def conduct(connection: Kube, trial: Trial, *, keep: bool) -> int:
    """Run the test, say how it went, and clean up; returns the exit code."""
    course = Course(connection, trial)
    task = asyncio.ensure_future(course.go())
    # A pod that is deleted gets SIGTERM. What the test has made is removed then, too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    problem = ""
    try:
        await task
    except NotWorkingError as error:
        problem = str(error)
    except (ApiError, *kube.UNREACHABLE) as error:
        problem = f"the API server at {connection.server}: {kube.plainly(error)}"
    except asyncio.CancelledError:
        problem = "it was told to stop"
    if problem:
        print(f"rephrase selftest: FAILED: {problem}", file=sys.stderr)
    cleaned = await _cleaned(course, keep=keep)
    return 0 if cleaned and not problem else 1


async def _cleaned(course: Course, *, keep: bool) -> bool:
    if keep:
        namespace = course.trial.namespace
        _say(f"all is kept: kubectl get rephrasejobs,jobs,pods,pvc -n {namespace} -l {LABEL}={NAME}")
        return True
    try:
        await course.clean_up()
    except (NotWorkingError, ApiError, *kube.UNREACHABLE) as error:
        print(f"rephrase selftest: not cleaned up: {error}", file=sys.stderr)
        return False
    return True


class Course:
    """The steps of one test."""

    def __init__(self, connection: Kube, trial: Trial) -> None:
        self._kube = connection
        self.trial = trial

    async def go(self) -> None:
        """All steps. Raises NotWorkingError, ApiError, and aiohttp's errors without an answer."""
        await self.clean_up()
        trial, doing = self.trial, "creating the claim"
        status = RephraseJobStatus()
        try:
            async with asyncio.timeout(trial.seconds):
                await self._create(kube.claims(trial.namespace), objects.claim(trial))
                doing = "writing the documents"
                await self._run_pod(SEED, objects.seed_job(trial), doing)
                doing = "rephrasing"
                await self._create(kube.rephrase_jobs(trial.namespace), objects.rephrase_job(trial))
                async for raw in states(self._kube, trial.namespace, NAME):
                    before, status = line(NAME, status), parse_status(raw.get("status"))
                    if (text := line(NAME, status)) != before:
                        _say(text)
                    if status.phase is not None and status.phase.final:
                        break
                self._judge(status)
                doing = "recounting the dataset"
                await self._run_pod(VERIFY, objects.verify_job(trial), doing)
        except TimeoutError:
            raise NotWorkingError(await self._out_of_time(doing, status)) from None
        _say(f"SUCCEEDED: {status.message}")

    async def clean_up(self) -> None:
        """Remove what this or an earlier test has made, and wait until it is gone."""
        namespace = self.trial.namespace
        paths = [
            kube.rephrase_jobs(namespace, NAME),
            kube.jobs(namespace, SEED),
            kube.jobs(namespace, VERIFY),
            kube.claims(namespace, NAME),
        ]
        left = [path for path in paths if await self._delete(path)]
        try:
            async with asyncio.timeout(CLEAN_UP_SECONDS):
                while True:
                    left = [path for path in left if await self._exists(path)]
                    if not left:
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            names = ", ".join("/".join(path.split("/")[-2:]) for path in left)
            raise NotWorkingError(
                f"{names} in {namespace}: deleted, and still there. Does a pod use it?"
            ) from None

    async def _create(self, path: str, manifest: dict[str, Any]) -> None:
        try:
            await self._kube.request("POST", path, body=manifest)
        except ApiError as error:
            if error.status != 404:
                raise
            raise NotWorkingError(
                f"there is no kind {manifest['kind']} or no namespace {self.trial.namespace}: is the chart "
                f"installed, and crds/ applied? ({kube.plainly(error)})"
            ) from error

    async def _run_pod(self, name: str, manifest: dict[str, Any], doing: str) -> None:
        """Run a Job to its end. Raises NotWorkingError with its pod's last words if it fails."""
        _say(f"{doing} ...")
        await self._create(kube.jobs(self.trial.namespace), manifest)
        path = kube.jobs(self.trial.namespace, name)
        while not (child := view_job(await self._kube.request("GET", path))).complete:
            if child.failed:
                raise NotWorkingError("\n".join([f"{doing}: {child.failed_message}", *await self._pods()]))
            await asyncio.sleep(POLL_SECONDS)

    def _judge(self, status: RephraseJobStatus) -> None:
        if status.phase is Phase.SUCCEEDED:
            wrong = objects.shortcomings(status)
        elif status.phase is not None and status.phase.final:
            wrong = [f"the job failed: {status.message}"]
        else:
            wrong = ["somebody deleted the job"]
        if wrong:
            raise NotWorkingError("\n".join([" ".join(wrong), *_conditions(status)]))

    async def _out_of_time(self, doing: str, status: RephraseJobStatus) -> str:
        lines = [f"{doing} was not done after {self.trial.seconds} s"]
        if doing == "rephrasing" and status.phase is None:
            lines.append(
                "No operator has looked at the job. Does one run (kubectl get deployments), and does it "
                f"serve the namespace {self.trial.namespace} (watchNamespaces of the chart)?"
            )
        return "\n".join([*lines, *await self._pods(), *_conditions(status)])

    async def _pods(self) -> list[str]:
        """What scheduler and kubelet say of the pods that seed and recount, and what these said at last.

        The conditions of the RephraseJob speak of its own pods.
        """
        query = {"labelSelector": f"{LABEL}={NAME}"}
        listed = await self._kube.request("GET", kube.pods(self.trial.namespace), query=query)
        said = []
        for pod in map(view_pod, listed["items"]):
            words = f"{pod.trouble}: {pod.trouble_message}" if pod.trouble else pod.termination
            if words:
                said.append(f"Pod {pod.name}, {pod.phase}: {words.strip()}")
        return said

    async def _delete(self, path: str) -> bool:
        """Delete an object of the test's. False if it does not exist."""
        try:
            found = await self._kube.request("GET", path)
            if (found["metadata"].get("labels") or {}).get(LABEL) != NAME:
                raise NotWorkingError(f"{path} exists and is not of this test: rename or remove it")
            await self._kube.request("DELETE", path, query={"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    async def _exists(self, path: str) -> bool:
        try:
            await self._kube.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True


def _conditions(status: RephraseJobStatus) -> list[str]:
    return [
        f"{held.type}={held.status} {held.reason}: {held.message}"
        for held in status.conditions
        if held.message
    ]


def _say(text: str) -> None:
    print(f"rephrase selftest: {text}", flush=True)
