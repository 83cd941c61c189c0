"""Prompt files: how they are read, the layouts that they are rendered in, our library, and house prompts."""

from rephrase_operator.library.facts import Facts, LibraryFacts, SuggestedSampling
from rephrase_operator.library.files import LibraryPrompt, PromptFile, library, read_library, read_prompt_file
from rephrase_operator.library.house import BrokenPrompt, Library, with_house_prompts
from rephrase_operator.library.layout import Layout

__all__ = [
    "BrokenPrompt",
    "Facts",
    "Layout",
    "Library",
    "LibraryFacts",
    "LibraryPrompt",
    "PromptFile",
    "SuggestedSampling",
    "library",
    "read_library",
    "read_prompt_file",
    "with_house_prompts",
]
