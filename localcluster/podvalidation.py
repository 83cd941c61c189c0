"""What kube-apiserver demands of the spec of a pod, in its words."""

from collections.abc import Iterator
from typing import Any

from localcluster import validation as check
from localcluster.errors import Cause, Object

SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
FIELDS = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
NATIVE = ("cpu", "memory", "ephemeral-storage")
NAMES = {"configMap": "name", "secret": "secretName", "persistentVolumeClaim": "claimName"}
MAX_ID = 2**31 - 1


def named(path: str, found: list[Object]) -> Iterator[Cause]:
    """Names of containers or volumes: DNS labels, each there once."""
    seen = set()
    for number, one in enumerate(found):
        where, name = f"{path}[{number}].name", one.get("name") or ""
        if not name:
            yield check.required(where)
        elif name in seen:
            yield check.duplicate(where, name)
        else:
            yield from check.checked(where, name, check.dns_label)
        seen.add(name)


def pod(obj: Object, old: Object | None) -> Iterator[Cause]:
    """A Pod; `old` is None when it is created."""
    restarts = ("Always", "OnFailure", "Never")
    yield from check.one_of("spec.restartPolicy", obj["spec"].get("restartPolicy"), restarts)
    yield from pod_spec(obj["spec"], "spec")
    if old is not None and {**obj["spec"], "tolerations": None} != {**old["spec"], "tolerations": None}:
        yield check.forbidden("spec", "pod updates may not change fields other than `spec.tolerations`")


def pod_spec(spec: Object, path: str) -> Iterator[Cause]:
    """A pod's own spec, or that of a template; restartPolicy apart."""
    volumes, containers = spec.get("volumes") or [], spec.get("containers") or []
    yield from named(f"{path}.volumes", volumes)
    for number, one in enumerate(volumes):
        yield from _volume(one, f"{path}.volumes[{number}]")
    if not containers:
        yield check.required(f"{path}.containers")
    yield from named(f"{path}.containers", containers)
    for number, one in enumerate(containers):
        yield from _container(one, f"{path}.containers[{number}]", {volume.get("name") for volume in volumes})
    dns = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
    yield from check.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), dns)
    yield from check.labels(f"{path}.nodeSelector", spec.get("nodeSelector") or {})
    for number, one in enumerate(spec.get("tolerations") or ()):
        yield from _toleration(one, f"{path}.tolerations[{number}]")
    for key in ("priorityClassName", "serviceAccountName"):
        if spec.get(key):
            yield from check.checked(f"{path}.{key}", spec[key], check.dns_subdomain)
    if spec.get("hostname"):
        yield from check.checked(f"{path}.hostname", spec["hostname"], check.dns_label)
    yield from _identity(spec.get("securityContext") or {}, f"{path}.securityContext")


def _identity(context: Object, path: str) -> Iterator[Cause]:
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        if key in context and not 0 <= context[key] <= MAX_ID:
            yield check.invalid_value(
                f"{path}.{key}", context[key], f"must be between 0 and {MAX_ID}, inclusive"
            )


def _volume(volume: Object, path: str) -> Iterator[Cause]:
    kinds = sorted(volume.keys() - {"name"}, key=["emptyDir", *NAMES, *volume].index)
    for kind in kinds[1:]:
        yield check.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type")
    for kind in kinds[:1]:
        source = volume[kind]
        if kind in NAMES and not source.get(NAMES[kind]):
            yield check.required(f"{path}.{kind}.{NAMES[kind]}")
        for number, item in enumerate(source.get("items") or ()):
            for key in ("key", "path"):
                if not item.get(key):
                    yield check.required(f"{path}.{kind}.items[{number}].{key}")
            yield from _inside(f"{path}.{kind}.items[{number}].path", item.get("path") or "")
        if check.quantity(source.get("sizeLimit", 0)) < 0:
            yield check.forbidden(
                f"{path}.{kind}.sizeLimit", "SizeLimit field must be a valid resource quantity"
            )


def _inside(field: str, path: str) -> Iterator[Cause]:
    if path.startswith("/"):
        yield check.invalid_value(field, path, "must be a relative path")
    if ".." in path.split("/"):
        yield check.invalid_value(field, path, "must not contain '..'")


def _container(container: Object, path: str, volumes: set[Any]) -> Iterator[Cause]:
    if not container.get("image"):
        yield check.required(f"{path}.image")
    yield from _ports(container.get("ports") or [], f"{path}.ports")
    for number, variable in enumerate(container.get("env") or ()):
        yield from _variable(variable, f"{path}.env[{number}]")
    seen = set()
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        where, place = f"{path}.volumeMounts[{number}]", mount.get("mountPath")
        if not mount.get("name"):
            yield check.required(f"{where}.name")
        elif mount["name"] not in volumes:
            yield Cause(f"{where}.name", "FieldValueNotFound", f'Not found: "{mount["name"]}"')
        if not place:
            yield check.required(f"{where}.mountPath")
        elif place in seen:
            yield check.invalid_value(f"{where}.mountPath", place, "must be unique")
        seen.add(place)
        yield from _inside(f"{path}.volumeMounts.subPath", mount.get("subPath") or "")
    yield from _resources(container.get("resources") or {}, f"{path}.resources")
    pull, policies = ("Always", "IfNotPresent", "Never"), ("File", "FallbackToLogsOnError")
    yield from check.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), pull)
    yield from check.one_of(
        f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), policies
    )
    yield from _identity(container.get("securityContext") or {}, f"{path}.securityContext")


def _ports(ports: list[Object], path: str) -> Iterator[Cause]:
    seen = set()
    for number, port in enumerate(ports):
        where, name, found = f"{path}[{number}]", port.get("name"), port.get("containerPort", 0)
        if name:
            if len(name) > 15:
                yield check.invalid_value(f"{where}.name", name, "must be no more than 15 characters")
            elif set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-"):
                why = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
                yield check.invalid_value(f"{where}.name", name, why)
            elif name in seen:
                yield check.duplicate(f"{where}.name", name)
            seen.add(name)
        if not found:
            yield check.required(f"{where}.containerPort")
        elif not 0 < found < 65536:
            yield check.invalid_value(
                f"{where}.containerPort", found, "must be between 1 and 65535, inclusive"
            )
        yield from check.one_of(f"{where}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))


def _variable(variable: Object, path: str) -> Iterator[Cause]:
    name, source = variable.get("name") or "", variable.get("valueFrom")
    if not name:
        yield check.required(f"{path}.name")
    elif "=" in name or not name.isascii() or not name.isprintable():
        why = (
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
        yield check.invalid_value(f"{path}.name", name, why)
    if source is None:
        return
    kinds = [kind for kind in SOURCES if kind in source]
    if not kinds:
        listed = ", ".join(f"`{kind}`" for kind in SOURCES[:-1]) + f" or `{SOURCES[-1]}`"
        yield check.invalid_value(f"{path}.valueFrom", "", f"must specify one of: {listed}")
    elif len(kinds) > 1:
        yield check.invalid_value(
            f"{path}.valueFrom", "", "may not have more than one field specified at a time"
        )
    elif variable.get("value"):
        yield check.invalid_value(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")
    for kind in kinds:
        yield from _source(kind, source[kind], f"{path}.valueFrom.{kind}")


def _source(kind: str, ref: Object, path: str) -> Iterator[Cause]:
    if kind == "fieldRef":
        field = ref.get("fieldPath") or ""
        if not field:
            yield check.required(f"{path}.fieldPath")
        elif field not in FIELDS and not field.startswith(("metadata.labels['", "metadata.annotations['")):
            why = f"error converting fieldPath: field label not supported: {field}"
            yield check.invalid_value(f"{path}.fieldPath", field, why)
    if kind in ("configMapKeyRef", "secretKeyRef"):
        yield from check.checked(f"{path}.name", ref.get("name") or "", check.dns_subdomain)
        if not ref.get("key"):
            yield check.required(f"{path}.key")
        else:
            yield from check.checked(f"{path}.key", ref["key"], check.config_key)


def _resources(resources: Object, path: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            where, standard = f"{path}.{part}[{name}]", name in NATIVE or name.startswith("hugepages-")
            yield from check.checked(where, name, check.qualified_name)
            if "/" not in name and not standard:
                yield check.invalid_value(where, name, "must be a standard resource type or fully qualified")
                yield check.invalid_value(where, name, "must be a standard resource for containers")
            if check.quantity(amount) < 0:
                yield check.invalid_value(where, str(amount), "must be greater than or equal to 0")
            if not standard and check.quantity(amount) % 1:
                yield check.invalid_value(
                    where, f"{check.quantity(amount) * 1000:f}m".replace(".0m", "m"), "must be an integer"
                )
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is None and "/" in name:
            yield check.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        elif limit is not None and "/" in name and check.quantity(limit) != check.quantity(amount):
            yield check.invalid_value(
                f"{path}.requests", str(amount), f"must be equal to {name} limit of {limit}"
            )
        elif limit is not None and check.quantity(amount) > check.quantity(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            yield check.invalid_value(f"{path}.requests", str(amount), why)


def _toleration(one: Object, path: str) -> Iterator[Cause]:
    key, operator = one.get("key"), one.get("operator") or "Equal"
    if key:
        yield from check.checked(f"{path}.key", key, check.qualified_name)
    elif operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield check.invalid_value(f"{path}.operator", operator, why)
    if one.get("tolerationSeconds") is not None and one.get("effect") != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield check.invalid_value(f"{path}.effect", one.get("effect", ""), why)
    if operator == "Exists" and one.get("value"):
        yield check.invalid_value(
            f"{path}.operator", one["value"], "value must be empty when `operator` is 'Exists'"
        )
    yield from check.one_of(f"{path}.operator", operator, ("Equal", "Exists"))
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    yield from check.one_of(f"{path}.effect", one.get("effect") or None, effects)
