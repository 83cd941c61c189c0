"""kube-apiserver's validation of Jobs, with its messages."""

from collections.abc import Iterator
from typing import Any

from localcluster import validation as check
from localcluster.errors import Cause, Object
from localcluster.podvalidation import pod_spec

COUNTS = (
    *("parallelism", "completions", "backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes"),
    *("activeDeadlineSeconds", "ttlSecondsAfterFinished"),
)
ACTIONS, OPERATORS = ("Count", "FailIndex", "FailJob", "Ignore"), ("In", "NotIn")
MANY = 100_000
"""Indexes, or pods at a time, that any Job may have."""
IMMUTABLE = (
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "selector",
    "managedBy",
    "successPolicy",
)
SCHEDULING = ("nodeSelector", "affinity", "tolerations", "schedulingGates")


def job(obj: Object, old: Object | None) -> Iterator[Cause]:
    """A Job that is complete with defaults; `old` is None when it is created."""
    spec, meta = obj["spec"], obj["metadata"]
    for key in COUNTS:
        yield from check.at_least_zero(f"spec.{key}", spec.get(key))
    yield from check.one_of("spec.completionMode", spec["completionMode"], ("NonIndexed", "Indexed"))
    yield from _indexes(spec, meta["name"])
    yield from _policy(spec)
    replaced = ("Failed",) if spec.get("podFailurePolicy") else ("Failed", "TerminatingOrFailed")
    yield from check.one_of("spec.podReplacementPolicy", spec["podReplacementPolicy"], replaced)
    yield from _template(spec["template"], spec)
    if old is not None:
        yield from _changes(spec, old)
    else:
        yield from _selector(obj)


def _indexes(spec: Object, name: str) -> Iterator[Cause]:
    completions, per_index, limit = (
        spec.get(key) for key in ("completions", "backoffLimitPerIndex", "maxFailedIndexes")
    )
    if limit is not None and per_index is None:
        yield check.required("spec.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec["completionMode"] != "Indexed":
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(key) is not None:
                yield check.invalid_value(f"spec.{key}", spec[key], "requires indexed completion mode")
        return
    if completions is None:
        yield check.required("spec.completions", "when completion mode is Indexed")
        return
    if spec["parallelism"] > MANY:
        why = f"must be less than or equal to {MANY} when completion mode is Indexed"
        yield check.invalid_value("spec.parallelism", spec["parallelism"], why)
    if completions and list(check.dns_label(f"{name}-{completions - 1}")):
        why = f"will not able to create pod with invalid DNS label: {name}-{completions - 1}"
        yield check.invalid_value("metadata.name", name, why)
    if limit is not None and limit > completions:
        yield check.invalid_value("spec.maxFailedIndexes", limit, "must be less than or equal to completions")
    if limit is not None and limit > MANY:
        yield check.invalid_value("spec.maxFailedIndexes", limit, f"must be less than or equal to {MANY}")
    if per_index is not None and completions > MANY:
        when = f"when completions are above {MANY} and used with backoff limit per index"
        if limit is None:
            yield check.required(
                "spec.maxFailedIndexes", f"must be specified when completions is above {MANY}"
            )
        elif limit > 10_000:
            yield check.invalid_value(
                "spec.maxFailedIndexes", limit, f"must be less than or equal to 10000 {when}"
            )
        if spec["parallelism"] > 10_000:
            why = f"must be less than or equal to 10000 {when}"
            yield check.invalid_value("spec.parallelism", spec["parallelism"], why)


def _policy(spec: Object) -> Iterator[Cause]:
    path, rules = "spec.podFailurePolicy.rules", (spec.get("podFailurePolicy") or {}).get("rules") or []
    yield from check.too_many(path, rules, 20)
    names = {one.get("name") for one in spec["template"]["spec"].get("containers") or ()}
    for number, rule in enumerate(rules):
        where, action = f"{path}[{number}]", rule.get("action")
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if not action:
            yield check.required(f"{where}.action", f"valid values: {_listed(ACTIONS)}")
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            yield check.invalid_value(
                f"{where}.action", action, "requires the backoffLimitPerIndex to be set"
            )
        yield from check.one_of(f"{where}.action", action, ACTIONS)
        if codes is not None:
            yield from _codes(codes, f"{where}.onExitCodes", names)
        yield from check.too_many(f"{where}.onPodConditions", conditions, 20)
        for place, one in enumerate(conditions):
            here = f"{where}.onPodConditions[{place}]"
            yield from check.checked(f"{here}.type", one.get("type") or "", check.qualified_name)
            yield from check.one_of(f"{here}.status", one.get("status"), ("False", "True", "Unknown"))
        text = "both OnExitCodes and OnPodConditions is not supported"
        text = text if conditions else "one of OnExitCodes and OnPodConditions is required"
        if bool(codes) is bool(conditions):
            yield Cause(where, "FieldValueInvalid", f"Invalid value: specifying {text}")


def _listed(values: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def _codes(codes: Object, path: str, names: set[Any]) -> Iterator[Cause]:
    operator, values = codes.get("operator"), codes.get("values") or []
    if not operator:
        yield check.required(f"{path}.operator", f"valid values: {_listed(OPERATORS)}")
    yield from check.one_of(f"{path}.operator", operator, OPERATORS)
    name = codes.get("containerName")
    if name is not None and name not in names:
        why = "must be one of the container or initContainer names in the pod template"
        yield check.invalid_value(f"{path}.containerName", name, why)
    if not values:
        yield check.invalid_value(f"{path}.values", [], "at least one value is required")
    yield from check.too_many(f"{path}.values", values, 255)
    for number, value in enumerate(values):
        if value in values[:number]:
            yield check.duplicate(f"{path}.values[{number}]", value)
        if not value and operator == "In":
            yield check.invalid_value(f"{path}.values[{number}]", value, "must not be 0 for the In operator")
    if values != sorted(values):
        yield check.invalid_value(f"{path}.values", values, "must be ordered")


def _template(template: Object, spec: Object) -> Iterator[Cause]:
    path, restarts = "spec.template.spec", template["spec"].get("restartPolicy")
    yield from check.labels("spec.template.labels", template["metadata"].get("labels") or {})
    yield from check.annotations("spec.template.annotations", template["metadata"].get("annotations") or {})
    yield from pod_spec(template["spec"], path)
    if restarts in (None, "Always"):
        yield check.required(f"{path}.restartPolicy", 'valid values: "OnFailure", "Never"')
    else:
        yield from check.one_of(f"{path}.restartPolicy", restarts, ("OnFailure", "Never"))
        if spec.get("podFailurePolicy") and restarts != "Never":
            why = 'only "Never" is supported when podFailurePolicy is specified'
            yield check.invalid_value(f"{path}.restartPolicy", restarts, why)


def _selector(obj: Object) -> Iterator[Cause]:
    """A selector, and labels of the template, of the client's own are at odds with the generated ones."""
    uid, name, path = obj["metadata"]["uid"], obj["metadata"]["name"], "spec.template.metadata.labels"
    labels, wanted = obj["spec"]["template"]["metadata"]["labels"], obj["spec"]["selector"]["matchLabels"]
    for key, expected in (("controller-uid", uid), ("job-name", name)):
        for label in (key, f"batch.kubernetes.io/{key}"):
            if labels.get(label) != expected:
                yield check.invalid_value(f"{path}[{label}]", labels, f"must be '{expected}'")
    if len(wanted) > 1:
        yield check.invalid_value("spec.selector", obj["spec"]["selector"], "`selector` not auto-generated")
    if not wanted.items() <= labels.items():
        yield check.invalid_value(path, labels, "`selector` does not match template `labels`")


def _changes(spec: Object, old: Object) -> Iterator[Cause]:
    """Fields that an update must not change. In a suspended Job's template, scheduling fields may change."""
    was = old["spec"]
    for key in IMMUTABLE:
        if spec.get(key) != was.get(key):
            yield check.invalid_value(f"spec.{key}", spec.get(key), "field is immutable")
    if spec.get("completions") != was.get("completions"):
        if spec["completionMode"] != "Indexed":
            yield check.invalid_value("spec.completions", spec.get("completions"), "field is immutable")
        elif spec.get("completions") != spec["parallelism"]:
            why = "can only be modified in tandem with spec.parallelism"
            yield check.invalid_value("spec.completions", spec.get("completions"), why)
    if was["suspend"] and _kept(spec["template"]) != _kept(was["template"]):
        yield check.invalid_value("spec.template.spec", spec["template"]["spec"], "field is immutable")
    elif not was["suspend"] and spec["template"] != was["template"]:
        yield check.invalid_value("spec.template", spec["template"], "field is immutable")


def _kept(template: Object) -> Object:
    spec = {key: value for key, value in template["spec"].items() if key not in SCHEDULING}
    return {**spec, "containers": [{**one, "resources": None} for one in spec["containers"]]}
