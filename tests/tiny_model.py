"""A tiny random Llama that the real vLLM loads in seconds: for tests of everything but the text's quality.

Two layers, hidden size 64, half a megabyte. Its byte-level BPE vocabulary is trained on the spot on text that
every machine has (the standard library's own modules), so nothing is downloaded. Its answers are noise of the
real shape: token counts, finish reasons and cache hits are those of a real engine.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sysconfig
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent / ".cache" / "models"
VERSION = 1
"""Part of the folder's name: raise it with every change below, for caches outlive the code."""
FOLDER = MODELS / f"tiny-{VERSION}"

VOCABULARY = 2048
CONTEXT = 2048
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def ensure_tiny_model() -> Path:
    """The model's folder, made first if need be; safe in several test processes at once."""
    MODELS.mkdir(parents=True, exist_ok=True)
    with (MODELS / f"{FOLDER.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (FOLDER / "config.json").is_file():
            partial = MODELS / f".{FOLDER.name}.{os.getpid()}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                build(partial)
                partial.rename(FOLDER)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return FOLDER


def build(target: Path) -> None:
    """Write tokenizer, config and random weights (from a fixed seed) into a folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(file) for file in training_files()], trainer)
    end_of_text, _, end_of_turn = SPECIAL
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=end_of_text,
        eos_token=end_of_turn,
        pad_token=end_of_turn,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(str(target))

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,  # among those that vLLM's attention on the CPU knows
        max_position_embeddings=CONTEXT,
        bos_token_id=SPECIAL.index(end_of_text),
        eos_token_id=SPECIAL.index(end_of_turn),
        pad_token_id=SPECIAL.index(end_of_turn),
        tie_word_embeddings=True,
        initializer_range=0.2,  # wide enough that greedy decoding does not settle on one token at once
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(str(target))


def training_files() -> list[Path]:
    """A few hundred kilobytes of English and code that lie on every machine."""
    library = Path(sysconfig.get_path("stdlib"))
    names = (
        "argparse.py",
        "datetime.py",
        "doctest.py",
        "inspect.py",
        "pydoc.py",
        "statistics.py",
        "typing.py",
    )
    return [library / name for name in names if (library / name).is_file()]


if __name__ == "__main__":
    argparse.ArgumentParser(description="Make the tiny model and print where it lies.").parse_args()
    print(ensure_tiny_model())  # noqa: T201 - the answer of a command
