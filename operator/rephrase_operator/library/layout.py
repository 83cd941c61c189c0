"""Where the document stands in a prompt: before the instruction, or after it."""

from __future__ import annotations

from enum import StrEnum

from rephrase_worker.spec import PLACEHOLDER


class Layout(StrEnum):
    """The order of document and instruction."""

    DOCUMENT_FIRST = "DocumentFirst"
    """All prompts of a document begin alike, so the engine computes the document once for all of them."""
    INSTRUCTION_FIRST = "InstructionFirst"
    """The published recipes ask this way. Only the instruction is shared, by all documents."""


_TEMPLATES = {
    Layout.DOCUMENT_FIRST: f"Read this text:\n\n{PLACEHOLDER}\n\n---\n\n{{instruction}}",
    Layout.INSTRUCTION_FIRST: f"{{instruction}}\n\n---\n\nThe text:\n\n{PLACEHOLDER}",
}


def lay_out(instruction: str, layout: Layout) -> str:
    """The template of an instruction in a layout. It holds the document's placeholder once."""
    return _TEMPLATES[layout].replace("{instruction}", instruction)
