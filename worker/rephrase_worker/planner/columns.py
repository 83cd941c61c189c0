"""The types of the columns that are carried along, for all files of a source together."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from rephrase_worker.columns import CarriedColumn, Wanted, freeze
from rephrase_worker.samples import SCHEMA
from rephrase_worker.source.fields import json_types
from rephrase_worker.source.inspection import Inspected
from rephrase_worker.spec import Reason, WorkerError


def frozen_columns(looks: Sequence[Inspected], wanted: Wanted) -> list[CarriedColumn]:
    """The carried columns with one type each, which every file's values can have.

    Raises WorkerError: COLUMN_MISSING for a key that no JSON line has that was looked at, SOURCE_FORMAT for
    types that don't go together, INVALID_RECIPE for two columns of one name.
    """
    held = [look for look in looks if look.file.documents]
    for name in wanted.names:
        if not any(name in look.types for look in held):
            raise WorkerError(
                Reason.COLUMN_MISSING,
                f"No document that was looked at has the field {name}, which {wanted.asks_for(name)}. "
                "Correct the name, or leave it out.",
            )
    schema = pa.schema([pa.field(name, _type(name, held)) for name in wanted.carried])
    columns = freeze(schema, wanted.carried, SCHEMA.names)
    names = [column.name for column in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"output.columns: two columns would be named {', '.join(twice)} in the samples, because a "
            "sample has a column of its own that one of them is named after. Leave one out.",
        )
    return columns


def _type(name: str, looks: Sequence[Inspected]) -> pa.DataType:
    """The one type of a column. JSON that is mixed is a string; columns of parquet are only widened."""
    types: dict[pa.DataType, str] = {}
    json: dict[pa.DataType, str] = {}
    for look in looks:
        if name in look.types:
            found = types if look.file.format == "parquet" else json
            found.setdefault(look.types[name], look.file.path)
    if json:
        together = json_types(json)
        types.setdefault(pa.string() if together == pa.null() else together, next(iter(json.values())))
    schemas = [pa.schema([(name, type_)]) for type_ in types]
    try:
        unified = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        listed = ", ".join(f"{type_} in {path}" for type_, path in list(types.items())[:3])
        raise WorkerError(
            Reason.SOURCE_FORMAT,
            f"output.columns: the files have different types for {name} that don't go together: {listed}. "
            "Leave the column out, or write the files with one type.",
        ) from error
    return unified.field(0).type
