"""Policy: a job's Kubernetes Jobs are deleted when the job's namespace is being deleted.

Without that the namespace would stay for ever. Since 1.33 Kubernetes deletes the pods of a namespace before
anything else, and their Jobs only when no pod is left. The controller of an Indexed Job with
backoffLimitPerIndex, however, keeps its finalizer on an index's last failed pod until it has made the next
one, and nothing can be made in a namespace that is being deleted. Deleting the Job releases its pods.

The operator may not read namespaces. Pods that were deleted, have ended and are still there are the sign
that it goes by; then it asks with a dry run of a create.
"""

from __future__ import annotations

from rephrase_operator.observed.views import JobView, Observed, PodView
from rephrase_operator.reconcile.decision import DeleteJob


def held_up(seen: Observed) -> bool:
    """True when something seems to keep deleted pods from going: perhaps their namespace is being deleted."""
    held = {child.uid for child in _remaining(seen)}
    return any(_lingers(pod) and pod.owner_uid in held for pod in seen.pods)


def jobs_to_delete(seen: Observed, uid: str) -> tuple[DeleteJob, ...]:
    """Every Job of the RephraseJob with this UID, running or not."""
    return tuple(DeleteJob(child.name, child.uid) for child in _remaining(seen) if child.owner_uid == uid)


def _remaining(seen: Observed) -> list[JobView]:
    return [child for child in seen.jobs.values() if not child.deleting]


def _lingers(pod: PodView) -> bool:
    return pod.deleting and pod.phase in ("Succeeded", "Failed")
