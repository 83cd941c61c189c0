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
        with third_party("its chat template can't render a conversation of one user message"):
            rendered = self._apply(message)
        if not isinstance(rendered, str):
            raise RenderError("its chat template renders no text")
        return rendered

    def around(self, message: str, mark: str) -> tuple[str, str]:
        """What the rendered text holds before and after `mark`, a word in the message.

        Raises RenderError when the mark is not there exactly once.
        """
        rendered = self.render(message)
        before, *after = rendered.split(mark)
        if len(after) != 1:
            raise RenderError(self._misplaced(message, mark, len(after)))
        return before, after[0]

    def _misplaced(self, message: str, mark: str, count: int) -> str:
        """Why the message does not stand in the rendered text once."""
        if count > 1:
            return f"its chat template repeats the user's message {count} times, and prompts need it once"
        try:
            as_parts = str(self._apply([{"type": "text", "text": message}]))
        except Exception:  # noqa: BLE001 - the same template, asked in another way to find the reason
            as_parts = ""
        if mark in as_parts:
            return (
                "its chat template takes a message as a list of parts (text, images), as multimodal models "
                "do, and not as text. Choose a text model"
            )
        return "its chat template does not put the user's message into the prompt, or changes its words"

    def _apply(self, content: object) -> object:
        return self._tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
