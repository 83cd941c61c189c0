"""`spec.prompts`: which prompts a job rephrases its documents with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rephrase_operator.api.cel import Rule, Spec
from rephrase_operator.library import Layout
from rephrase_worker.spec import ExpectedTokens, StructureName, SystemMessage, Template, Unstructured


class ConfigMapKey(Spec):
    """A key of a ConfigMap in the namespace of the RephraseJob."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)] = Field(
        description="Name of the ConfigMap."
    )
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)] = Field(
        description="Key in its data."
    )


class PromptChoice(Spec):
    """A prompt of the library, by its name, or a prompt of your own."""

    rules = (
        Rule(
            "!has(self.template) || self.template.split('{{document}}').size() == 2",
            "template must contain {{document}} exactly once: it is where the document's text goes",
            ".template",
        ),
        Rule(
            "!has(self.template) || !has(self.configMapKeyRef)",
            "template and configMapKeyRef exclude each other: the prompt's text comes from one of them",
            ".configMapKeyRef",
        ),
        Rule(
            "!has(self.template) || !has(self.layout)",
            "layout is not for templates: a template has the document where it says so",
            ".layout",
        ),
        Rule(
            "self.unstructured == 'Keep' || !has(self.template) || has(self.structure)",
            "unstructured: Drop needs structure: without one no output is unstructured",
            ".unstructured",
        ),
    )

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$", max_length=40)] = Field(
        description="Name of the prompt, and of its folder at the destination. Without template and "
        "configMapKeyRef it is looked up in the prompt library: `rephrase prompts list` shows it."
    )
    template: Template | None = Field(
        default=None,
        description="The prompt's text, with {{document}} exactly once where the document goes. With the "
        "document before the instruction, the prompts of one document share its KV cache.",
    )
    config_map_key_ref: ConfigMapKey | None = Field(
        default=None,
        description="Takes the prompt from a ConfigMap of the job's namespace: a template with {{document}}, "
        "or a file in the library's format (front matter and the instruction alone). It is read when the job "
        "starts; a later change of the ConfigMap changes nothing. A job waits for one that is not there.",
    )
    layout: Layout | None = Field(
        default=None,
        description="Where the document stands in a prompt of the library, or of a ConfigMap that holds a "
        "file in the library's format. DocumentFirst lets all prompts of a document share its KV cache; "
        "InstructionFirst is how the published recipes ask. Unset: DocumentFirst.",
    )
    system: SystemMessage | None = Field(
        default=None,
        description="System message of the conversation, before the prompt. Unset: what the prompt's front "
        "matter says, or none. Prompts of one document share its KV cache only where their system messages "
        "are the same.",
    )
    structure: StructureName | None = Field(
        default=None,
        description="What form an output should have: the name of a structure checker, such as qa-pairs, "
        "steps, table or prose. The status and the report show the share of outputs that have it. Unset: "
        "what the prompt's front matter says.",
    )
    unstructured: Unstructured = Field(
        default="Keep",
        description="What becomes of outputs that don't have the structure. Keep: they are in the dataset "
        "like the others. Drop: they are left out, empty ones too, and the account says how many these are.",
    )
    expected_tokens: ExpectedTokens | None = Field(
        default=None,
        description="Mean length of an output in tokens, for the estimate. Unset: what the prompt's front "
        "matter says, or a guess.",
    )
