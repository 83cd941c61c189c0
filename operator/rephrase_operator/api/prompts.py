"""`spec.prompts`: which prompts a job rephrases its documents with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rephrase_operator.api.cel import Rule, Spec
from rephrase_operator.library import Layout
from rephrase_worker.spec import ExpectedTokens, StructureName, SystemMessage, Template


class PromptChoice(Spec):
    """A prompt of the library, by its name, or a prompt of your own with its template."""

    rules = (
        Rule(
            "!has(self.template) || self.template.split('{{document}}').size() == 2",
            "template must contain {{document}} exactly once: it is where the document's text goes",
            ".template",
        ),
        Rule(
            "!has(self.template) || !has(self.layout)",
            "layout is for prompts of the library: a template has the document where it says so",
            ".layout",
        ),
    )

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$", max_length=40)] = Field(
        description="Name of the prompt, and of its folder at the destination. Without a template it is "
        "looked up in the prompt library."
    )
    template: Template | None = Field(
        default=None,
        description="The prompt's text, with {{document}} exactly once where the document goes. With the "
        "document before the instruction, the prompts of one document share its KV cache.",
    )
    layout: Layout | None = Field(
        default=None,
        description="Where the document stands in a prompt of the library. DocumentFirst lets all prompts of "
        "a document share its KV cache; InstructionFirst is how the published recipes ask. Unset: "
        "DocumentFirst.",
    )
    system: SystemMessage | None = Field(
        default=None,
        description="System message of the conversation, before the prompt. Unset: none. Prompts of one "
        "document share its KV cache only where their system messages are the same.",
    )
    structure: StructureName | None = Field(
        default=None,
        description="What form an output should have: the name of a structure checker, such as qa-pairs. The "
        "status and the report show the share of outputs that have it. Unset: that of the library's prompt.",
    )
    expected_tokens: ExpectedTokens | None = Field(
        default=None,
        description="Mean length of an output in tokens, for the estimate. Unset: that of the library's "
        "prompt, or a guess.",
    )
