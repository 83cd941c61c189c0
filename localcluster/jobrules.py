"""What an Indexed Job wants, as pure functions of the Job, its pods and the time.

The semantics are those of kube-controller-manager 1.36 (KEP-2214 indexed Jobs, KEP-3329 pod failure policy,
KEP-3850 backoff limit per index, KEP-3939 pod replacement policy).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from localcluster.clock import parse_time, stamp
from localcluster.errors import Object

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
TRACKING = "batch.kubernetes.io/job-tracking"
MAX_BACKOFF = timedelta(minutes=10)


def parse_intervals(text: str) -> set[int]:
    """`"0-2,5"` as numbers."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return found


def format_intervals(numbers: set[int]) -> str:
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) if len(part) == 1 or part[1] - part[0] > 1 else f"{part[0]},{part[1]}"
                    for part in parts)


def index_of(pod: Object) -> int:
    return int(pod["metadata"].get("annotations", {}).get(INDEX, -1))


def phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def finish_time(pod: Object, default: datetime) -> datetime:
    ends = [one["state"]["terminated"]["finishedAt"] for one in pod["status"].get("containerStatuses", ())
            if one["state"].get("terminated", {}).get("finishedAt")]
    return max(map(parse_time, ends)) if ends else default


def matching_rule(job: Object, pod: Object) -> tuple[str, str]:
    """The action of the first rule of the pod failure policy that a failed pod meets, and why; Count by default."""
    where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", ())):
        why = f"matching {rule['action']} rule at index {number}"
        if codes := rule.get("onExitCodes"):
            for one in pod["status"].get("containerStatuses", ()):
                exit_code = one["state"].get("terminated", {}).get("exitCode", 0)
                named = codes.get("containerName") in (None, one["name"])
                if exit_code and named and (exit_code in codes["values"]) == (codes["operator"] == "In"):
                    return rule["action"], f"Container {one['name']} for pod {where} failed with exit code {exit_code} {why}"
        for pattern in rule.get("onPodConditions") or ():
            for one in pod["status"].get("conditions", ()):
                if (one["type"], one["status"]) == (pattern["type"], pattern.get("status", "True")):
                    return rule["action"], f"Pod {where} has condition {one['type']} {why}"
    return "Count", ""


@dataclass
class Plan:
    """What to do about a Job. `create` maps an index to the annotations of its next pod."""

    status: Object
    create: dict[int, dict[str, str]] = field(default_factory=dict)
    delete: list[Object] = field(default_factory=list)
    release: list[Object] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    again: timedelta | None = None
    """When to look again although nothing changes."""


def _failure_counts(pod: Object | None, job: Object) -> tuple[int, int]:
    """Counted and ignored failures of an index up to and with this failed pod."""
    if pod is None:
        return 0, 0
    notes = pod["metadata"].get("annotations", {})
    counted, ignored = int(notes.get(FAILURES, 0)), int(notes.get(IGNORED, 0))
    return (counted, ignored + 1) if matching_rule(job, pod)[0] == "Ignore" else (counted + 1, ignored)


class _Pass:
    """One look at a Job: the pods sorted by what they mean."""

    def __init__(self, job: Object, pods: list[Object], now: datetime, base: timedelta) -> None:
        self.job, self.spec, self.now, self.base = job, job["spec"], now, base
        self.status: Object = {**job.get("status", {})}
        self.conditions: list[Object] = [dict(one) for one in self.status.get("conditions", ())]
        self.plan = Plan(self.status)
        self.indexed = self.spec["completionMode"] == "Indexed"
        self.completions: int | None = self.spec.get("completions")
        self.per_index: int | None = self.spec.get("backoffLimitPerIndex")
        self.waits_for_failed = self.spec["podReplacementPolicy"] == "Failed"
        self.active = [pod for pod in pods if phase(pod) in ("Pending", "Running")
                       and not pod["metadata"].get("deletionTimestamp")]
        self.terminating = [pod for pod in pods if phase(pod) in ("Pending", "Running")
                            and pod["metadata"].get("deletionTimestamp")]
        tracked = [pod for pod in pods if TRACKING in pod["metadata"].get("finalizers", ())]
        self.succeeded = [pod for pod in tracked if phase(pod) == "Succeeded"]
        self.failed = [pod for pod in tracked if phase(pod) == "Failed" or (
            pod in self.terminating and not self.waits_for_failed)]
        self.done = parse_intervals(self.status.get("completedIndexes", "")) | {
            index_of(pod) for pod in self.succeeded if self.indexed}
        self.lost = parse_intervals(self.status.get("failedIndexes", ""))

    def condition(self, kind: str, reason: str, message: str, status: str = "True") -> None:
        stamped = {"type": kind, "status": status, "reason": reason, "message": message, "lastProbeTime":
                   stamp(self.now), "lastTransitionTime": stamp(self.now)}
        self.conditions = [one for one in self.conditions if one["type"] != kind] + [stamped]

    def has(self, kind: str) -> Object | None:
        return next((one for one in self.conditions if one["type"] == kind and one["status"] == "True"), None)

    def run(self) -> Plan:
        if self.has("Complete") or self.has("Failed") or self.job["metadata"].get("deletionTimestamp"):
            self.plan.release = self.succeeded + self.failed
            return self._after_the_end()
        self._suspension()
        latest = self._latest_failures()
        if not self.has("FailureTarget") and not self.has("SuccessCriteriaMet"):
            self._verdict()
        ending = self.has("FailureTarget") or self.has("SuccessCriteriaMet")
        held = set() if ending else {pod["metadata"]["uid"] for pod in latest.values()}
        counted = [pod for pod in self.failed if pod["metadata"]["uid"] not in held]
        self.plan.release = self.succeeded + counted
        if self.spec["suspend"] or ending:
            self.plan.delete = self.active
        else:
            self._manage(latest)
        if ending and self.has("FailureTarget"):
            counted = counted + [pod for pod in self.active if TRACKING in pod["metadata"].get("finalizers", ())]
        self._count(counted)
        if ending and not self.active and not self.terminating:
            self._finish(ending)
        self.status["conditions"] = self.conditions
        return self.plan

    def _suspension(self) -> None:
        suspended = self.has("Suspended")
        if self.spec["suspend"] and not suspended:
            self.condition("Suspended", "JobSuspended", "Job suspended")
            self.plan.events.append(("Normal", "Suspended", "Job suspended"))
        elif not self.spec["suspend"] and suspended:
            self.condition("Suspended", "JobResumed", "Job resumed", "False")
            self.plan.events.append(("Normal", "Resumed", "Job resumed"))
            self.status["startTime"] = stamp(self.now)
        if not self.spec["suspend"]:
            self.status.setdefault("startTime", stamp(self.now))

    def _latest_failures(self) -> dict[int, Object]:
        """The last failed pod of each index that will be tried again: it stays, since it carries the failure count.

        An index whose last failure is one too many, or meets FailIndex, is lost here.
        """
        latest: dict[int, Object] = {}
        if self.per_index is None:
            return latest
        busy = {index_of(pod) for pod in self.active}
        for pod in sorted(self.failed, key=lambda one: sum(_failure_counts(one, self.job))):
            index = index_of(pod)
            if phase(pod) == "Failed" and index not in self.done | self.lost and (
                    matching_rule(self.job, pod)[0] == "FailIndex"
                    or _failure_counts(pod, self.job)[0] > self.per_index):
                self.lost.add(index)
            latest[index] = pod
        return {index: pod for index, pod in latest.items() if index not in self.done | self.lost | busy}

    def _verdict(self) -> None:
        """Set FailureTarget or SuccessCriteriaMet when the Job is decided."""
        total = self.status.get("failed", 0) + sum(matching_rule(self.job, pod)[0] != "Ignore" for pod in self.failed)
        deadline = self.spec.get("activeDeadlineSeconds")
        judged = [matching_rule(self.job, pod) for pod in self.failed if phase(pod) == "Failed"]
        fatal = next((why for action, why in judged if action == "FailJob"), None)
        if fatal:
            return self.condition("FailureTarget", "PodFailurePolicy", fatal)
        if total > self.spec["backoffLimit"]:
            return self.condition("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        if deadline is not None and not self.spec["suspend"]:
            left = parse_time(self.status["startTime"]) + timedelta(seconds=deadline) - self.now
            if left <= timedelta():
                return self.condition("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
            self._again(left)
        limit = self.spec.get("maxFailedIndexes")
        if limit is not None and len(self.lost) > limit:
            return self.condition("FailureTarget", "MaxFailedIndexesExceeded",
                                  "Job has exceeded the specified maximal number of failed indexes")
        succeeded = len(self.done) if self.indexed else self.status.get("succeeded", 0) + len(self.succeeded)
        wanted = self.completions or 0
        if self.indexed and self.lost and len(self.done) + len(self.lost) >= wanted:
            return self.condition("FailureTarget", "FailedIndexes", "Job has failed indexes")
        if succeeded >= wanted:
            self.condition("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
        return None

    def _manage(self, latest: dict[int, Object]) -> None:
        """Create pods for the lowest pending indexes, or delete those above parallelism or completions."""
        wanted = min(self.spec["parallelism"], max(0, (self.completions or 0) - len(self.done) - len(self.lost))
                     if self.indexed else (self.completions or 0) - self.status.get("succeeded", 0) - len(self.succeeded))
        surplus = [pod for pod in self.active if self.indexed and (
            index_of(pod) in self.done | self.lost or index_of(pod) >= (self.completions or 0))]
        kept = sorted((pod for pod in self.active if pod not in surplus),
                      key=lambda pod: (phase(pod) == "Running", -index_of(pod)), reverse=True)
        self.plan.delete = surplus + kept[max(0, wanted):]
        room = wanted - len(kept) - (len(self.terminating) if self.waits_for_failed else 0)
        taken = {index_of(pod) for pod in kept + (self.terminating if self.waits_for_failed else [])}
        if self.per_index is None:
            delay = self._common_backoff()
            if delay > timedelta():
                self._again(delay)
                return
        if not self.indexed:
            self.plan.create = {-1 - number: {} for number in range(max(0, room))}
            return
        for index in range(self.completions or 0):
            if room <= 0:
                break
            if index in self.done or index in self.lost or index in taken:
                continue
            room -= 1  # an index in backoff keeps its slot, as measured on 1.36
            last = latest.get(index)
            counts = _failure_counts(last, self.job)
            delay = self._backoff(sum(counts), finish_time(last, self.now)) if last else timedelta()
            if delay > timedelta():
                self._again(delay)
            else:
                self.plan.create[index] = {INDEX: str(index)} | (
                    {FAILURES: str(counts[0])} if self.per_index is not None else {}) | (
                    {IGNORED: str(counts[1])} if counts[1] else {})

    def _backoff(self, failures: int, since: datetime) -> timedelta:
        pause = min(MAX_BACKOFF, self.base * 2 ** min(30, failures - 1)) if failures else timedelta()
        return since + pause - self.now

    def _common_backoff(self) -> timedelta:
        """For Jobs without a limit per index: one backoff, by the failures since the last success."""
        record = [(finish_time(pod, self.now), pod in self.failed) for pod in self.failed + self.succeeded]
        known = self.status.get("failed", 0) if not self.succeeded else 0
        streak = known + sum(failed for _, failed in record)
        times = [at for at, failed in record if failed]
        return self._backoff(streak, max(times)) if times else timedelta()

    def _count(self, counted: list[Object]) -> None:
        failures = sum(matching_rule(self.job, pod)[0] != "Ignore" for pod in counted)
        created, gone = len(self.plan.create), len(self.plan.delete)
        numbers: dict[str, Any] = {
            "active": len(self.active) + created - gone, "terminating": len(self.terminating) + gone,
            "ready": sum(any(one["type"] == "Ready" and one["status"] == "True" for one in
                             pod["status"].get("conditions", ())) for pod in self.active),
            "failed": self.status.get("failed", 0) + failures,
            "succeeded": len(self.done) if self.indexed else self.status.get("succeeded", 0) + len(self.succeeded)}
        self.status |= numbers
        for key, numbers_of in (("completedIndexes", self.done), ("failedIndexes", self.lost)):
            if numbers_of or (key == "failedIndexes" and self.per_index is not None):
                self.status[key] = format_intervals(numbers_of)
        for key in ("active", "failed", "succeeded"):
            if not self.status[key]:
                del self.status[key]

    def _finish(self, ending: Object) -> None:
        if self.has("FailureTarget"):
            self.condition("Failed", ending["reason"], ending["message"])
            self.plan.events.append(("Warning", ending["reason"], ending["message"]))
        else:
            self.condition("Complete", ending["reason"], ending["message"])
            self.status["completionTime"] = stamp(self.now)
            self.plan.events.append(("Normal", "Completed", "Job completed"))

    def _after_the_end(self) -> Plan:
        return self.plan

    def _again(self, delay: timedelta) -> None:
        self.plan.again = delay if self.plan.again is None else min(self.plan.again, delay)


def look(job: Object, pods: list[Object], now: datetime, base: timedelta) -> Plan:
    """One pass over a Job. `base` is the first backoff, 10 s on a real cluster."""
    return _Pass(job, pods, now, base).run()
