"""Defaults and checks of built-in kinds, beyond their schemas in kinds.yaml."""

import base64
import copy

from localcluster import podspec, validation
from localcluster.clock import stamp
from localcluster.errors import Cause, Object, invalid
from localcluster.jobvalidation import job
from localcluster.podvalidation import pod
from localcluster.resources import Resource
from localcluster.rules import program
from localcluster.validation import dns_subdomain

JOB = "batch.kubernetes.io/"
JOB_CONTROLLER = "kubernetes.io/job-controller"
IN_USE = "kubernetes.io/pvc-protection"


def check_name(resource: Resource, name: str) -> None:
    """Raises 422 for a name that is no DNS subdomain."""
    if not resource.unnamed and (causes := validation.checked("metadata.name", name, dns_subdomain)):
        raise invalid(resource.group, resource.kind, name, causes)


def check(resource: Resource, new: Object, old: Object | None) -> list[Cause]:
    """What is wrong with an object that is complete, beyond its schema."""
    causes = list(validation.metadata(new["metadata"]))
    if resource.plural in ("configmaps", "secrets") and not resource.custom:
        causes += validation.config_map(new)
    if resource.plural == "persistentvolumeclaims":
        causes += validation.claim(new, old)
    if resource.plural == "pods":
        causes += pod(new, old)
    if resource.plural == "jobs":
        causes += job(new, old)
    return list(dict.fromkeys(causes))


def admit(resource: Resource, new: Object, old: Object | None) -> list[Cause]:
    """Complete one object of a built-in kind in place; `old` is None when it is created."""
    if resource.plural == "namespaces" and old is None:
        new |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]
    if resource.plural == "secrets":
        for key, text in (new.pop("stringData", None) or {}).items():
            new.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
    if resource.plural == "persistentvolumeclaims" and old is None:
        _bind(new)
    if resource.plural == "pods" and old is None:
        new.setdefault("spec", {})
        new["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
    if resource.plural == "jobs":
        _complete_job(new, created=old is None)
    return _establish(new) if resource.plural == "customresourcedefinitions" else []


JOB_FIELDS = (
    "ttlSecondsAfterFinished",
    "activeDeadlineSeconds",
    "successPolicy",
    "managedBy",
    "manualSelector",
)


def unsupported(resource: Resource, new: Object, old: Object | None) -> str:
    """What a valid object asks for that only a real cluster does; empty if nothing."""
    if resource.plural == "pods":
        return podspec.unsupported(new["spec"])
    if resource.plural != "jobs":
        return ""
    spec = new["spec"]
    for key in JOB_FIELDS:
        value = spec.get(key)
        if value is not None and value is not False and value != JOB_CONTROLLER:
            return f"localcluster's Job controller has no {key}: leave it out"
    if spec.get("completions") is None:
        return "localcluster's Job controller has no work queues: give completions"
    if old is not None and spec["completions"] != old["spec"]["completions"]:
        return "localcluster's Job controller has no elastic indexes: leave completions as they are"
    return podspec.unsupported(spec["template"]["spec"])


def _bind(claim: Object) -> None:
    """Bind a claim at once. As in a real cluster, it can't be removed while a pod uses it."""
    claim["metadata"]["finalizers"] = [*claim["metadata"].get("finalizers", ()), IN_USE]
    spec = claim.setdefault("spec", {})
    spec |= {"volumeName": f"pvc-{claim['metadata']['uid']}", "volumeMode": "Filesystem"}
    spec.setdefault("storageClassName", "local")
    claim["status"] = {
        "phase": "Bound",
        "accessModes": spec.get("accessModes"),
        "capacity": (spec.get("resources") or {}).get("requests"),
    }


def _complete_job(obj: Object, *, created: bool) -> None:
    spec = obj.setdefault("spec", {})
    meta = spec.setdefault("template", {}).setdefault("metadata", {})
    spec["template"].setdefault("spec", {})
    per_index = spec.get("backoffLimitPerIndex") is not None
    spec.setdefault("backoffLimit", 2**31 - 1 if per_index else 6)
    spec.setdefault(
        "podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    )
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    if created:
        uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
        labels = {"controller-uid": uid, "job-name": name}
        labels |= {JOB + key: value for key, value in labels.items()}
        meta["labels"] = {**labels, **meta.get("labels", {})}
        obj["metadata"].setdefault("labels", dict(meta["labels"]))
        chosen = spec.get("selector", {}).get("matchLabels", {})
        obj["status"], spec["selector"] = {}, {"matchLabels": {**chosen, JOB + "controller-uid": uid}}


def _establish(crd: Object) -> list[Cause]:
    """Complete a CRD at once. A real API server does that in the background."""
    if "spec" not in crd:
        return []
    spec, names = crd["spec"], crd["spec"]["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", names["kind"] + "List")
    causes = []
    if crd["metadata"]["name"] != f"{names['plural']}.{spec['group']}":
        text = f'Invalid value: "{crd["metadata"]["name"]}": must be spec.names.plural+"."+spec.group'
        causes.append(Cause("metadata.name", "FieldValueInvalid", text))
    for number, version in enumerate(spec["versions"]):
        path = f"spec.versions[{number}].schema.openAPIV3Schema"
        root = (version.get("schema") or {}).get("openAPIV3Schema")
        causes += _structural(root, path) if root else [Cause(path, "FieldValueRequired", "Required value")]
    reasons = {"NamesAccepted": "NoConflicts", "Established": "InitialNamesAccepted"}
    crd["status"] = {
        "acceptedNames": copy.deepcopy(names),
        "storedVersions": [one["name"] for one in spec["versions"] if one.get("storage")],
        "conditions": [
            {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": stamp()}
            for kind, reason in reasons.items()
        ],
    }
    return causes


def _structural(schema: Object, path: str) -> list[Cause]:
    """Check that every node has a type, and that every rule compiles."""
    causes = []
    if not schema.keys() & {"type", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}:
        text = "Required value: must not be empty for specified object fields"
        causes.append(Cause(f"{path}.type", "FieldValueRequired", text))
    for number, rule in enumerate(schema.get("x-kubernetes-validations", ())):
        try:
            program(rule["rule"])
        except RuntimeError as failure:
            text = f"Invalid value: {rule}: compilation failed: {failure}"
            where = f"{path}.x-kubernetes-validations[{number}].rule"
            causes.append(Cause(where, "FieldValueInvalid", text))
    inner = {f"properties[{key}]": one for key, one in schema.get("properties", {}).items()}
    inner |= {
        key: schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)
    }
    return causes + [cause for key, one in inner.items() for cause in _structural(one, f"{path}.{key}")]
