"""Where data may lie, and how a `pvc://` URI becomes a path: shared by operator and worker, like `spec`.

`pvc://CLAIM/path` is a path on a PersistentVolumeClaim, in KServe's convention. The operator mounts each
claim once on every pod that needs it, and an environment variable says where. Recipes and plans don't depend
on where a pod has its volumes. This module imports nothing, because the operator uses it too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SOURCE_PROTOCOLS = ("s3", "gs", "abfs", "hf", "pvc")
OUTPUT_PROTOCOLS = ("s3", "gs", "abfs", "pvc")
"""Protocols that a RephraseJob may use. Absolute paths are also possible if the installer allows them."""

CLAIMS_VARIABLE = "REPHRASE_CLAIMS"
"""Environment variable that says where a pod has its claims: `claim=/pvc/claim,other=/pvc/other`."""

MODEL_CACHE_VARIABLE = "REPHRASE_MODEL_CACHE"
SHARED = "shared"
"""Value of MODEL_CACHE_VARIABLE on pods whose model cache is a claim of the job: the plan step fetches the
model's weights into it, and workers fetch nothing. Unset: every worker fetches them for itself.
"""

_CLAIM = re.compile(r"pvc://([^/]+)(?:/(.*))?", re.DOTALL)
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def protocol_of(uri: str) -> str:
    """The protocol in front of `://`; empty for a path."""
    match = _PROTOCOL.match(uri)
    return match[1] if match else ""


def claim_of(uri: str) -> str | None:
    """The claim that a `pvc://` URI names; None for every other URI."""
    match = _CLAIM.fullmatch(uri)
    return match[1] if match else None


def local_path(uri: str, environment: Mapping[str, str]) -> str:
    """The path of a `pvc://` URI in this process; every other URI as it is.

    Raises ValueError when the claim is not mounted here, or the path leaves it.
    """
    match = _CLAIM.fullmatch(uri)
    if match is None:
        if protocol_of(uri) == "pvc":
            raise ValueError("a pvc:// URI is pvc://CLAIM/path")
        return uri
    claim, path = match[1], (match[2] or "").strip("/")
    mounts = dict(
        entry.split("=", 1) for entry in environment.get(CLAIMS_VARIABLE, "").split(",") if "=" in entry
    )
    if claim not in mounts:
        raise ValueError(
            f"the claim {claim} is not mounted here; ${CLAIMS_VARIABLE} says where claims are "
            "(claim=/folder,other=/folder), and the operator sets it"
        )
    if ".." in path.split("/"):
        raise ValueError("its path leaves the claim")
    return f"{mounts[claim].rstrip('/')}/{path}".rstrip("/") or "/"


def claims_value(mounts: Mapping[str, str]) -> str:
    """The value of CLAIMS_VARIABLE for claims and the folders they are mounted at."""
    return ",".join(f"{claim}={folder}" for claim, folder in mounts.items())
