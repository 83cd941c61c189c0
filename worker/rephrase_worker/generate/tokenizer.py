"""A door to the room `rendering`, under the name by which callers of the generation step know it."""

from rephrase_worker.rendering.tokenizer import load_tokenizer

__all__ = ["load_tokenizer"]
