"""The standard "restricted" of Kubernetes for pods, as its documentation states it for version 1.36.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Pod = Mapping[str, Any]

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SECCOMP = ("RuntimeDefault", "Localhost")
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}


def violations(pod: Pod) -> list[str]:
    """What keeps a pod out of a namespace that enforces the standard."""
    return [*_of_pod(pod), *(found for each in _containers(pod) for found in _of_container(pod, each))]


def _containers(pod: Pod) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, ())


def _of_pod(pod: Pod) -> Iterator[str]:
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(shared):
            yield f"{shared} is true"
    for volume in pod.get("volumes", ()):
        if not VOLUMES.intersection(volume):
            yield f"volume {volume['name']} is of a forbidden kind"
    for sysctl in pod.get("securityContext", {}).get("sysctls", ()):
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"sysctl {sysctl['name']} is not a safe one"
    yield from _of_both("pod", pod.get("securityContext", {}))


def _of_container(pod: Pod, container: Mapping[str, Any]) -> Iterator[str]:
    name, whole = container["name"], pod.get("securityContext", {})
    own = container.get("securityContext", {})
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation is not false"
    if not own.get("runAsNonRoot", whole.get("runAsNonRoot")):
        yield f"{name}: runAsNonRoot is not true"
    if own.get("seccompProfile", whole.get("seccompProfile", {})).get("type") not in SECCOMP:
        yield f"{name}: seccompProfile is not RuntimeDefault or Localhost"
    if "ALL" not in own.get("capabilities", {}).get("drop", ()):
        yield f"{name}: capabilities do not drop ALL"
    if set(own.get("capabilities", {}).get("add", ())) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capabilities add more than NET_BIND_SERVICE"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount is not Default"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield f"{name}: a port of the host"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if any(
            handler.get("host") for handler in container.get(probe, {}).values() if isinstance(handler, dict)
        ):
            yield f"{name}: {probe} asks another host"
    yield from _of_both(name, own)


def _of_both(where: str, context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield f"{where}: runAsUser is 0"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{where}: hostProcess"
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield f"{where}: appArmorProfile is Unconfined"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{where}: seLinuxOptions choose a type, user or role"
