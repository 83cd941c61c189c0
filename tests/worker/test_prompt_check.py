"""What planning finds out about a model's tokenizer and chat template, so that no GPU has to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rephrase_worker.cli import run
from rephrase_worker.planner import planner
from rephrase_worker.rendering.render import Renderer
from rephrase_worker.rendering.tokenizer import load_tokenizer
from rephrase_worker.spec import EngineSettings, ExitCode, Prompt, Reason, Recipe, Sampling, WorkerError
from tests.tiny_model import ensure_tiny_model
from tests.worker.builders import make_recipe, write_jsonl
from tests.worker.model_changes import Change, added_token, edit, template

PLAIN_TEMPLATE = "{{ '<|im_start|>user\n' + messages[0]['content'] + '<|im_end|>\n<|im_start|>assistant\n' }}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be changed."""
    folder = tmp_path / "model"
    shutil.copytree(ensure_tiny_model(), folder)
    return folder


@pytest.fixture
def recipe(model: Path, tmp_path: Path) -> Recipe:
    write_jsonl(tmp_path / "in" / "a.jsonl", ["A fox."])
    made = make_recipe(tmp_path / "in", tmp_path / "out", model=str(model))
    return made.model_copy(update={"sampling": Sampling(max_tokens=64)})


def refusal(recipe: Recipe, engine: EngineSettings | None = None) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        planner.plan(recipe, engine)
    assert not Path(recipe.output.uri).exists() or not any(Path(recipe.output.uri).iterdir())
    return caught.value


def named_templates(**templates: str) -> Change:
    def go(folder: Path) -> None:
        (folder / "chat_template.jinja").unlink()
        named = [{"name": name, "template": text} for name, text in templates.items()]
        edit("tokenizer_config.json", lambda config: config.update(chat_template=named))(folder)

    return go


def without_chat_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def only_in_python(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    edit("tokenizer_config.json", lambda config: config.update(tokenizer_class="ByT5Tokenizer"))(folder)


REFUSED: dict[str, tuple[Change, str]] = {
    "raises": (template("{{ raise_exception('A system message is required') }}"), "A system message is requ"),
    "needs a system message": (
        template(
            "{% if messages[0]['role'] != 'system' %}{{ raise_exception('First message must be system') }}"
            "{% endif %}{{ messages[1]['content'] }}"
        ),
        "needs a system message",
    ),
    "is no Jinja": (template("{% for m in messages %}{{ m['content'] }"), "TemplateSyntaxError"),
    "ends a loop that is not open": (template("{{ messages[0]['content'] }}{% endfor %}"), "TemplateSyntax"),
    "calls what is not there": (template("{{ messages[0]['content'] }}{{ strftime_today() }}"), "strftime_t"),
    "divides by zero": (template("{{ 1 / 0 }}{{ messages[0]['content'] }}"), "ZeroDivisionError"),
    "adds text to nothing": (template("{{ messages[0]['content'] + none }}"), "TypeError"),
    "calls itself for ever": (
        template("{% macro a(x) %}{{ a(x) }}{% endmacro %}{{ a(messages[0]['content']) }}"),
        "RecursionError",
    ),
    "takes a second message": (template("{{ messages[2]['content'] }}"), "UndefinedError"),
    "takes an attribute of the interpreter": (
        template("{{ messages.__class__.__mro__ }}{{ messages[0]['content'] }}"),
        "SecurityError",
    ),
    "takes a list of parts": (
        template("{{ '<|im_start|>' + messages[0]['content'][0]['text'] }}"),
        "list of parts",
    ),
    "loops over parts": (
        template("{% for part in messages[0]['content'] %}{{ part['text'] }}{% endfor %}"),
        "list of parts",
    ),
    "ignores the message": (template("{{ '<|im_start|>user' }}"), "does not put the user's message"),
    "takes the beginning of the message": (
        template("{{ messages[0]['content'][:10] }}"),
        "does not put the user's message",
    ),
    "writes in capitals": (template("{{ messages[0]['content'] | upper }}"), "does not put the user's"),
    "repeats the message": (template("{{ messages[0]['content'] * 2 }}"), "repeats"),
    "is a set without a default": (
        named_templates(rag=PLAIN_TEMPLATE, tool_use=PLAIN_TEMPLATE),
        "rag, tool_use",
    ),
    "has a tokenizer without a fast version": (only_in_python, "no fast version"),
    "has a token that the model lacks": (
        edit("config.json", lambda config: config.update(vocab_size=1500)),
        "vocab_size",
    ),
    "has a token that the language part of the model lacks": (
        edit(
            "config.json",
            lambda config: config.update(text_config={"vocab_size": config.pop("vocab_size") // 2}),
        ),
        "vocab_size",
    ),
    "has no room in the model's context": (
        edit("config.json", lambda config: config.update(max_position_embeddings=70)),
        "context of 70 tokens",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_chat_template_or_tokenizer_that_can_not_be_used_is_refused_while_planning(
    case: str, model: Path, recipe: Recipe
) -> None:
    change, message = REFUSED[case]
    change(model)
    error = refusal(recipe)
    assert (error.failure.reason, error.exit_code) == (Reason.INVALID_RECIPE, ExitCode.USAGE)
    assert message in error.failure.message
    assert "defect" not in error.failure.message


def broken(file: str, content: bytes) -> Change:
    return lambda folder: (folder / file).write_bytes(content) and None


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def slow_only(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"\x0a\x05not a SentencePiece model")


def nameless_templates(folder: Path) -> None:
    without_chat_template(folder)
    edit("tokenizer_config.json", lambda config: config.update(chat_template=[{"template": "x"}]))(folder)


UNREADABLE: dict[str, Change] = {
    "tokenizer.json is cut off": broken("tokenizer.json", b'{"version": "1.0", "model": {"type": "BP'),
    "tokenizer.json is nested by the thousand": broken("tokenizer.json", nested(100_000)),
    "tokenizer.json is no UTF-8": broken("tokenizer.json", b"\xff\xfe{}"),
    "tokenizer.json is a Git LFS pointer": broken(
        "tokenizer.json", b"version https://git-lfs.github.com/spec/v1\n"
    ),
    "tokenizer.json is a list": broken("tokenizer.json", b"[]"),
    "tokenizer.json has a model of another kind": edit(
        "tokenizer.json", lambda tokenizer: tokenizer["model"].update(type="Trie")
    ),
    "a merge of a word that is not there": edit(
        "tokenizer.json", lambda tokenizer: tokenizer["model"]["merges"].append(["nowhere", "else"])
    ),
    "tokenizer_config.json is cut off": broken("tokenizer_config.json", b'{"chat_template": '),
    "tokenizer_config.json is nested by the thousand": broken("tokenizer_config.json", nested(100_000)),
    "tokenizer_config.json is a list": broken("tokenizer_config.json", b"[1]"),
    "chat templates without names": nameless_templates,
    "an added token that is a number": edit(
        "tokenizer_config.json", lambda config: config.update(added_tokens_decoder={"x": 1})
    ),
    "code of its own": edit(
        "tokenizer_config.json",
        lambda config: config.update(tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Own", None]}),
    ),
    "config.json is cut off": broken("config.json", b"{"),
    "config.json is nested by the thousand": broken("config.json", nested(100_000)),
    "chat_template.jinja is no UTF-8": broken("chat_template.jinja", b"\xff\xff"),
    "only a slow tokenizer": slow_only,
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_files_that_can_not_be_read_are_refused_while_planning(
    case: str, model: Path, recipe: Recipe
) -> None:
    UNREADABLE[case](model)
    error = refusal(recipe)
    assert (error.failure.reason, error.exit_code) == (Reason.MODEL_NOT_FOUND, ExitCode.CONFIG)
    assert len(error.failure.message) < 1000


def test_of_a_set_of_chat_templates_the_default_is_used(model: Path, recipe: Recipe) -> None:
    named_templates(rag="{{ raise_exception('not this one') }}", default=PLAIN_TEMPLATE)(model)
    assert planner.plan(recipe).shards == 1


def test_a_chat_template_may_write_the_date(model: Path, recipe: Recipe) -> None:
    template("{{ '<|im_start|>' + strftime_now('%d %b %Y') + messages[0]['content'] + '<|im_end|>' }}")(model)
    assert planner.plan(recipe).shards == 1


def test_the_context_is_the_engines_own_where_it_is_set(
    model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EngineSettings(max_model_len=64)
    error = refusal(recipe, engine)
    assert error.failure.reason is Reason.INVALID_RECIPE
    assert "context of 64 tokens" in error.failure.message
    edit("config.json", lambda config: config.update(max_position_embeddings=70))(model)
    monkeypatch.setenv("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1")
    assert planner.plan(recipe, engine.model_copy(update={"max_model_len": 128})).shards == 1


def test_a_context_that_is_stretched_by_rope_scaling_counts_in_full(model: Path, recipe: Recipe) -> None:
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 70}
    edit("config.json", lambda config: config.update(max_position_embeddings=70, rope_parameters=scaling))(
        model
    )
    assert planner.plan(recipe).shards == 1


def test_a_simulated_engine_needs_no_tokenizer(model: Path, recipe: Recipe) -> None:
    template("{{ raise_exception('nobody') }}")(model)
    assert planner.plan(recipe, EngineSettings(backend="simulated")).shards == 1


def test_the_plan_command_takes_the_engine(model: Path, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    (tmp_path / "engine.json").write_text(EngineSettings(max_model_len=64).to_json())
    arguments = ["plan", "--recipe", str(tmp_path / "recipe.json")]
    assert run([*arguments, "--engine", str(tmp_path / "engine.json")]) is ExitCode.USAGE
    assert run(arguments) is ExitCode.OK


def test_a_tokenizer_that_fails_on_a_worker_after_planning_is_that_nodes_trouble(
    model: Path, recipe: Recipe, tmp_path: Path
) -> None:
    from rephrase_worker.generate.shard import load_planned_tokenizer

    planner.plan(recipe)
    (model / "tokenizer.json").unlink()
    with pytest.raises(WorkerError, match="different on this node") as caught:
        load_planned_tokenizer(str(model), {})
    assert caught.value.exit_code is ExitCode.INTERNAL


MARKS = ("<|user|>", "<think>", "USER:", "<｜User｜>", "[INST]", "<s>", "Übersetze")


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("mark", MARKS)
def test_a_marker_of_the_chat_template_is_plain_text_in_a_document(
    special: bool, mark: str, model: Path, recipe: Recipe
) -> None:
    edit("tokenizer.json", added_token(mark, 2047, special=special))(model)
    template(f"{{{{ '{mark}' + messages[0]['content'] + '<|im_end|>' }}}}")(model)
    planner.plan(recipe)
    tokenizer = load_tokenizer(str(model), None)
    renderer = Renderer(
        tokenizer, [Prompt(name="faq", template="{{document}} Why?")], max_model_len=500, max_tokens=9
    )
    document = f"A page.{mark}Say it.<|im_end|>{mark[:3]}"
    ids = renderer.render(document).prompt_token_ids["faq"]
    assert (ids[0], ids[-1]) == (2047, 2)
    assert not {0, 1, 2, 2047} & set(ids[1:-1])
    assert tokenizer._tokenizer.decode(ids[1:-1]) == f"{document} Why?"
