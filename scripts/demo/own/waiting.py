"""Why a pod does not run, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PULL = frozenset({"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"})
"""Reasons of containers that get no image. ErrImagePull is not among them: the next try may succeed."""

STUCK = frozenset(
    {"CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
"""Reasons of containers that don't start, and won't without a change."""

LOADS = (
    ("kind-", "kind load docker-image {image} --name {rest}"),
    ("k3d-", "k3d image import {image} --cluster {rest}"),
    ("minikube", "minikube image load {image}"),
)
"""How images get into clusters on the user's machine, by the beginning of the context's name."""


def trouble(pods: Iterable[Mapping[str, Any]], context: str) -> str:
    """Why one of the pods will not run; empty while there is no such reason."""
    for pod in pods:
        for state, image in _waiting(pod):
            reason, message = state.get("reason", ""), state.get("message", "")
            if reason in PULL:
                return (
                    f"the cluster can't get the image {image} ({reason}: {message})\n{advice(image, context)}"
                )
            if reason in STUCK:
                return f"pod {pod['metadata']['name']}: {reason}: {message}"
    return ""


def hindrance(pods: Iterable[Mapping[str, Any]]) -> str:
    """What the pods wait for, for the message after a deadline."""
    said = []
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        said += [
            f"pod {name} is not scheduled: {condition.get('message', '')}"
            for condition in status.get("conditions", ())
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
        said += [
            f"pod {name} waits: {state.get('reason', '')} {state.get('message', '')}".rstrip()
            for state, _ in _waiting(pod)
        ]
    return "\n".join(said) or "no pod was made; `kubectl get events` may say why"


def advice(image: str, context: str) -> str:
    """How to get an image into the cluster."""
    for beginning, load in LOADS:
        if context.startswith(beginning):
            line = load.format(image=image, rest=context.removeprefix(beginning))
            return f"`make images` builds it on this machine; then: {line}"
    return (
        "Push it to a registry that the cluster can pull from, and name it by OPERATOR_IMAGE=... and "
        "WORKER_IMAGE=... (docs/images.md says how to build them)"
    )


def _waiting(pod: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
    """The waiting states of a pod's containers, with their images."""
    return [
        (container["state"]["waiting"], container["image"])
        for container in pod.get("status", {}).get("containerStatuses", ())
        if "waiting" in container.get("state", {})
    ]
