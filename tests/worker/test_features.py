"""The card names columns as `datasets` does."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_worker.finalizer.features import features
from rephrase_worker.mix.rows import SCHEMA as MIX
from rephrase_worker.samples import SCHEMA

PLAIN = (
    *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.bool_(), pa.null()),
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64(), pa.decimal128(10, 2), pa.date32(), pa.date64()),
    *(pa.timestamp("ms"), pa.timestamp("us", tz="UTC"), pa.time64("us"), pa.duration("s")),
    pa.dictionary(pa.int32(), pa.string()),
)
TYPES = st.recursive(
    st.sampled_from(PLAIN),
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        inner.map(lambda kind: pa.list_(kind, 3)),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda kinds: pa.struct([(f"f{number}", kind) for number, kind in enumerate(kinds)])
        ),
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("schema", [SCHEMA, MIX])
def test_our_own_columns_are_named_as_datasets_names_them(schema: pa.Schema) -> None:
    assert features(schema) == datasets.Features.from_arrow_schema(schema)._to_yaml_list()


def test_a_type_that_datasets_does_not_know_leaves_the_columns_out() -> None:
    nested = pa.struct([("a", pa.list_(pa.map_(pa.string(), pa.int32())))])
    assert features(pa.schema([("id", pa.string()), ("carried", nested)])) is None


@given(TYPES)
def test_columns_of_any_type_are_named_as_datasets_names_them(kind: pa.DataType) -> None:
    schema = pa.schema([("id", pa.string()), ("carried", kind)])
    assert features(schema) == datasets.Features.from_arrow_schema(schema)._to_yaml_list()
