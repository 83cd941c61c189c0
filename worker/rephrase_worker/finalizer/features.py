"""The columns of a parquet file as a dataset card names them.

The notation is that of `datasets.Features` in YAML. A test holds it to the library, which the worker does not
need otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

_NAMES = {
    "double": "float64",
    "float": "float32",
    "halffloat": "float16",
    "date32[day]": "date32",
    "date64[ms]": "date64",
}
"""Types that Arrow calls otherwise. All other names are the same."""


def features(schema: pa.Schema) -> list[dict[str, Any]] | None:
    """The columns, in their order; None when one of them has a type that `datasets` has no name for."""
    try:
        return _columns(schema)
    except _NamelessError:
        return None


class _NamelessError(Exception):
    """A type without a name."""


def _columns(fields: Iterable[pa.Field]) -> list[dict[str, Any]]:
    return [{"name": field.name, **_feature(field.type)} for field in fields]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_struct(kind):
        return {"struct": _columns(kind)}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items = _feature(kind.value_type)
        name = "large_list" if pa.types.is_large_list(kind) else "list"
        return {name: items["dtype"] if items.keys() == {"dtype"} else _items(items)}
    if pa.types.is_fixed_size_list(kind):
        return {**_feature(pa.list_(kind.value_type)), "length": kind.list_size}
    if pa.types.is_map(kind) or pa.types.is_union(kind) or pa.types.is_run_end_encoded(kind):
        raise _NamelessError
    if pa.types.is_dictionary(kind):
        return _feature(kind.value_type)
    return {"dtype": _NAMES.get(str(kind), str(kind))}


def _items(feature: dict[str, Any]) -> Any:
    return feature["struct"] if feature.keys() == {"struct"} else feature
