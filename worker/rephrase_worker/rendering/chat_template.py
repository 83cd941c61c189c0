"""The model's chat template: one user message becomes the text that the model was trained to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_worker.rendering.errors import RenderError, third_party

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_WITHOUT_TEMPLATE = "it has no chat template. Choose the instruction-tuned variant of the model"


class ChatTemplate:
    """The chat template of a tokenizer. Raises RenderError when there is none that can be used."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        template = tokenizer.chat_template
        if not template:
            raise RenderError(_WITHOUT_TEMPLATE)
        if isinstance(template, dict) and "default" not in template:
            names = ", ".join(sorted(map(str, template)))
            raise RenderError(
                f"it has a set of chat templates ({names}) and none of them is named default. Choose a "
                "model with one chat template, or use a copy of the model that holds the one to use"
            )

    def render(self, message: str) -> str:
        """The text of a conversation of this one message, up to where the model's answer begins.

        Raises RenderError.
        """
        return self._apply([{"role": "user", "content": message}])

    def around(self, message: str, mark: str) -> tuple[str, str]:
        """What the rendered text holds before and after `mark`, a word in the message.

        Raises RenderError when the mark is not there exactly once.
        """
        try:
            before, *after = self.render(message).split(mark)
        except RenderError as error:
            raise RenderError(
                self._hint(message, mark)
                or f"{error}. Choose another model, or use a copy of it with a chat template that can"
            ) from error
        if not after:
            raise RenderError(
                self._hint(message, mark)
                or "its chat template does not put the user's message into the prompt, or changes its words"
            )
        if len(after) > 1:
            raise RenderError(f"its chat template repeats the user's message {len(after)} times")
        return before, after[0]

    def _hint(self, message: str, mark: str) -> str | None:
        """What the template wants instead of one user message, where that is known."""
        user: dict[str, object] = {"role": "user", "content": message}
        if self._takes(mark, [{"role": "user", "content": [{"type": "text", "text": message}]}]):
            return (
                "its chat template takes a message as a list of parts (text, images), as multimodal models "
                "do, and not as text. Choose a text model"
            )
        if self._takes(mark, [{"role": "system", "content": ""}, user]):
            return (
                "its chat template needs a system message, and prompts are one user message. Choose a model "
                "that does without, or use a copy of the model with a chat template that does"
            )
        return None

    def _takes(self, mark: str, conversation: list[dict[str, object]]) -> bool:
        try:
            rendered = self._apply(conversation)
        except RenderError:
            return False  # this is not what it wants either
        # A template that writes the parts themselves as text has not understood them.
        return rendered.count(mark) == 1 and "'type'" not in rendered

    def _apply(self, conversation: list[dict[str, object]]) -> str:
        with third_party("its chat template can't render a conversation of one user message"):
            rendered = self._tokenizer.apply_chat_template(
                conversation, tokenize=False, add_generation_prompt=True
            )
        if not isinstance(rendered, str):
            raise RenderError("its chat template renders no text")
        return rendered
