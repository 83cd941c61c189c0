"""The volumes of a job's pods: the claims that its URIs name, and the cache of its model.

A claim is mounted once on each pod that needs it, at /pvc/CLAIM, and an environment variable lists these
folders. The recipe and the plan hold `pvc://` URIs and no paths. A pod without a shared model cache gets a
scratch volume, into which it fetches the pinned model itself. Every pod gets one at /tmp, because its root
file system may be read-only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rephrase_operator import api
from rephrase_operator.observed.views import Step
from rephrase_worker.uris import CLAIMS_VARIABLE, MODEL_CACHE_VARIABLE, SHARED, claim_of, claims_value

CACHE_FOLDER = "/var/cache/huggingface"
CLAIMS_FOLDER = "/pvc"
SCRATCH_FOLDER = "/tmp"  # noqa: S108 - in the pod, where it is a volume of its own
"""The home of the images' user and the one folder that they write to. vLLM, torch, Triton and FlashInfer keep
what they compile there, and vLLM its sockets.
"""

WORKER_GROUP = 10001
"""Group of the worker images' user. A new volume belongs to root until the kubelet gives it this group."""


_WITH_MODEL = (Step.PLAN, Step.GENERATE, Step.MIX)
"""Steps that need the model, or its tokenizer alone."""


@dataclass
class Storage:
    """Parts of a pod's manifest."""

    volumes: list[dict[str, Any]] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    env: list[dict[str, Any]] = field(default_factory=list)
    security_context: dict[str, Any] = field(default_factory=dict)
    """Additions to the pod's securityContext, which settings of the installer override."""


def storage(spec: api.RephraseJobSpec, step: Step, *, cache: str | None) -> Storage:
    """The claims of the pods of a step, and the model cache: `cache` is its claim, if all pods share one."""
    found = Storage(
        volumes=[{"name": "scratch", "emptyDir": {}}],
        mounts=[{"name": "scratch", "mountPath": SCRATCH_FOLDER}],
    )
    volume_of: dict[str, str] = {}

    def claim_volume(claim: str) -> str:
        # One volume a claim: with two of them on one claim the kubelet waits for ever.
        if claim not in volume_of:
            volume_of[claim] = f"claim-{len(volume_of)}"
            found.volumes.append({"name": volume_of[claim], "persistentVolumeClaim": {"claimName": claim}})
        return volume_of[claim]

    claims = _claims(spec, step)
    for claim, writable in claims.items():
        mount = {"name": claim_volume(claim), "mountPath": f"{CLAIMS_FOLDER}/{claim}"}
        found.mounts.append(mount if writable else mount | {"readOnly": True})
    if claims:
        folders = {claim: f"{CLAIMS_FOLDER}/{claim}" for claim in claims}
        found.env.append({"name": CLAIMS_VARIABLE, "value": claims_value(folders)})
    if step in _WITH_MODEL:
        if cache:
            found.mounts.append({"name": claim_volume(cache), "mountPath": CACHE_FOLDER})
            found.env.append({"name": MODEL_CACHE_VARIABLE, "value": SHARED})
        else:
            found.volumes.append({"name": "models", "emptyDir": {}})
            found.mounts.append({"name": "models", "mountPath": CACHE_FOLDER})
        found.env.append({"name": "HF_HOME", "value": CACHE_FOLDER})
    if volume_of:
        found.security_context = {"fsGroup": WORKER_GROUP, "fsGroupChangePolicy": "OnRootMismatch"}
    return found


def local_paths(spec: api.RephraseJobSpec) -> list[str]:
    """Fields of the spec that name a path on the pod's own disk, which is gone with the pod."""
    uris = {"spec.source.uri": spec.source.uri, "spec.output.uri": spec.output.uri}
    if spec.mix is not None:
        uris["spec.mix.source.uri"] = spec.mix.source.uri
    return [name for name, uri in uris.items() if uri.startswith("/")]


def _claims(spec: api.RephraseJobSpec, step: Step) -> dict[str, bool]:
    """Claims that the pods of a step need, and whether they write to them."""
    claims: dict[str, bool] = {}
    if (output := claim_of(spec.output.uri)) is not None:
        claims[output] = True
    needed = []
    if step in (Step.PLAN, Step.GENERATE):
        needed.append(spec.source.uri)
    if step in _WITH_MODEL:
        needed.append(spec.model.name)
    if step in (Step.PLAN, Step.MIX) and spec.mix is not None:
        needed.append(spec.mix.source.uri)
    for claim in map(claim_of, needed):
        if claim is not None:
            claims.setdefault(claim, False)
    return claims
