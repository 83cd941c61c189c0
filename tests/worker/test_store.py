from __future__ import annotations

import errno
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from rephrase_worker.spec import ExitCode, Reason, WorkerError
from rephrase_worker.store import Store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "out") if request.param == "local" else f"memory://{uuid.uuid4().hex}/out")


def test_the_first_writer_of_a_path_wins(store: Store) -> None:
    assert store.create("a/b.json", b"first")
    assert not store.create("a/b.json", b"second")
    assert store.read("a/b.json") == b"first"


def test_the_first_writer_of_a_file_wins(store: Store, tmp_path: Path) -> None:
    local = tmp_path / "big"
    local.write_bytes(b"first")
    assert store.create_from_file("a/big", local)
    local.write_bytes(b"second")
    assert not store.create_from_file("a/big", local)
    assert store.read("a/big") == b"first"
    assert local.exists()


def test_replacing_overwrites(store: Store) -> None:
    store.replace("card", b"old and longer")
    store.replace("card", b"new")
    assert store.read("card") == b"new"


def test_a_listing_shows_the_files_of_one_folder_in_order_and_never_stale(store: Store) -> None:
    assert store.list("x") == []
    for name in ("x/b", "x/a", "x/deeper/c", "y/d"):
        store.create(name, b"-")
    assert store.list("x") == ["x/a", "x/b"]
    assert store.folders("x") == ["x/deeper"]
    assert store.folders("x/deeper") == store.folders("nothing") == []
    Store(store.uri).create("x/0", b"-")
    assert store.list("x") == ["x/0", "x/a", "x/b"]


def test_size_and_existence_are_those_of_now(store: Store) -> None:
    assert not store.exists("a/b")
    store.create("a/b", b"12345")
    assert store.exists("a/b")
    assert not store.exists("a")
    assert store.size("a/b") == 5


def test_fetching_overwrites_an_existing_local_file(store: Store, tmp_path: Path) -> None:
    store.create("x/a", b"0123456789")
    local = tmp_path / "local"
    local.write_bytes(b"something longer than the file")
    store.fetch("x/a", local)
    assert local.read_bytes() == b"0123456789"
    with pytest.raises(FileNotFoundError):
        store.fetch("x/b", local)


def test_reading_a_missing_file_says_that_it_is_missing(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("nothing/here")


def test_removing_twice_raises_nothing(store: Store) -> None:
    for name in ("x/a", "x/y/b", "z"):
        store.create(name, b"-")
    for _ in range(2):
        store.remove_tree("x")
        store.remove("z")
    assert not store.exists("x/a")
    assert not store.exists("x/y/b")
    assert not store.exists("z")


@pytest.mark.parametrize("round_", range(5))
def test_of_many_threads_that_create_one_path_exactly_one_wins(tmp_path: Path, round_: int) -> None:
    barrier = threading.Barrier(16)

    def create(number: int) -> bool:
        mine = Store(str(tmp_path / "out"))
        barrier.wait()
        return mine.create(f"folder-{round_}/file", str(number).encode() * 1000)

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, range(16)))
    assert won.count(True) == 1
    assert Store(str(tmp_path / "out")).read(f"folder-{round_}/file") == str(won.index(True)).encode() * 1000
    assert [path.name for path in (tmp_path / "out" / f"folder-{round_}").iterdir()] == ["file"]


def test_files_of_a_killed_writer_are_not_listed_and_can_be_removed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.create("faq/shard", b"-")
    (tmp_path / "faq" / ".rephrase-0123.tmp").write_bytes(b"half")
    assert store.list("faq") == ["faq/shard"]
    store.remove_temporary("faq")
    assert [path.name for path in (tmp_path / "faq").iterdir()] == ["shard"]


def test_a_folder_that_can_not_be_written_fails_the_job_only_while_it_is_planned(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for planning, exit_code in ((True, ExitCode.CONFIG), (False, ExitCode.INTERNAL)):
        store = Store(str(tmp_path / "file" / "out"), planning=planning)
        assert not store.exists("a")
        with pytest.raises(WorkerError) as caught:
            store.create("a", b"-")
        assert caught.value.failure.reason is Reason.OUTPUT_NOT_WRITABLE
        assert caught.value.exit_code is exit_code
    assert str(tmp_path / "file" / "out" / "a") in caught.value.failure.message


def test_a_full_disk_may_be_better_on_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WorkerError) as caught:
        Store(str(tmp_path), planning=True).create("a", b"-")
    assert caught.value.exit_code is ExitCode.INTERNAL
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_is_not_known_is_explained(tmp_path: Path) -> None:
    with pytest.raises(WorkerError) as caught:
        Store("nosuchthing://bucket/path")
    assert caught.value.failure.reason is Reason.OUTPUT_NOT_WRITABLE


def test_an_error_is_never_taken_for_an_absence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    store.create("a/b", b"-")
    for name in ("info", "ls", "cat_file"):
        monkeypatch.setattr(store._fs, name, refuse)
    monkeypatch.setattr("os.stat", refuse)
    monkeypatch.setattr("os.scandir", refuse)
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    for operation in (store.exists, store.size, store.read, store.list):
        with pytest.raises(WorkerError, match="Connection reset by peer"):
            operation("a/b")


def test_a_probe_leaves_nothing_behind(store: Store) -> None:
    store.probe("_rephrase/probe")
    assert store.list("_rephrase/probe") == []


@pytest.mark.parametrize("operation", ["pipe_file", "put_file"])
def test_a_file_system_that_ignores_the_mode_create_is_refused(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = getattr(MemoryFileSystem, operation)

    def ignores_the_mode(*args: object, mode: str = "", **kwargs: object) -> None:
        plain(*args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, operation, ignores_the_mode)
    store = Store(f"memory://{uuid.uuid4().hex}/out", planning=True)
    with pytest.raises(WorkerError, match="conditional put") as caught:
        store.probe("_rephrase/probe")
    assert caught.value.failure.reason is Reason.OUTPUT_NOT_WRITABLE
    assert caught.value.exit_code is ExitCode.CONFIG
    assert store.list("_rephrase/probe") == []


def test_a_volume_without_hard_links_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*args: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("os.link", no_links)
    with pytest.raises(WorkerError, match="Operation not supported") as caught:
        Store(str(tmp_path / "out"), planning=True).probe("_rephrase/probe")
    assert caught.value.exit_code is ExitCode.CONFIG


def test_a_claim_is_the_folder_where_it_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPHRASE_CLAIMS", f"other=/nowhere,data={tmp_path / 'mounted'}")
    store = Store("pvc://data/sets/one")
    assert store.create("a/b", b"-")
    assert (tmp_path / "mounted" / "sets" / "one" / "a" / "b").read_bytes() == b"-"
    assert store.list("a") == ["a/b"]
    assert store.uri == "pvc://data/sets/one"


@pytest.mark.parametrize("uri", ["pvc://elsewhere/out", "pvc://data/../../etc", "pvc://"])
def test_a_claim_that_is_not_mounted_or_a_path_out_of_one_is_refused(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPHRASE_CLAIMS", f"data={tmp_path}")
    with pytest.raises(WorkerError, match=r"claim|pvc://CLAIM/path") as caught:
        Store(uri)
    assert caught.value.failure.reason is Reason.OUTPUT_NOT_WRITABLE


ODD_NAMES = [
    "a::b",
    "c#d",
    "e?f",
    "g%20h",
    "[x]",
    "j*k",
    "l\nm",
    "e\u0301",
    "\u00e9",
    "n&o=p;q'r\"s",
    "t\\u",
    "http:v",
    "{w}",
    "~x",
    "-y",
    "\U0001f600",
    " ",
]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("root", ["local", "memory"])
def test_no_character_of_a_name_means_anything(root: str, name: str, tmp_path: Path) -> None:
    store = Store(f"{tmp_path}/{name}" if root == "local" else f"memory://{uuid.uuid4().hex}/{name}")
    check_odd_name(store, name, tmp_path / "local file")


def check_odd_name(store: Store, name: str, local: Path) -> None:
    """Everything a store does, below a folder of this name and with a file of it."""
    local.write_bytes(b"put")
    assert store.create(f"{name}/{name}", b"first")
    assert not store.create(f"{name}/{name}", b"second")
    assert store.create_from_file(f"{name}/put", local)
    assert not store.create_from_file(f"{name}/{name}", local)
    store.create(f"{name}/deep/{name}", b"-")
    assert store.read(f"{name}/{name}") == b"first"
    assert store.exists(f"{name}/{name}")
    assert store.size(f"{name}/{name}") == 5
    assert store.list(name) == sorted([f"{name}/{name}", f"{name}/put"])
    assert store.folders(name) == [f"{name}/deep"]
    store.fetch(f"{name}/{name}", local)
    assert local.read_bytes() == b"first"
    store.replace(f"{name}/{name}", b"third")
    assert Store(store.uri).read(f"{name}/{name}") == b"third"
    store.remove(f"{name}/put")
    assert store.list(name) == [f"{name}/{name}"]
    store.remove_tree(name)
    assert store.list(name) == store.list(f"{name}/deep") == []


@pytest.mark.parametrize("root", ["local", "memory"])
def test_removing_a_folder_whose_name_looks_like_a_glob_spares_other_folders(
    root: str, tmp_path: Path
) -> None:
    store = Store(str(tmp_path) if root == "local" else f"memory://{uuid.uuid4().hex}")
    for folder in ("[x]", "x", "*"):
        store.create(f"{folder}/a*", b"-")
        store.create(f"{folder}/ab", b"-")
    store.remove_tree("[x]")
    store.remove("*/a*")
    assert [store.list(folder) for folder in ("[x]", "x", "*")] == [[], ["x/a*", "x/ab"], ["*/ab"]]
