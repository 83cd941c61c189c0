"""The docs site: built strictly, whole, and without anything from other hosts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import docs_site
from tests.requirements import ROOT

LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*?\bsrc=["']?(https?:)?//"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|icon|preconnect))[^>]*?\bhref=["']?(https?:)?//"""
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = docs_site.build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def listed(entries: Any) -> Iterator[str]:
    """Pages of a navigation."""
    for entry in [entries] if isinstance(entries, str) else entries:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values():
                yield from listed(inner)


def test_every_page_is_in_the_navigation_once(built: Path) -> None:
    navigation = list(listed(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))
    pages = [str(path.relative_to("docs")) for path in docs_site.sources() if path.suffix == ".md"]
    assert sorted(navigation) == sorted(pages)
    for page in pages:
        folder = built if page == "index.md" else built / page.removesuffix(".md")
        assert "<h1" in (folder / "index.html").read_text(), page


def test_nothing_is_loaded_from_another_host(built: Path) -> None:
    for page in built.rglob("*.html"):
        assert not LOADED.search(page.read_text()), page
    for style in built.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text()), style


def test_a_page_that_is_gone_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "old.md").write_text("# Old\n")
    docs_site.stage(tmp_path)
    staged = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert staged == set(docs_site.sources())
