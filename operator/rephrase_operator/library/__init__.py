"""Prompt files: how they are read, the layouts that they are rendered in, and the library of ours."""

from rephrase_operator.library.facts import Facts, LibraryFacts, SuggestedSampling
from rephrase_operator.library.files import LibraryPrompt, PromptFile, library, read_library, read_prompt_file
from rephrase_operator.library.layout import Layout

__all__ = [
    "Facts",
    "Layout",
    "LibraryFacts",
    "LibraryPrompt",
    "PromptFile",
    "SuggestedSampling",
    "library",
    "read_library",
    "read_prompt_file",
]
