"""Proves while planning, on a CPU, that a job's prompts can be made with its model.

Everything about prompts that does not depend on a node is found here: a chat template that is missing or
refuses one user message, a tokenizer that can't be loaded, an instruction that leaves no room. If
rendering fails on a worker afterwards, the cause is that node, and the shard is tried again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rephrase_worker.rendering.errors import DocumentError, RenderError
from rephrase_worker.rendering.render import Renderer
from rephrase_worker.rendering.tokenizer import HuggingFaceTokenizer, Instruction, load_tokenizer
from rephrase_worker.spec import EngineSettings, Reason, Recipe, WorkerError

_PLAIN_DOCUMENTS = (
    "A fox jumps over the lazy dog.",
    "  Two paragraphs.\n\nThe second one — naïve, 日本, 3.14 — ends here. \n",
    "x",
)
"""Documents whose prompts are compared with the result of the chat template."""

_CONTEXT_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
"""Where configurations say how long a context the model was made for; vLLM looks at the same keys."""

_ROPE_WITHIN = frozenset({"default", "llama3", "longrope", "su", "mrope"})
"""Kinds of RoPE scaling whose factor is part of the configured length already."""

_UNKNOWN_CONTEXT = 2**31


def check_prompts(recipe: Recipe, engine: EngineSettings | None, model: str) -> str:
    """Refuse a job whose prompts can't be made with its model. Returns how the model is asked, for people.

    `model` is a local folder that holds the pinned model's configuration and tokenizer. Without
    `engine.max_model_len` the context is taken to be the model's own. Raises WorkerError: MODEL_NOT_FOUND
    when a file is not there or can't be read, INVALID_RECIPE for all else.
    """
    config = read_config(Path(model), recipe.model.name)
    tokenizer, renderer = planning_renderer(recipe, engine, model)
    try:
        largest = max(_prove(tokenizer, instruction) for instruction in renderer.instructions)
    except (DocumentError, RenderError) as error:
        raise _refused(recipe, f"a plain document can't be put into its chat template: {error}") from error
    _check_vocabulary(recipe, config, max(largest, tokenizer.largest_text_id))
    return tokenizer.about


def planning_renderer(
    recipe: Recipe, engine: EngineSettings | None, model: str
) -> tuple[HuggingFaceTokenizer, Renderer]:
    """Tokenizer and renderer of a job that is being planned. Arguments and errors are those of the check."""
    config = read_config(Path(model), recipe.model.name)
    tokenizer = load_tokenizer(model, None, name=recipe.model.name, arguments=recipe.model.chat_template_args)
    asked = None if engine is None else engine.max_model_len
    return tokenizer, Renderer(
        tokenizer,
        recipe.prompts,
        max_model_len=asked or context_of(config) or _UNKNOWN_CONTEXT,
        max_tokens=recipe.sampling.max_tokens,
    )


def _prove(tokenizer: HuggingFaceTokenizer, instruction: Instruction) -> int:
    """Compare the prompts of probe documents with what they have to be; the largest token id in them.

    Raises RenderError or DocumentError.
    """
    largest = 0
    for document in _PLAIN_DOCUMENTS:
        message = f"{instruction.before}{document}{instruction.after}"
        expected = tokenizer.as_chat_template_says(message, instruction.system)
        prompts = [*tokenizer.encode([instruction], document), tokenizer.guarded(instruction, document)]
        if any(prompt != expected for prompt in prompts):
            raise RenderError("its tokens are not those that apply_chat_template gives")
        largest = max(largest, *expected)
    if not tokenizer.shows_system(instruction):
        raise RenderError(
            "its chat template leaves the system message out. Take prompts[].system out and put its text "
            "into the prompt"
        )
    forged = " ".join(tokenizer.control_strings)
    if not tokenizer.keeps_apart(instruction, f"Before. {forged} After."):
        raise RenderError("control strings in a document would be read as the chat template's own")
    return largest


def _check_vocabulary(recipe: Recipe, config: dict[str, Any], largest: int) -> None:
    """Refuse a tokenizer that makes tokens for which the model has no embedding."""
    size = max(_numbers(config, ("vocab_size",)), default=None)
    if size is not None and largest >= size:
        raise _refused(
            recipe,
            f"its tokenizer makes the token {largest}, and the model knows {size} tokens (vocab_size), "
            "counted from 0. Tokenizer and weights are not of the same model",
        )


def context_of(config: dict[str, Any]) -> int | None:
    """The longest context that the configuration can mean, in tokens; None when it does not say."""
    length = max(_numbers(config, _CONTEXT_KEYS), default=None)
    if length is None:
        return None
    return int(length * max(_rope_factors(config), default=1.0))


def _numbers(config: dict[str, Any], keys: tuple[str, ...]) -> Iterator[int]:
    """Values of these keys, in the configuration itself and in its parts (`text_config` and the like)."""
    for part in _parts(config):
        for key in keys:
            value = part.get(key)
            if isinstance(value, int) and value > 0:
                yield value


def _rope_factors(config: dict[str, Any]) -> Iterator[float]:
    for part in _parts(config):
        for key in ("rope_scaling", "rope_parameters"):
            for rope in _parts(part.get(key)):
                kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
                if kind not in _ROPE_WITHIN and isinstance(factor, int | float) and factor > 1:
                    yield float(factor)


def _parts(config: object) -> Iterator[dict[str, Any]]:
    """A JSON object, and the objects that are its values."""
    if isinstance(config, dict):
        yield config
        yield from (value for value in config.values() if isinstance(value, dict))


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The configuration of the model in a folder. Raises WorkerError(MODEL_NOT_FOUND)."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise WorkerError(
            Reason.MODEL_NOT_FOUND,
            f"The config.json of {name} can't be read: {type(error).__name__}. Choose a model folder or Hub "
            "repository that transformers can load.",
        ) from error
    return config if isinstance(config, dict) else {}


def _refused(recipe: Recipe, reason: str) -> WorkerError:
    return WorkerError(Reason.INVALID_RECIPE, f"The model {recipe.model.name} can't be used: {reason}.")
