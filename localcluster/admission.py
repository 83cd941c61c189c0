"""What the API server adds to and demands of built-in kinds beyond their schemas in kinds.yaml."""

import base64
import copy
import re

from localcluster import podspec
from localcluster.clock import stamp
from localcluster.errors import Cause, Object, invalid
from localcluster.resources import Resource
from localcluster.rules import program

JOB = "batch.kubernetes.io/"
JOB_CONTROLLER = "kubernetes.io/job-controller"
IN_USE = "kubernetes.io/pvc-protection"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = rf"{_LABEL}(\.{_LABEL})*"
_SENTENCE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_NAME}')"
)


def check_name(resource: Resource, name: str) -> None:
    """Raises 422 for a name that is no DNS subdomain."""
    if not resource.unnamed and (not re.fullmatch(_NAME, name) or len(name) > 253):
        text = f'Invalid value: "{name}": {_SENTENCE}'
        raise invalid(
            resource.group, resource.kind, name, [Cause("metadata.name", "FieldValueInvalid", text)]
        )


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
        new["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
    if resource.plural == "jobs" and "spec" in new:
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
    """What a valid object asks for that a real cluster does and this one does not; empty when nothing."""
    if resource.plural == "pods":
        return podspec.unsupported(new["spec"])
    if resource.plural != "jobs":
        return ""
    spec = new["spec"]
    for key in JOB_FIELDS:
        value = spec.get(key)
        if value is not None and value is not False and value != JOB_CONTROLLER:
            return f"localcluster's Job controller has no {key}: leave it out"
    if old is not None and spec["completions"] != old["spec"]["completions"]:
        return "localcluster's Job controller has no elastic indexes: leave completions as they are"
    return podspec.unsupported(spec["template"]["spec"])


def _bind(claim: Object) -> None:
    """A claim is bound at once. As in a real cluster it can't go while a pod uses it."""
    claim["metadata"]["finalizers"] = [*claim["metadata"].get("finalizers", ()), IN_USE]
    spec = claim["spec"]
    spec |= {"volumeName": f"pvc-{claim['metadata']['uid']}", "volumeMode": "Filesystem"}
    spec.setdefault("storageClassName", "local")
    claim["status"] = {
        "phase": "Bound",
        "accessModes": spec.get("accessModes"),
        "capacity": (spec.get("resources") or {}).get("requests"),
    }


def _complete_job(job: Object, *, created: bool) -> None:
    spec = job["spec"]
    per_index = spec.get("backoffLimitPerIndex") is not None
    spec.setdefault("backoffLimit", 2**31 - 1 if per_index else 6)
    spec.setdefault(
        "podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    )
    if spec.get("completionMode") != "Indexed":
        spec.setdefault("completions", 1)
    if created:
        uid, name = job["metadata"]["uid"], job["metadata"]["name"]
        labels = {"controller-uid": uid, "job-name": name}
        labels |= {JOB + key: value for key, value in labels.items()}
        meta = spec.setdefault("template", {}).setdefault("metadata", {})
        meta["labels"] = {**(meta.get("labels") or {}), **labels}
        job["metadata"].setdefault("labels", dict(meta["labels"]))
        job["status"], spec["selector"] = {}, {"matchLabels": {JOB + "controller-uid": uid}}


def _establish(crd: Object) -> list[Cause]:
    """A CRD is served at once: what a real API server does in the background is done here."""
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
    """Types are required everywhere, and every rule has to compile."""
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
