"""The model's tokenizer, reduced to what rendering a prompt needs.

A prompt is what `apply_chat_template` makes of one user message, and of a system message if the prompt has
one, token by token: the template's text is rendered with the message in it and encoded in one pass.
Encoding template and message apart would be wrong for most tokenizers: some put a space before whatever
they encode (Llama 2, Mistral), some control tokens take the white space beside them (Phi-3), and template
and message may share a token.

The document in the message is text from the web. A control string in it stays the plain characters that it
is: such documents, and only they, are encoded by the tokenizer of `control.Guard`. The instruction is the
job's own, and is read as the chat template reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from rephrase_worker.rendering.chat_template import asking
from rephrase_worker.rendering.control import Guard, control_tokens, secret_word
from rephrase_worker.rendering.errors import DocumentError, RenderError, third_party
from rephrase_worker.rendering.reasoning import Reasoning, reasoning
from rephrase_worker.spec import Reason, WorkerError

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Instruction:
    """A prompt template as it stands around the document in the user's message."""

    before: str
    after: str
    system: str | None = None
    """The system message before it."""


class Tokenizer(Protocol):
    """What the renderer asks of a tokenizer. Used from one thread at a time."""

    @property
    def longest_token(self) -> int:
        """Characters that one token covers at most."""

    @property
    def reasoning(self) -> Reasoning | None:
        """How the model marks what it thinks before it answers; None if it does not."""

    def encode(self, instructions: Sequence[Instruction], document: str) -> list[list[int]]:
        """The prompt of each instruction for a document, as token ids.

        Raises DocumentError when the document can't be encoded, WorkerError(INVALID_RECIPE) when the
        instruction can't.
        """

    def starts(self, text: str) -> list[int]:
        """The index of the first character of each token of a document's text. Raises DocumentError."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the chat template puts around a document, the instruction included."""

    before: str
    after: str
    respelt_before: str
    respelt_after: str
    """The same with control tokens in the guard's spelling."""
    control: list[int]
    """The ids of these control tokens."""


class HuggingFaceTokenizer:
    """`Tokenizer` on transformers' fast tokenizers.

    `name` is what errors call the model. Raises WorkerError(INVALID_RECIPE) when the tokenizer or its chat
    template can't be used.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        arguments: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._tokenizer = tokenizer
        self._name = name
        self._arguments = arguments
        self._controls: dict[Instruction, list[int]] = {}
        try:
            self._prepare()
        except RenderError as error:
            raise self._refused(error) from error

    def _prepare(self) -> None:
        tokenizer = self._tokenizer
        if not tokenizer.is_fast:
            raise RenderError(
                "its tokenizer has no fast version (tokenizer.json), which finding the place to truncate a "
                "document needs. Choose a model that has one"
            )
        self._template = asking(tokenizer, self._arguments)
        with third_party("its tokenizer can't be used"):
            self._backend = tokenizer.backend_tokenizer
            self._backend.no_truncation()
            self._backend.no_padding()
            self._backend.encode_special_tokens = tokenizer.split_special_tokens
            self.longest_token = max(map(len, tokenizer.get_vocab()))
            added = [token.content for token in self._backend.get_added_tokens_decoder().values()]
        self._mark = secret_word(added)
        bare = self._bare()
        with third_party("its tokenizer can't encode its own chat template"):
            control = control_tokens(self._backend, self._encode(bare).ids)
        self._guard = Guard(self._backend, control)
        self.reasoning = reasoning(tokenizer, bare)

    def _bare(self) -> str:
        """A prompt of nothing, with a system message where the template insists on one."""
        try:
            return "".join(self._template.around(self._mark, self._mark))
        except RenderError as error:
            try:
                return "".join(self._template.around(self._mark, self._mark, "x"))
            except RenderError:
                raise error from None

    @property
    def about(self) -> str:
        """How the model is asked and what is taken of its answers, in sentences for people."""
        thinks = " What it thinks before it answers is left out of the texts." if self.reasoning else ""
        return f"{self._template.about}{thinks}"

    def encode(self, instructions: Sequence[Instruction], document: str) -> list[list[int]]:
        """The prompts; control strings in the document stay plain text."""
        expected = [self._expected(instruction) for instruction in instructions]
        try:
            if self._guard.occurs_in(document) or any(
                self._spells_together(instruction, document) for instruction in instructions
            ):
                return [self.guarded(instruction, document) for instruction in instructions]
            texts = [
                self._template.render(
                    f"{instruction.before}{document}{instruction.after}", instruction.system
                )
                for instruction in instructions
            ]
            with third_party("the tokenizer can't encode it"):
                encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
            prompts = [encoding.ids for encoding in encodings]
            # Control tokens may come out of what does not look like them: a normalizer maps other characters
            # to theirs, or the document's first or last characters complete one of the template's.
            return [
                [*self._template.lead, *ids]
                if self._guard.among(ids) == control
                else self.guarded(instruction, document)
                for instruction, ids, control in zip(instructions, prompts, expected, strict=True)
            ]
        except RenderError as error:
            raise DocumentError(f"not_rendered: {error}") from error

    def starts(self, text: str) -> list[int]:
        """Where the tokens of a text begin; control strings in it are plain text."""
        try:
            with third_party("the tokenizer can't encode it"):
                return [start for start, _ in self._guard.encode(text).offsets]
        except RenderError as error:
            raise DocumentError(f"not_rendered: {error}") from error

    def guarded(self, instruction: Instruction, document: str) -> list[int]:
        """The prompt, encoded so that no control string of the document can be read as one.

        The same tokens as `encode` gives, and slower. Raises RenderError.
        """
        body = document.strip()
        at = document.find(body)
        frame = self._frame(instruction, document[:at], document[at + len(body) :])
        body = self._body(instruction, frame, document, body)
        with third_party("the tokenizer can't encode it"):
            ids = self._guard.encode(f"{frame.respelt_before}{body}{frame.respelt_after}").ids
        return [*self._template.lead, *ids]

    def pieces(self, ids: Sequence[int]) -> list[tuple[str, bool]]:
        """The text of a prompt, in runs of control tokens (True) and of other tokens (False)."""
        runs = groupby(ids, key=lambda number: number in self._guard.ids)
        return [(self._backend.decode(list(run), skip_special_tokens=False), is_) for is_, run in runs]

    @property
    def control_strings(self) -> list[str]:
        """What documents must not be able to forge."""
        return self._guard.contents

    def keeps_apart(self, instruction: Instruction, document: str) -> bool:
        """Whether the prompt's control tokens are the instruction's and the chat template's alone.

        Characters that the vocabulary lacks don't count. Raises RenderError.
        """
        unknown = self._guard.unknown_id
        found, expected = (
            [number for number in ids if number != unknown]
            for ids in (
                self._guard.among(self.guarded(instruction, document)),
                self._guard.among(self._template.lead) + self._frame(instruction, "", "").control,
            )
        )
        return found == expected

    @property
    def largest_text_id(self) -> int:
        """The largest token id that a document can have."""
        return max(set(self._tokenizer.get_vocab().values()) - self._guard.ids, default=0)

    def as_chat_template_says(self, message: str, system: str | None = None) -> list[int]:
        """What `apply_chat_template` makes of a message, or the tokenizer where there is no chat template.

        Raises RenderError.
        """
        return self._template.token_ids(message, system)

    def shows_system(self, instruction: Instruction) -> bool:
        """Whether the instruction's system message, if it has one, gets into the prompt. Raises
        RenderError.
        """
        if instruction.system is None:
            return True
        message = f"{instruction.before}{instruction.after}"
        # The text could stand in the message too, or be what the template says of its own accord.
        return self._mark in self._template.render(message, self._mark) and (
            instruction.system.strip() in self._template.render(message, instruction.system)
        )

    def _expected(self, instruction: Instruction) -> list[int]:
        """The control tokens of an instruction's prompts. Raises WorkerError(INVALID_RECIPE)."""
        if (known := self._controls.get(instruction)) is None:
            try:
                known = self._controls[instruction] = self._frame(instruction, "", "").control
            except RenderError as error:
                raise self._refused(error) from error
        return known

    def _frame(self, instruction: Instruction, lead: str, trail: str) -> _Frame:
        """The frame of a document with this white space at its ends, which a template may strip."""
        message = f"{instruction.before}{lead}{self._mark}{trail}{instruction.after}"
        before, after = self._template.around(message, self._mark, instruction.system)
        rendered = f"{before}{self._mark}{after}"
        with third_party("its tokenizer can't encode its own chat template"):
            encoding = self._encode(rendered)
        respelt_before, respelt_after = self._guard.respelt(rendered, encoding).split(self._mark)
        return _Frame(before, after, respelt_before, respelt_after, self._guard.among(encoding.ids))

    def _spells_together(self, instruction: Instruction, document: str) -> bool:
        """Whether the document's first or last characters complete a control string with the instruction's.

        A chat template may act on such a string: DeepSeek's drops what stands before a `</think>`.
        """
        reach = self._guard.longest - 1
        before, after = (
            instruction.before[max(0, len(instruction.before) - reach) :],
            instruction.after[:reach],
        )
        start, stop = len(before), len(before) + len(document)
        if stop > start + 2 * reach:  # the middle was looked at already
            document = f"{document[:reach]}\0{document[-reach:]}"
            stop = start + len(document)
        return any(
            (hit.start() < start < hit.end()) or (hit.start() < stop < hit.end())
            for hit in self._guard.occurrences(f"{before}{document}{after}")
        )

    def _hits(self, instruction: Instruction, document: str) -> list[tuple[int, int]]:
        """Where the document has control strings, or parts of some that the instruction completes."""
        offset = len(instruction.before)
        spans = [
            (max(0, hit.start() - offset), min(len(document), hit.end() - offset))
            for hit in self._guard.occurrences(f"{instruction.before}{document}{instruction.after}")
        ]
        return [(start, stop) for start, stop in spans if start < stop]

    def _body(self, instruction: Instruction, frame: _Frame, document: str, body: str) -> str:
        """What the template makes of the document between its ends, control strings left as they are.

        They are hidden from the template, because some templates act on them (`content.split('</think>')`),
        while it may change what stands around them (collapse white space, say). Where the rendered text does
        not hold the document between the frame's two ends, the document goes in as it is.
        """
        hits = self._hits(instruction, document)
        hidden, end = [], 0
        for start, stop in hits:
            hidden += [document[end:start], self._mark]
            end = stop
        hidden.append(document[end:])
        rendered = self._template.render(
            f"{instruction.before}{''.join(hidden)}{instruction.after}", instruction.system
        )
        if not (
            len(rendered) >= len(frame.before) + len(frame.after)
            and rendered.startswith(frame.before)
            and rendered.endswith(frame.after)
        ):
            return body
        pieces = rendered[len(frame.before) : len(rendered) - len(frame.after)].split(self._mark)
        if len(pieces) != len(hits) + 1:
            return body
        shown = [pieces[0]]
        for (start, stop), piece in zip(hits, pieces[1:], strict=True):
            shown += [document[start:stop], piece]
        return "".join(shown)

    def _encode(self, text: str) -> Encoding:
        encoding: Encoding = self._backend.encode(text, add_special_tokens=False)
        return encoding

    def _refused(self, error: RenderError) -> WorkerError:
        return WorkerError(Reason.INVALID_RECIPE, f"The model {self._name} can't be used: {error}.")


def load_tokenizer(
    model: str,
    revision: str | None,
    *,
    name: str | None = None,
    arguments: Mapping[str, str] = MappingProxyType({}),
) -> HuggingFaceTokenizer:
    """The tokenizer of a model folder, or of a Hub model in the local cache.

    `name` is what errors call the model where that is not `model`, `arguments` are the chat template's.
    Raises WorkerError: MODEL_NOT_FOUND when its files are not there or can't be read, INVALID_RECIPE when
    prompts can't be made with them.
    """
    from transformers import AutoTokenizer

    name = name or model
    try:
        with third_party(f"The tokenizer of {name} can't be loaded"):
            # Left open, transformers would ask on the terminal whether to run the model's own code.
            tokenizer = AutoTokenizer.from_pretrained(model, revision=revision, trust_remote_code=False)
    except RenderError as error:
        raise WorkerError(
            Reason.MODEL_NOT_FOUND,
            f"{error}. Check that tokenizer.json and tokenizer_config.json of the model are there and whole.",
        ) from error
    return HuggingFaceTokenizer(tokenizer, name, arguments)
