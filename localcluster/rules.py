"""CEL rules of custom resources (`x-kubernetes-validations`), evaluated by Google's cel-cpp.

Of Kubernetes' own libraries only strings and optionals are here, `self` has no declared type, and nothing
limits a rule's cost: one that passes here can be refused by a real API server when its CRD is created.
"""

import re
from functools import lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from localcluster.errors import Cause, Object

_RESERVED = re.compile(
    "true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|"
    "var|void|while"
)
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ENV = cel.NewEnv(
    variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN},
    extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()],
)


@lru_cache(maxsize=1024)
def program(expression: str) -> Any:
    """A compiled expression. Raises RuntimeError when it does not compile."""
    return _ENV.compile(expression)


def check_rules(schema: Object, value: Any, path: str, old: Any) -> list[Cause]:
    """Causes from the rules of this node of the schema; those that name oldSelf need an old value."""
    rules = schema.get("x-kubernetes-validations", ())
    if not rules or value is None:
        return []
    causes = []
    variables = {"self": typed(schema, value), "oldSelf": None if old is None else typed(schema, old)}
    for rule in rules:
        transition = re.search(r"\boldSelf\b", rule["rule"])
        if (transition and old is None) or (not transition and value == old):
            continue
        result = program(rule["rule"]).eval(data=variables)
        if result.value() is True:
            continue
        message = rule.get("message") or f"failed rule: {' '.join(rule['rule'].split())}"
        if result.type() == cel.Type.ERROR:
            message = f"rule evaluation error: {result.value()}"
        causes.append(_cause(rule, message, path))
    return causes


def _cause(rule: Object, message: str, path: str) -> Cause:
    reason = rule.get("reason", "FieldValueInvalid")
    words = {"FieldValueForbidden": "Forbidden", "FieldValueRequired": "Required value"}
    words["FieldValueDuplicate"] = "Duplicate value"
    field = (path + rule.get("fieldPath", "")).lstrip(".") or "<nil>"
    return Cause(field, reason, f"{words.get(reason, 'Invalid value')}: {message}")


def typed(schema: Object, value: Any) -> Any:
    """A value for CEL: numbers have the declared type, names are escaped, metadata has only the name."""
    if isinstance(value, list):
        return [typed(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict):
        return float(value) if schema.get("type") == "number" and isinstance(value, int) else value
    known, extra = schema.get("properties", {}), schema.get("additionalProperties")
    other = extra if isinstance(extra, dict) else {}
    items = {}
    for key, item in value.items():
        items[escape(key) if key in known else key] = typed(known.get(key, other), item)
    if "metadata" in items and "apiVersion" in items:
        items["metadata"] = {
            key: name for key, name in items["metadata"].items() if key in ("name", "generateName")
        }
    return items


def escape(name: str) -> str:
    """A property name that is no CEL identifier, escaped as Kubernetes does."""
    if _RESERVED.fullmatch(name):
        return f"__{name}__"
    return re.sub(r"__|[.\-/]", lambda found: _ESCAPES[found.group()], name)
