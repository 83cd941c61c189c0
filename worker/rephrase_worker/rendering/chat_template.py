"""How a model is asked: by its chat template, or as plain text where it has none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from rephrase_worker.rendering.errors import RenderError, third_party

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

THINKING = "enable_thinking"
"""The argument of templates (Qwen3 and others) that lets the model write reasoning. Unset, it is on."""

_RENDERERS_OWN = frozenset(
    {
        *("messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "tokenize"),
        *("conversation", "chat_template", "return_dict", "padding", "truncation", "max_length"),
        *("raise_exception", "strftime_now", "return_tensors", "return_assistant_tokens_mask"),
    }
)
"""Names that templates may use and that say what is rendered, not how."""


class Asking(Protocol):
    """How one message of a user becomes the text that the model goes on from."""

    @property
    def about(self) -> str:
        """What a person should know of it."""

    @property
    def lead(self) -> list[int]:
        """Tokens before those of the rendered text."""

    def render(self, message: str, system: str | None = None) -> str:
        """The text, up to where the model's answer begins. Raises RenderError."""

    def around(self, message: str, mark: str, system: str | None = None) -> tuple[str, str]:
        """What the rendered text holds before and after `mark`, a word in the message.

        Raises RenderError when the mark is not there exactly once.
        """

    def token_ids(self, message: str, system: str | None) -> list[int]:
        """The tokens that the model's own code makes of it. Raises RenderError."""


def asking(tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, str]) -> Asking:
    """How the model of this tokenizer is asked. Raises RenderError when it can't be."""
    if tokenizer.chat_template:
        return ChatTemplate(tokenizer, arguments)
    if arguments:
        raise RenderError("it has no chat template that could take model.chatTemplateArgs. Leave them out")
    return PlainText(tokenizer)


class PlainText:
    """The prompt itself, which the model completes. It begins as the tokenizer begins every text.

    These first tokens are put before the others as such: spelt out in front of the text, some tokenizers
    would not give its first word the space that they put before a text.
    """

    about = "The model has no chat template: it completes the prompts as plain text."

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        with third_party("its tokenizer can't be used"):
            whole, bare = tokenizer.encode("x"), tokenizer.encode("x", add_special_tokens=False)
        places = (at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
        if (at := next(places, None)) is None:
            raise RenderError("its tokenizer changes a text when it puts its special tokens around it")
        self.lead = whole[:at]
        self._trail = len(whole) - at - len(bare)

    def render(self, message: str, system: str | None = None) -> str:
        """The message."""
        if system is not None:
            raise RenderError(
                "it has no chat template, and so no place for a system message. Take prompts[].system out "
                "and put its text into the prompt"
            )
        return message

    def around(self, message: str, mark: str, system: str | None = None) -> tuple[str, str]:
        """What stands on both sides of the mark."""
        before, after = self.render(message, system).split(mark)
        return before, after

    def token_ids(self, message: str, system: str | None) -> list[int]:
        """What the tokenizer makes of the message, without the end that some add."""
        with third_party("its tokenizer can't encode it"):
            ids = list(self._tokenizer.encode(self.render(message, system)))
        return ids[: len(ids) - self._trail]


class ChatTemplate:
    """The chat template of a tokenizer, with the job's arguments.

    Raises RenderError when the template can't be used, or looks at no argument of such a name.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, str]) -> None:
        self._tokenizer = tokenizer
        self.lead: list[int] = []  # the template writes all of them
        template = tokenizer.chat_template
        if isinstance(template, dict):
            if "default" not in template:
                names = ", ".join(sorted(map(str, template)))
                raise RenderError(
                    f"it has a set of chat templates ({names}) and none of them is named default. Choose a "
                    "model with one chat template, or use a copy of the model that holds the one to use"
                )
            template = template["default"]
        known = _names(str(template)) - set(tokenizer.special_tokens_map)
        if unknown := sorted(arguments.keys() - known):
            listed = ", ".join(sorted(known)) or "none"
            raise RenderError(
                f"its chat template looks at no argument named {unknown[0]}. Correct model.chatTemplateArgs; "
                f"names that the template looks at: {listed}"
            )
        self._arguments: dict[str, Any] = {name: _value(text) for name, text in arguments.items()}
        if THINKING in known:
            self._arguments.setdefault(THINKING, False)

    @property
    def about(self) -> str:
        """The arguments."""
        given = ", ".join(f"{name}={json.dumps(value)}" for name, value in self._arguments.items())
        return f"Prompts go through the model's chat template{f' with {given}' if given else ''}."

    def render(self, message: str, system: str | None = None) -> str:
        """The text of a conversation of this one message, and of the system's before it if there is one."""
        return self._apply(conversation(message, system))

    def around(self, message: str, mark: str, system: str | None = None) -> tuple[str, str]:
        """What the rendered text holds before and after the mark."""
        try:
            before, *after = self.render(message, system).split(mark)
        except RenderError as error:
            raise RenderError(
                self._hint(message, mark, system)
                or f"{error}. Choose another model, or use a copy of it with a chat template that can"
            ) from error
        if not after:
            raise RenderError(
                self._hint(message, mark, system)
                or "its chat template does not put the user's message into the prompt, or changes its words"
            )
        if len(after) > 1:
            raise RenderError(f"its chat template repeats the user's message {len(after)} times")
        return before, after[0]

    def token_ids(self, message: str, system: str | None) -> list[int]:
        """What `apply_chat_template` itself makes of the conversation."""
        with third_party("its chat template can't render a conversation of one user message"):
            return list(
                self._tokenizer.apply_chat_template(
                    conversation(message, system),
                    add_generation_prompt=True,
                    return_dict=False,
                    **self._arguments,
                )
            )

    def _hint(self, message: str, mark: str, system: str | None) -> str | None:
        """What the template wants instead, where that is known."""
        user: dict[str, object] = {"role": "user", "content": message}
        parts: dict[str, object] = {"role": "user", "content": [{"type": "text", "text": message}]}
        if self._takes(mark, [parts]):
            return (
                "its chat template takes a message as a list of parts (text, images), as multimodal models "
                "do, and not as text. Choose a text model"
            )
        if system is None and self._takes(mark, [{"role": "system", "content": "x"}, user]):
            return "its chat template needs a system message. Give every prompt one (prompts[].system)"
        if system is not None and self._takes(mark, [user]):
            return (
                "its chat template takes no system message. Take prompts[].system out and put its text into "
                "the prompt"
            )
        return None

    def _takes(self, mark: str, messages: list[dict[str, object]]) -> bool:
        try:
            rendered = self._apply(messages)
        except RenderError:
            return False  # this is not what it wants either
        # A template that writes the parts themselves as text has not understood them.
        return rendered.count(mark) == 1 and "'type'" not in rendered

    def _apply(self, messages: list[dict[str, object]]) -> str:
        with third_party("its chat template can't render a conversation of one user message"):
            rendered = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, **self._arguments
            )
        if not isinstance(rendered, str):
            raise RenderError("its chat template renders no text")
        return rendered


def conversation(message: str, system: str | None) -> list[dict[str, object]]:
    """The messages that a chat template gets."""
    user: dict[str, object] = {"role": "user", "content": message}
    return [user] if system is None else [{"role": "system", "content": system}, user]


def _value(text: str) -> Any:
    """An argument: a JSON literal (true, 2, null) as such, anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, dict | list) else value


_WORD = re.compile(r"[A-Za-z_]\w*")


def _names(template: str) -> set[str]:
    """The names that a template takes from outside, besides what the renderer itself gives it."""
    from jinja2 import Environment, TemplateError, meta

    environment = Environment(extensions=["jinja2.ext.loopcontrols"])  # noqa: S701 - parsed only
    # A tag of transformers' own, which marks what the model has said.
    plain = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)
    try:
        found = meta.find_undeclared_variables(environment.parse(plain))
    except (TemplateError, RecursionError):
        found = set(
            _WORD.findall(plain)
        )  # transformers will say what is wrong, or takes more than Jinja does
    return found - _RENDERERS_OWN
