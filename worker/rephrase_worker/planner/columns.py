"""The types of the columns that are carried along, for all files of a source together."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.types as pt

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
    if twice := sorted({name for name in wanted.carried if wanted.carried.count(name) > 1}):
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"output.columns: {', '.join(twice)} is there more than once. Name every column once.",
        )
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
            found.setdefault(_storable(look.types[name]), look.file.path)
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


def _storable(type_: pa.DataType) -> pa.DataType:
    """The type in which samples hold such values.

    Arrow can't sort views of strings, as merging has to. Fields that can't be null can't be written where
    the whole value is null.
    """
    if pt.is_string_view(type_):
        return pa.large_string()
    if pt.is_binary_view(type_):
        return pa.large_binary()
    if pt.is_struct(type_):
        return pa.struct([pa.field(field.name, _storable(field.type)) for field in type_])
    if pt.is_map(type_):
        return pa.map_(_storable(type_.key_type), _storable(type_.item_type))
    if pt.is_fixed_size_list(type_):
        return pa.list_(_element(type_), type_.list_size)
    if pt.is_large_list(type_) or pt.is_large_list_view(type_):
        return pa.large_list(_element(type_))
    if pt.is_list(type_) or pt.is_list_view(type_):
        return pa.list_(_element(type_))
    return type_


def _element(type_: pa.DataType) -> pa.Field:
    return pa.field(type_.value_field.name, _storable(type_.value_type))
