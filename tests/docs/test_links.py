"""Every link of README, CONTRIBUTING and docs/ leads somewhere, on GitHub and on the site."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.markdown import Page, pages, parse
from tests.requirements import ROOT

DOCS = ROOT / "docs"


def broken(page: Page) -> list[str]:
    """What is wrong with the links of a page."""
    found = []
    for line, target in page.links:
        why = _why_broken(page, target)
        if why:
            found.append(f"{page.name}:{line}: {target}: {why}")
    return found


def _why_broken(page: Page, target: str) -> str:
    parts = urlsplit(target)
    if parts.scheme:
        return "" if parts.netloc and parts.scheme in ("http", "https") else "not a page on the web"
    if parts.path and not (page.path.parent / unquote(parts.path)).exists():
        return "no such file"
    file = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
    if DOCS in page.path.parents and not file.is_relative_to(DOCS):
        return "leaves docs/, so the site can't have it: name the file as code instead"
    if not parts.fragment:
        return ""
    anchors = {other.path: other.anchors for other in (*pages(), page)}
    return "" if parts.fragment in anchors.get(file, ()) else "no such heading"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page) -> None:
    assert broken(page) == []


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nothing.md", "no such file"),
        ("install.md#nothing", "no such heading"),
        ("#nothing", "no such heading"),
        ("images/nothing.svg", "no such file"),
        ("../README.md", "leaves docs/"),
        ("images/flow.svg#part", "no such heading"),
        ("https:///x", "not a page"),
        ("ftp://example.com/x", "not a page"),
        ("install.md#chart", ""),
        ("#a-heading-with-code", ""),
        ("https://example.com/x#y", ""),
    ],
)
@pytest.mark.parametrize(
    "form", ["[text]({})", "![text]({})", '<img src="{}">', 'Text <a href="{}">text</a>']
)
def test_a_broken_link_is_found(target: str, why: str, form: str) -> None:
    page = parse(DOCS / "page.md", f"# A heading, with `code`\n\n{form.format(target)}\n")
    assert [why in line for line in broken(page)] == ([True] if why else [])
