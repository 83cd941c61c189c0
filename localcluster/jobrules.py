"""What a Job wants, as a pure function of the Job, its pods and the time.

The semantics are those of kube-controller-manager 1.36: indexed Jobs (KEP-2214), pod failure policy
(KEP-3329), backoff limit per index (KEP-3850), pod replacement policy (KEP-3939).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from localcluster.clock import parse_time, stamp
from localcluster.errors import Object

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
TRACKING = "batch.kubernetes.io/job-tracking"
MAX_BACKOFF = timedelta(minutes=10)
ENDED = ("Complete", "Failed")


def parse_intervals(text: str) -> set[int]:
    """`"0-2,5"` as numbers."""
    bounds = [part.partition("-") for part in text.split(",") if part]
    return {number for low, _, high in bounds for number in range(int(low), int(high or low) + 1)}


def format_intervals(numbers: set[int]) -> str:
    """The reverse; two neighbours are listed, three make an interval."""
    ordered = sorted(numbers)
    starts = [number for number in ordered if number - 1 not in numbers]
    ends = [number for number in ordered if number + 1 not in numbers]
    pairs = zip(starts, ends, strict=True)
    return ",".join(f"{a}" if a == b else f"{a},{b}" if b == a + 1 else f"{a}-{b}" for a, b in pairs)


def index_of(pod: Object) -> int:
    """-1 for a pod of a Job without indexes."""
    return int(pod["metadata"].get("annotations", {}).get(INDEX, -1))


def true_condition(obj: Object, *kinds: str) -> Object | None:
    """The first condition of these types that is true."""
    conditions: list[Object] = obj.get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] in kinds and one["status"] == "True"), None)


def matching_rule(job: Object, pod: Object) -> tuple[str, str]:
    """The action of the first rule of the policy that a failed pod meets, and why; Count by default."""
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    statuses = pod["status"].get("containerStatuses", ())
    codes = [(one["name"], one["state"].get("terminated", {}).get("exitCode", 0)) for one in statuses]
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", ())):
        why = f"matching {rule['action']} rule at index {number}"
        wanted = rule.get("onExitCodes") or {"values": ()}
        for container, code in codes if wanted["values"] else ():
            named = wanted.get("containerName") in (None, container)
            if code and named and (code in wanted["values"]) is (wanted["operator"] == "In"):
                return rule[
                    "action"
                ], f"Container {container} for pod {name} failed with exit code {code} {why}"
        for pattern in rule.get("onPodConditions") or ():
            for one in pod["status"].get("conditions", ()):
                if (one["type"], one["status"]) == (pattern["type"], pattern["status"]):
                    return rule["action"], f"Pod {name} has condition {one['type']} {why}"
    return "Count", ""


@dataclass
class Plan:
    """What to do about a Job."""

    status: Object
    create: dict[int, dict[str, str]] = field(default_factory=dict)
    """Annotations of the new pod of each index; indexes are negative in a Job without."""
    delete: list[Object] = field(default_factory=list)
    release: list[Object] = field(default_factory=list)
    """Pods that have been counted."""
    events: list[tuple[str, str, str]] = field(default_factory=list)
    again: list[timedelta] = field(default_factory=list)
    """When to look again even if nothing changes."""


def look(job: Object, pods: list[Object], now: datetime, base: timedelta) -> Plan:
    """One pass over a Job. `base` is the first backoff, 10 s on a real cluster."""
    return _Pass(job, pods, now, base).run()


class _Pass:
    def __init__(self, job: Object, pods: list[Object], now: datetime, base: timedelta) -> None:
        self.job, self.spec, self.now, self.base = job, job["spec"], now, base
        self.plan = Plan({**job.get("status", {})})
        self.status = self.plan.status
        self.indexed = self.spec["completionMode"] == "Indexed"
        self.replaces_failed_only = self.spec["podReplacementPolicy"] == "Failed"
        unfinished = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
        self.terminating = [pod for pod in unfinished if pod["metadata"].get("deletionTimestamp")]
        self.active = [pod for pod in unfinished if pod not in self.terminating]
        tracked = [pod for pod in pods if TRACKING in pod["metadata"].get("finalizers", ())]
        self.succeeded = [pod for pod in tracked if pod["status"]["phase"] == "Succeeded"]
        lost_early = [] if self.replaces_failed_only else self.terminating
        self.failed = [pod for pod in tracked if pod["status"]["phase"] == "Failed" or pod in lost_early]
        self.done = parse_intervals(self.status.get("completedIndexes", ""))
        self.done |= {index_of(pod) for pod in self.succeeded if self.indexed}
        self.lost = parse_intervals(self.status.get("failedIndexes", ""))
        new = 0 if self.indexed else self.status.get("succeeded", 0) + len(self.succeeded)
        self.successes = len(self.done) if self.indexed else new

    def run(self) -> Plan:
        if true_condition(self.job, *ENDED) or self.job["metadata"].get("deletionTimestamp"):
            self.plan.release = self.succeeded + self.failed
            return self.plan
        self._suspend_or_resume()
        latest = self._latest_failures()
        decided = true_condition(self.job, "FailureTarget", "SuccessCriteriaMet") or self._verdict()
        held = [] if decided else [pod["metadata"]["uid"] for pod in latest.values()]
        counted = [pod for pod in self.failed if pod["metadata"]["uid"] not in held]
        self.plan.release = self.succeeded + counted
        if decided or self.spec["suspend"]:
            self.plan.delete = self.active
        else:
            self._manage(latest)
        if decided and decided["type"] == "FailureTarget":
            counted = counted + self.active
        self._count(counted)
        if decided and not self.active and not self.terminating:
            failed = decided["type"] == "FailureTarget"
            self._condition("Failed" if failed else "Complete", decided["reason"], decided["message"])
            self.status |= {} if failed else {"completionTime": stamp(self.now)}
            reason = decided["reason"] if failed else "Completed"
            self.plan.events.append(("Warning" if failed else "Normal", reason, decided["message"]))
        return self.plan

    def _condition(self, kind: str, reason: str, message: str, *, true: bool = True) -> Object:
        times = {"lastProbeTime": stamp(self.now), "lastTransitionTime": stamp(self.now)}
        new = {"type": kind, "status": str(true), "reason": reason, "message": message, **times}
        self.status["conditions"] = [
            *(c for c in self.status.get("conditions", ()) if c["type"] != kind),
            new,
        ]
        return new

    def _suspend_or_resume(self) -> None:
        suspended = true_condition(self.job, "Suspended") is not None
        if self.spec["suspend"] and not suspended:
            self._condition("Suspended", "JobSuspended", "Job suspended")
            self.plan.events.append(("Normal", "Suspended", "Job suspended"))
        if not self.spec["suspend"]:
            if suspended:
                self._condition("Suspended", "JobResumed", "Job resumed", true=False)
                self.plan.events.append(("Normal", "Resumed", "Job resumed"))
                self.status["startTime"] = stamp(self.now)
            self.status.setdefault("startTime", stamp(self.now))

    def _latest_failures(self) -> dict[int, Object]:
        """The last failed pod of each index that will be tried again. It stays, because it holds the count.

        An index whose last failure is one too many, or meets FailIndex, is lost here.
        """
        limit, latest = self.spec.get("backoffLimitPerIndex"), {}
        if limit is None:
            return {}
        for pod in sorted(self.failed, key=lambda pod: sum(self._failure_counts(pod))):
            index = index_of(pod)
            too_many = matching_rule(self.job, pod)[0] == "FailIndex" or self._failure_counts(pod)[0] > limit
            if pod["status"]["phase"] == "Failed" and index not in self.done and too_many:
                self.lost.add(index)
            latest[index] = pod
        settled = self.done | self.lost | {index_of(pod) for pod in self.active}
        return {index: pod for index, pod in latest.items() if index not in settled}

    def _failure_counts(self, pod: Object) -> tuple[int, int]:
        """Counted and ignored failures of an index up to and with this failed pod."""
        notes = pod["metadata"].get("annotations", {})
        ignored = matching_rule(self.job, pod)[0] == "Ignore"
        return int(notes.get(FAILURES, 0)) + (not ignored), int(notes.get(IGNORED, 0)) + ignored

    def _verdict(self) -> Object | None:
        """FailureTarget or SuccessCriteriaMet, once the Job is decided."""
        rules = [matching_rule(self.job, pod) for pod in self.failed]
        failures = self.status.get("failed", 0) + sum(action != "Ignore" for action, _ in rules)
        limit, wanted = self.spec.get("maxFailedIndexes"), self.spec.get("completions", 0)
        if fatal := [why for action, why in rules if action == "FailJob"]:
            return self._condition("FailureTarget", "PodFailurePolicy", fatal[0])
        if failures > self.spec["backoffLimit"]:
            text = "Job has reached the specified backoff limit"
            return self._condition("FailureTarget", "BackoffLimitExceeded", text)
        if limit is not None and len(self.lost) > limit:
            text = "Job has exceeded the specified maximal number of failed indexes"
            return self._condition("FailureTarget", "MaxFailedIndexesExceeded", text)
        if self.lost and self.successes + len(self.lost) >= wanted:
            return self._condition("FailureTarget", "FailedIndexes", "Job has failed indexes")
        if self.successes >= wanted:
            text = "Reached expected number of succeeded pods"
            return self._condition("SuccessCriteriaMet", "CompletionsReached", text)
        return None

    def _manage(self, latest: dict[int, Object]) -> None:
        """Create pods for the lowest pending indexes, or delete those above parallelism."""
        completions: int = self.spec.get("completions", 0)
        wanted = min(self.spec["parallelism"], completions - self.successes - len(self.lost))
        order = sorted(self.active, key=lambda pod: (pod["status"]["phase"] != "Running", index_of(pod)))
        self.plan.delete = order[max(0, wanted) :]
        blocking = self.terminating if self.replaces_failed_only else []
        room = max(0, wanted - len(self.active) - len(blocking))
        common = self._common_backoff() if self.spec.get("backoffLimitPerIndex") is None else timedelta()
        if common > timedelta():
            self.plan.again.append(common)
        elif self.indexed:
            taken = self.done | self.lost | {index_of(pod) for pod in self.active + blocking}
            pending = (index for index in range(completions) if index not in taken)
            for _, index in zip(range(room), pending, strict=False):
                self._try(index, latest.get(index))
        else:
            self.plan.create = {-1 - number: {} for number in range(room)}

    def _try(self, index: int, last: Object | None) -> None:
        """A pod for an index, unless it has to wait; it then keeps its slot, as measured on 1.36."""
        counted, ignored = self._failure_counts(last) if last else (0, 0)
        delay = self._backoff(counted + ignored, self._finish_time(last)) if last else timedelta()
        notes = {INDEX: str(index)} | ({IGNORED: str(ignored)} if ignored else {})
        if self.spec.get("backoffLimitPerIndex") is not None:
            notes[FAILURES] = str(counted)
        if delay > timedelta():
            self.plan.again.append(delay)
        else:
            self.plan.create[index] = notes

    def _finish_time(self, pod: Object) -> datetime:
        states = [one["state"].get("terminated", {}) for one in pod["status"].get("containerStatuses", ())]
        return max((parse_time(one["finishedAt"]) for one in states if "finishedAt" in one), default=self.now)

    def _backoff(self, failures: int, since: datetime) -> timedelta:
        pause: timedelta = min(MAX_BACKOFF, self.base * 2 ** min(30, failures - 1))
        return since + pause - self.now

    def _common_backoff(self) -> timedelta:
        """For Jobs without a limit per index: one backoff, by the failures since the last success."""
        if not self.failed:
            return timedelta()
        earlier = 0 if self.succeeded else self.status.get("failed", 0)
        return self._backoff(earlier + len(self.failed), max(map(self._finish_time, self.failed)))

    def _count(self, counted: list[Object]) -> None:
        failures = sum(matching_rule(self.job, pod)[0] != "Ignore" for pod in counted)
        numbers = {
            "active": len(self.active) + len(self.plan.create) - len(self.plan.delete),
            "failed": self.status.get("failed", 0) + failures,
            "succeeded": self.successes,
        }
        self.status |= {key: number for key, number in numbers.items() if number or key in self.status}
        self.status["ready"] = sum(true_condition(pod, "Ready") is not None for pod in self.active)
        self.status["terminating"] = len(self.terminating) + len(self.plan.delete)
        if self.done:
            self.status["completedIndexes"] = format_intervals(self.done)
        if self.spec.get("backoffLimitPerIndex") is not None:
            self.status["failedIndexes"] = format_intervals(self.lost)
