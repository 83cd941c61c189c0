"""The prompt library's files."""

from __future__ import annotations

import pytest

from rephrase_operator.library import library, parse


def test_the_library_has_the_prompts_of_the_demo() -> None:
    assert {"faq", "math", "table", "tutorial"} <= set(library())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{document}}", "front matter"),
        ("---\nname: faq\n---\n{{document}}", "lacks description"),
        ("---\nname: other\ndescription: x\n---\n{{document}}", "name and file must agree"),
        ("---\nname: faq\ndescription: x\n---\nno placeholder", "exactly once"),
        ("---\nname: faq\ndescription: x\n---\n{{document}}{{document}}", "exactly once"),
    ],
)
def test_the_error_of_a_wrong_file_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse("faq.md", text)
