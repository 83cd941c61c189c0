"""What whoever installs the operator decides, as opposed to whoever creates a RephraseJob."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LEASE_NAME = "rephrase-operator"

_POD_SECURITY: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one operator process. Flags of `rephrase run` set them."""

    namespaces: tuple[str, ...] = ()
    """Namespaces that are served; empty: all of them."""

    worker_image: str = "rephrase-worker"
    """Image of the pods of jobs that start from now on. A job keeps the image that it started with."""

    accelerator_resource: str = "nvidia.com/gpu"
    """Extended resource that a worker asks for, one unit a GPU. Empty: workers run on CPUs."""

    allow_local_paths: bool = False
    """Whether sources and outputs may be absolute paths: only where every pod has the same folders."""

    pod_security_context: Mapping[str, Any] = field(default_factory=lambda: dict(_POD_SECURITY))
    """securityContext of the jobs' pods."""

    container_security_context: Mapping[str, Any] = field(default_factory=lambda: dict(_CONTAINER_SECURITY))
    """securityContext of the container in the jobs' pods."""

    metrics_port: int = 9090
    """Port of /metrics and /healthz, on every address."""

    lease_namespace: str = "default"
    """Namespace of the Lease that the leader holds: the operator's own ($POD_NAMESPACE)."""

    identity: str = "rephrase"
    """Name of this process in events and, with a random suffix, in the Lease ($POD_NAME)."""

    lease_seconds: int = 15
    """How long a leader that went silent is waited for; at least 2."""

    progress_seconds: float = 5.0
    """How often running workers are asked for their progress and the status follows, in seconds."""

    log_level: str = "INFO"
    """Least severe level that is logged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `rephrase run`."""
    defaults = Settings()
    add = parser.add_argument
    add("--namespace", action="append", default=[], metavar="NAME", help="serve this namespace; repeatable")
    add("--worker-image", default=defaults.worker_image, help="image of the jobs' pods")
    add(
        "--accelerator-resource",
        default=defaults.accelerator_resource,
        help="extended resource of a GPU; empty: CPU workers",
    )
    add(
        "--allow-local-paths",
        action="store_true",
        help="sources and outputs may be absolute paths, where all pods have the same folders",
    )
    add(
        "--worker-security-context",
        type=_security_contexts,
        default={},
        metavar="JSON",
        help='{"pod": {...}, "container": {...}}; what is left out keeps its default',
    )
    add("--metrics-port", type=int, default=defaults.metrics_port, help="port of /metrics and /healthz")
    add(
        "--lease-seconds",
        type=_lease_seconds,
        default=defaults.lease_seconds,
        help="how long a silent leader is waited for",
    )
    add(
        "--progress-seconds", type=float, default=defaults.progress_seconds, help="how often progress is read"
    )
    add("--log-level", default=defaults.log_level, choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def from_arguments(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the parsed flags and the environment say."""
    contexts: dict[str, Any] = arguments.worker_security_context
    return Settings(
        namespaces=tuple(arguments.namespace),
        worker_image=arguments.worker_image,
        accelerator_resource=arguments.accelerator_resource,
        allow_local_paths=arguments.allow_local_paths,
        pod_security_context=contexts.get("pod", _POD_SECURITY),
        container_security_context=contexts.get("container", _CONTAINER_SECURITY),
        metrics_port=arguments.metrics_port,
        lease_namespace=environment.get("POD_NAMESPACE", "default"),
        identity=environment.get("POD_NAME", "rephrase"),
        lease_seconds=arguments.lease_seconds,
        progress_seconds=arguments.progress_seconds,
        log_level=arguments.log_level,
    )


def _lease_seconds(text: str) -> int:
    """Parse --lease-seconds: shorter than a slow answer of the API server it would be lost for nothing."""
    seconds = int(text)
    if seconds < 2:
        raise argparse.ArgumentTypeError("at least 2")
    return seconds


def _security_contexts(text: str) -> dict[str, Any]:
    """Parse --worker-security-context; argparse turns the error into a usage message."""
    try:
        contexts = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    wrong = not isinstance(contexts, dict) or set(contexts) - {"pod", "container"}
    if wrong or not all(isinstance(context, dict) for context in contexts.values()):
        raise argparse.ArgumentTypeError('expected {"pod": {...}, "container": {...}}')
    return dict(contexts)


def parse(flags: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings for a list of flags. Exits with a usage message when one is wrong."""
    parser = argparse.ArgumentParser(prog="rephrase run")
    add_arguments(parser)
    return from_arguments(parser.parse_args(flags), environment)
