"""The small pure parts: patches, selectors, tables, history, paths and environment."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from localcluster.clock import now, stamp
from localcluster.errors import ApiError
from localcluster.patches import merge_patch, strategic_patch
from localcluster.podspec import expand, rewriter
from localcluster.rules import escape, typed
from localcluster.selectors import selector
from localcluster.store import Store
from localcluster.tables import age, json_path

TABLE = ("", "configmaps")


def named(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n", "labels": labels}}


def test_history_ends_with_gone() -> None:
    store = Store(history=2)
    versions = [int(store.put(TABLE, named(name))["metadata"]["resourceVersion"]) for name in "abcd"]
    replay, _ = store.subscribe(TABLE, versions[1])
    assert [event.object["metadata"]["name"] for event in replay] == ["c", "d"]
    with pytest.raises(ApiError, match="too old resource version") as caught:
        store.subscribe(TABLE, versions[0])
    assert caught.value.code == 410


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "abc"),
        ("is=red", "a"),
        ("is==red,big", ""),
        ("is!=red", "bc"),
        ("is in (red, blue)", "ab"),
        ("is notin (red,blue),big", "c"),
        ("!is", "c"),
        ("is", "ab"),
    ],
)
def test_label_selectors(text: str, expected: str) -> None:
    rows = [named("a", **{"is": "red"}), named("b", **{"is": "blue"}), named("c", big="")]
    assert "".join(row["metadata"]["name"] for row in rows if selector(text, "", ())(row)) == expected


def test_field_selectors_know_their_fields() -> None:
    row = {**named("a"), "status": {"phase": "Running"}}
    assert selector("", "status.phase!=Failed,metadata.name=a", ("status.phase",))(row)
    assert not selector("", "status.phase=Failed", ("status.phase",))(row)
    for wrong in ("spec.x=1", "metadata.name"):
        with pytest.raises(ApiError):
            selector("", wrong, ())


def test_merge_patch_leaves_its_target_alone() -> None:
    target = {"a": {"b": 1, "c": 2}, "l": [1, 2]}
    assert merge_patch(target, {"a": {"b": None, "d": 3}, "l": [3]}) == {"a": {"c": 2, "d": 3}, "l": [3]}
    assert target == {"a": {"b": 1, "c": 2}, "l": [1, 2]}


def test_strategic_patch_merges_by_key_and_follows_directives() -> None:
    target = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "finalizers": ["x", "y"]}
    patch = {
        "$setElementOrder/env": [{"name": "A"}, {"name": "C"}],
        "env": [{"name": "A", "value": "9"}, {"$patch": "delete", "name": "B"}, {"name": "C", "value": "3"}],
        "$deleteFromPrimitiveList/finalizers": ["x"],
    }
    expected = {"env": [{"name": "A", "value": "9"}, {"name": "C", "value": "3"}], "finalizers": ["y"]}
    assert strategic_patch(target, patch) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".a.b", [1]),
        (".a['b']", [1]),
        (".l[1].n", ["y"]),
        (".l[*].n", ["x", "y"]),
        ('.l[?(@.n=="y")].v', [2]),
        (r".a.d\.e", [3]),
        (".none.x", []),
    ],
)
def test_json_paths(path: str, expected: list[Any]) -> None:
    obj = {"a": {"b": 1, "d.e": 3}, "l": [{"n": "x", "v": 1}, {"n": "y", "v": 2}]}
    assert json_path(obj, path) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (900, "15m"),
        (10900, "3h1m"),
        (90000, "25h"),
        (700000, "8d"),
    ],
)
def test_ages_read_like_those_of_kubectl(seconds: int, expected: str) -> None:
    start = now() - timedelta(days=30)
    assert age(stamp(start), stamp(start + timedelta(seconds=seconds))) == expected


def test_variables_expand_where_they_are_known() -> None:
    assert expand("$(A) $(B) $$(A) $A", {"A": "x"}) == "x $(B) $(A) $A"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "/real"),
        ("/data/x", "/real/x"),
        ("--in=/data/x,/data/y", "--in=/real/x,/real/y"),
        ("file:///data/x", "file:///real/x"),
        ("cat /data/x > '/data/y'", "cat /real/x > '/real/y'"),
        ("/database", "/database"),
        ("/other/data", "/other/data"),
        ("https://host/data", "https://host/data"),
    ],
)
def test_mount_paths_become_directories(text: str, expected: str) -> None:
    assert rewriter({"/data": Path("/real")})(text) == expected


def test_cel_sees_declared_types_and_escaped_names() -> None:
    schema = {"type": "object", "properties": {"ratio": {"type": "number"}, "a-b": {}, "namespace": {}}}
    assert typed(schema, {"ratio": 1, "a-b": 2, "namespace": 3}) == {
        "ratio": 1.0,
        "a__dash__b": 2,
        "__namespace__": 3,
    }
    assert escape("x__y") == "x__underscores__y"
