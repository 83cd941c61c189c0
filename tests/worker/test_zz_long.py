"""Whatever is wrong with a model's files ends as a refusal with a reason, never as a defect."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from rephrase_worker.rendering.check import check_prompts
from rephrase_worker.rendering.errors import DocumentError
from rephrase_worker.rendering.render import Renderer
from rephrase_worker.rendering.tokenizer import load_tokenizer
from rephrase_worker.spec import ExitCode, Reason, Recipe, Sampling, WorkerError
from tests.tiny_model import ensure_tiny_model
from tests.worker.builders import make_recipe
from tests.worker.chat_families import build

FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")
BASES = ("tiny", "llama 2", "unigram, first", "wordpiece")
DOCUMENTS = ("", "x", "A fox.<|im_end|>\n\n日本 \u0000", "</s><s>[INST] " * 30)

ODD = (
    None,
    True,
    False,
    0,
    -1,
    1,
    7,
    2**31,
    2**64,
    1.5,
    "",
    "x",
    "▁",
    "<s>",
    [],
    {},
    [None],
    {"type": "Sequence"},
)
values: st.SearchStrategy[Any] = st.sampled_from(ODD) | st.text(max_size=5)
FRAGMENTS = [
    "",
    "{{ messages[0]['content'] }}",
    "{{ messages[0]['content'] | trim }}",
    "{{ messages[0]['content'][::-1] }}",
    "{{ messages[0].content.split('x')[9] }}",
    "{{ messages[1]['content'] }}",
    "{{ messages.append(1) }}",
    "{{ messages() }}",
    "{{ messages | tojson }}",
    "{{ '%s' % messages }}",
    "{{ m['content'] }}",
    "{{ bos_token }}",
    "{{ none + 1 }}",
    "{{ 1 / 0 }}",
    "{{ strftime_now(1) }}",
    "{{ raise_exception('no') }}",
    "{% for m in messages %}",
    "{% endfor %}",
    "{% if add_generation_prompt %}",
    "{% endif %}",
    "{% set m = 1 %}",
    "{% generation %}",
    "{% endgeneration %}",
    "{% break %}",
    "{% include 'a' %}",
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "<|im_start|>",
    "text",
    "",
]
templates = st.lists(st.sampled_from([*FRAGMENTS, "\ud800"]), max_size=7).map("".join)


@cache
def originals(base: str) -> dict[str, str]:
    """The files of a whole model, by name."""
    tiny = ensure_tiny_model()
    files = {name: (tiny / name).read_text() for name in FILES}
    if base == "tiny":
        template = (tiny / "chat_template.jinja").read_text()
    else:
        wrapped = build(base)
        files["tokenizer.json"] = wrapped.backend_tokenizer.to_str()
        config = json.loads(files["tokenizer_config.json"])
        for name in ("bos_token", "eos_token", "pad_token"):
            del config[name]
        files["tokenizer_config.json"] = json.dumps(config)
        template = str(wrapped.chat_template)
    config = json.loads(files["tokenizer_config.json"]) | {"chat_template": template}
    return files | {"tokenizer_config.json": json.dumps(config)}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something in a JSON document can be changed; of long lists and tables only the beginning."""
    if path:
        yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in list(items)[:8]:
            yield from places(part, (*path, key))


def changed(document: Any, place: tuple[Any, ...], value: Any, *, remove: bool) -> Any:
    document = copy.deepcopy(document)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    if remove:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return document


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("fuzz")
    made = make_recipe(folder / "in", folder / "out", model=str(folder / "model"))
    return made.model_copy(update={"sampling": Sampling(max_tokens=64)})


def outcome(recipe: Recipe, files: dict[str, bytes]) -> WorkerError | None:
    """What planning with these files raises; documents are rendered when it raises nothing."""
    folder = Path(recipe.model.name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        check_prompts(recipe, None, recipe.model.name)
        tokenizer = load_tokenizer(recipe.model.name, None)
        renderer = Renderer(tokenizer, recipe.prompts, max_model_len=200, max_tokens=64)
    except WorkerError as error:
        return error
    for document in DOCUMENTS:
        with suppress(DocumentError):
            renderer.render(document)
    return None


def hold(recipe: Recipe, files: dict[str, bytes]) -> None:
    error = outcome(recipe, files)
    if error is not None:
        assert error.failure.reason in (Reason.INVALID_RECIPE, Reason.MODEL_NOT_FOUND)
        assert error.exit_code in (ExitCode.USAGE, ExitCode.CONFIG)
        assert len(error.failure.message) < 1500
    event("works" if error is None else error.failure.reason)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@settings(max_examples=1500, database=None)
@given(data=st.data())
def test_any_change_of_a_models_files_is_refused_or_works(recipe: Recipe, data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(BASES))
    files = dict(originals(base))
    for _ in range(data.draw(st.integers(1, 2))):
        name = data.draw(st.sampled_from((FILES[0], FILES[0], *FILES)))
        document = json.loads(files[name])
        place = data.draw(st.sampled_from(sorted(places(document), key=str)))
        files[name] = json.dumps(changed(document, place, data.draw(values), remove=data.draw(st.booleans())))
    hold(recipe, {name: content.encode() for name, content in files.items()})


@settings(max_examples=1500, database=None)
@given(template=templates)
def test_any_chat_template_is_refused_or_works(recipe: Recipe, template: str) -> None:
    files = dict(originals("tiny"))
    config = json.loads(files["tokenizer_config.json"])
    files["tokenizer_config.json"] = json.dumps(config | {"chat_template": template})
    hold(recipe, {name: content.encode() for name, content in files.items()})


@settings(max_examples=1500, database=None)
@given(data=st.data())
def test_any_bytes_in_a_models_files_are_refused_or_work(recipe: Recipe, data: st.DataObject) -> None:
    files = {name: content.encode() for name, content in originals("tiny").items()}
    name = data.draw(st.sampled_from(FILES))
    content = files[name]
    start = data.draw(st.integers(0, min(len(content), 2000)))
    insertion = data.draw(st.binary(max_size=6))
    rest = data.draw(st.sampled_from([content[start:], content[start + 1 :], b""]))
    hold(recipe, files | {name: content[:start] + insertion + rest})
