"""Label and field selectors as predicates."""

import re
from collections.abc import Callable, Sequence

from localcluster.errors import ApiError, Object
from localcluster.tables import first

Predicate = Callable[[Object], bool]
_TERM = re.compile(r"\s*(!?)\s*([^\s=!,()]+)\s*(?:(==?|!=)\s*([^\s,]*)|(in|notin)\s*\(([^)]*)\))?\s*(?:,|$)")


def selector(labels: str, fields: str, selectable: Sequence[str]) -> Predicate:
    """Both at once. Raises 400 for what cannot be parsed, and for fields that the kind is not selected by."""
    terms = [_label(*found) for found in _parse(labels)]
    for _, path, operator, value, *_ in _parse(fields):
        if not operator:
            raise ApiError(400, f"invalid selector: {fields!r}")
        if path not in ("metadata.name", "metadata.namespace", *selectable):
            raise ApiError(400, f"field label not supported: {path}")
        terms.append(_field(path, value, operator != "!="))
    return lambda obj: all(term(obj) for term in terms)


def _parse(text: str) -> list[tuple[str, ...]]:
    found, position = [], 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise ApiError(400, f"unable to parse requirement: {text!r}")
        found.append(tuple(group or "" for group in match.groups()))
        position = match.end()
    return found


def _field(path: str, value: str, equal: bool) -> Predicate:
    return lambda obj: (str(first(obj, f".{path}", "")) == value) is equal


def _label(absent: str, key: str, operator: str, value: str, inside: str, listed: str) -> Predicate:
    values = {one.strip() for one in listed.split(",")} if inside else {value}
    if not operator and not inside:
        return lambda obj: (key in (obj["metadata"].get("labels") or {})) is not bool(absent)
    wanted = operator != "!=" and inside != "notin"
    return lambda obj: ((obj["metadata"].get("labels") or {}).get(key) in values) is wanted
