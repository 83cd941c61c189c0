"""What the API server adds to and demands of built-in kinds: defaults, and the rules that clients rely on.

Built-in kinds have no schema here: a misspelt field of a pod passes, on a real API server it does not.
"""

import copy
import re
from typing import Any

from localcluster.clock import stamp
from localcluster.errors import Cause, Object, invalid
from localcluster.resources import Resource
from localcluster.rules import program

JOB = "batch.kubernetes.io/"
_IMMUTABLE = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "selector", "podReplacementPolicy")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _set(target: Object, **defaults: Any) -> None:
    for key, value in defaults.items():
        if target.get(key) is None:
            target[key] = value


def check_name(resource: Resource, name: str) -> None:
    pattern_free = resource.group.startswith("rbac.")
    if not pattern_free and (not _NAME.fullmatch(name) or len(name) > 253):
        raise invalid(resource.group, resource.kind, name, [Cause("metadata.name", "FieldValueInvalid", (
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
            "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
            "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"))])


def pod_defaults(spec: Object) -> None:
    _set(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst",
         schedulerName="default-scheduler", securityContext={}, serviceAccountName="default")
    for container in [*spec.get("initContainers", ()), *spec.get("containers", ())]:
        _set(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File", resources={})


def admit(resource: Resource, new: Object, old: Object | None) -> None:
    """Default and check one object of a built-in kind in place; `old` is None when it is created."""
    handler = {"pods": _pod, "jobs": _job, "namespaces": _namespace, "secrets": _secret,
               "customresourcedefinitions": _crd}.get(resource.plural)
    causes = list(handler(new, old)) if handler and not resource.custom else []
    if causes:
        raise invalid(resource.group, resource.kind, new["metadata"]["name"], causes)


def _namespace(new: Object, old: Object | None) -> list[Cause]:
    if old is None:
        new["spec"], new["status"] = {"finalizers": ["kubernetes"]}, {"phase": "Active"}
        new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]
    return []


def _secret(new: Object, old: Object | None) -> list[Cause]:
    import base64

    _set(new, type="Opaque")
    for key, text in (new.pop("stringData", None) or {}).items():
        new.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
    return []


def _pod(new: Object, old: Object | None) -> list[Cause]:
    if old is None:
        if not new.get("spec", {}).get("containers"):
            return [Cause("spec.containers", "FieldValueRequired", "Required value")]
        pod_defaults(new["spec"])
        new["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        return []
    frozen = {key: value for key, value in old["spec"].items() if key not in ("nodeName", "tolerations")}
    if any(new["spec"].get(key) != value for key, value in frozen.items()):
        return [Cause("spec", "FieldValueForbidden", "Forbidden: pod updates may not change fields other than "
                      "`spec.containers[*].image`,`spec.tolerations` (only additions to existing tolerations)")]
    return []


def _job(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    template: Object = spec.setdefault("template", {})
    per_index = spec.get("backoffLimitPerIndex") is not None
    _set(spec, completionMode="NonIndexed", suspend=False, parallelism=1, podReplacementPolicy=(
        "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"),
        backoffLimit=2**31 - 1 if per_index else 6)
    _set(spec, **({} if spec["completionMode"] == "Indexed" else {"completions": 1}))
    pod_defaults(template.setdefault("spec", {}))
    if old is None:
        new["status"], uid, name = {}, new["metadata"]["uid"], new["metadata"]["name"]
        labels = {JOB + "controller-uid": uid, JOB + "job-name": name, "controller-uid": uid, "job-name": name}
        template.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
        spec["selector"] = {"matchLabels": {JOB + "controller-uid": uid}}
        return _new_job(spec, template["spec"])
    causes = [Cause(f"spec.{key}", "FieldValueInvalid", f"Invalid value: {spec.get(key)!r}: field is immutable")
              for key in _IMMUTABLE if spec.get(key) != old["spec"].get(key)]
    elastic = spec["completionMode"] == "Indexed" and spec.get("completions") == spec.get("parallelism")
    if spec.get("completions") != old["spec"].get("completions") and not elastic:
        causes.append(Cause("spec.completions", "FieldValueInvalid", f"Invalid value: {spec.get('completions')}: field "
                            "is immutable"))
    mutable = old["spec"]["suspend"] and not old["status"].get("startTime") or spec["suspend"] and old["spec"]["suspend"]
    if template != old["spec"]["template"] and not mutable:
        causes.append(Cause("spec.template", "FieldValueInvalid", "Invalid value: field is immutable"))
    return causes


def _new_job(spec: Object, pod: Object) -> list[Cause]:
    causes = []

    def wrong(field: str, reason: str, message: str) -> None:
        causes.append(Cause("spec." + field, reason, message))

    indexed = spec["completionMode"] == "Indexed"
    if not pod.get("containers"):
        wrong("template.spec.containers", "FieldValueRequired", "Required value")
    if pod["restartPolicy"] not in ("Never", "OnFailure"):
        wrong("template.spec.restartPolicy", "FieldValueRequired",
              'Required value: valid values: "OnFailure", "Never"')
    if indexed and spec.get("completions") is None:
        wrong("completions", "FieldValueRequired", "Required value: when completion mode is Indexed")
    if indexed and spec["parallelism"] > 100_000:
        wrong("parallelism", "FieldValueInvalid", f"Invalid value: {spec['parallelism']}: must be less than or equal to "
              "100000 when completion mode is Indexed")
    for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if spec.get(key) is not None and not indexed:
            wrong(key, "FieldValueInvalid", f"Invalid value: {spec[key]}: requires indexed completion mode")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        wrong("backoffLimitPerIndex", "FieldValueRequired", "Required value: when maxFailedIndexes is specified")
    rules = (spec.get("podFailurePolicy") or {}).get("rules", ())
    if rules and pod["restartPolicy"] != "Never":
        wrong("template.spec.restartPolicy", "FieldValueInvalid",
              f'Invalid value: "{pod["restartPolicy"]}": only "Never" is supported when podFailurePolicy is specified')
    for number, rule in enumerate(rules):
        if rule["action"] == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            wrong(f"podFailurePolicy.rules[{number}].action", "FieldValueInvalid",
                  'Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set')
        for pattern in rule.get("onPodConditions") or ():
            _set(pattern, status="True")
    return causes


def _crd(new: Object, old: Object | None) -> list[Cause]:
    spec, names = new["spec"], new["spec"]["names"]
    _set(names, singular=names["kind"].lower(), listKind=names["kind"] + "List")
    expected = f"{names['plural']}.{spec['group']}"
    if new["metadata"]["name"] != expected:
        return [Cause("metadata.name", "FieldValueInvalid", f'Invalid value: "{new["metadata"]["name"]}": must be '
                      f'spec.names.plural+"."+spec.group')]
    causes: list[Cause] = []
    for number, version in enumerate(spec["versions"]):
        path = f"spec.versions[{number}].schema.openAPIV3Schema"
        root = (version.get("schema") or {}).get("openAPIV3Schema")
        causes += _structural(root, path) if root else [Cause(path, "FieldValueRequired", "Required value: schemas are "
                                                              "required")]
    true = {"status": "True", "lastTransitionTime": stamp()}
    new["status"] = {"acceptedNames": copy.deepcopy(names), "storedVersions": [
        one["name"] for one in spec["versions"] if one.get("storage")], "conditions": [
        {**true, "type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found"},
        {**true, "type": "Established", "reason": "InitialNamesAccepted", "message": "the initial names have been "
                                                                                     "accepted"}]}
    return causes


def _structural(schema: Object, path: str) -> list[Cause]:
    """Types are required everywhere, and every rule has to parse."""
    causes = []
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not schema.get("type") and not free:
        causes.append(Cause(f"{path}.type", "FieldValueRequired", "Required value: must not be empty for specified "
                            "object fields"))
    for number, rule in enumerate(schema.get("x-kubernetes-validations", ())):
        try:
            program(rule["rule"])
        except RuntimeError as failure:
            causes.append(Cause(f"{path}.x-kubernetes-validations[{number}].rule", "FieldValueInvalid",
                                f"Invalid value: {rule!r}: compilation failed: {failure}"))
    inner = {f"properties[{key}]": one for key, one in schema.get("properties", {}).items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            inner[key] = schema[key]
    return causes + [cause for key, one in inner.items() for cause in _structural(one, f"{path}.{key}")]
