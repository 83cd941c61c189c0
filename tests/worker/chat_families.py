"""Real tokenizer families rebuilt small: the same normalizers, pre-tokenizers, flags of added tokens and
templates as the models have, on vocabularies of a few hundred words that are trained on the spot.

Every family can be built with its control tokens spelt in another way. What `apply_chat_template` then makes
of a message that holds the usual spelling is the truth for a document that holds a control string: in that
tokenizer it is no control string.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from tests.tiny_model import training_files

UNKNOWN = "<unk>"
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """How one family's tokenizer and chat template are made."""

    base: Callable[[], Tokenizer]
    template: str
    """Control tokens in it stand in guillemets: «<s>»."""
    control: Sequence[str] = ()
    """Control tokens, in order of their ids after the base vocabulary."""
    in_vocabulary: Sequence[str] = ()
    """Control tokens that the model's vocabulary holds."""
    text: Sequence[str] = ()
    """Added tokens that are ordinary text."""
    flags: dict[str, Any] | None = None
    """Of the control tokens, where they differ from special, not normalized."""
    bos: str | None = None
    lossless: bool = True
    """Decoding gives the text back."""


def respelt(content: str) -> str:
    """Another spelling of a control token, with the same first and last character."""
    return f"{content[0]}zqv{content[1:-1]}qvz{content[-1]}"


@cache
def build(name: str, spell: Callable[[str], str] = str) -> PreTrainedTokenizerFast:
    """The family's tokenizer, its control tokens spelt by `spell`."""
    family = FAMILIES[name]
    tokenizer = Tokenizer.from_str(_rename(_trained(name), family.in_vocabulary, spell))
    flags = {"special": True, "normalized": False} | (family.flags or {})
    for content in (*family.in_vocabulary, *family.control):
        token = AddedToken(spell(content), **flags)
        (tokenizer.add_special_tokens if flags["special"] else tokenizer.add_tokens)([token])
    tokenizer.add_tokens([AddedToken(content, special=False, normalized=False) for content in family.text])
    if family.bos is not None:
        number = tokenizer.token_to_id(spell(family.bos))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{spell(family.bos)} $A", special_tokens=[(spell(family.bos), number)]
        )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=None if family.bos is None else spell(family.bos),
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = _spell_template(family.template, spell)
    return wrapped


@cache
def _trained(name: str) -> str:
    """The family's base in JSON. Training twice does not give the same ids."""
    form: str = FAMILIES[name].base().to_str()
    return form


def _spell_template(template: str, spell: Callable[[str], str]) -> str:
    head, *rest = template.split("«")
    pieces = [head]
    for piece in rest:
        content, text = piece.split("»")
        pieces += [spell(content), text]
    return "".join(pieces)


def _rename(tokenizer: str, contents: Sequence[str], spell: Callable[[str], str]) -> str:
    import json

    form = json.loads(tokenizer)
    names = {content: spell(content) for content in contents}
    form["added_tokens"] = []
    model = form["model"]
    if isinstance(model["vocab"], list):
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(word, word): number for word, number in model["vocab"].items()}
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    return json.dumps(form)


@cache
def _text() -> tuple[str, ...]:
    text = "".join(file.read_text() for file in training_files())[:60_000]
    return tuple(text[start : start + 2000] for start in range(0, len(text), 2000))


def byte_level(
    *,
    split: Sequence[Any] = (),
    normalizer: Any = None,
    use_regex: bool = True,
    ignore_merges: bool = False,
) -> Tokenizer:
    """GPT-2's kind: every byte is a character of the vocabulary's alphabet."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*split, last])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_text(), trainer)
    return tokenizer


def sentencepiece(
    *,
    normalizer: Any = None,
    metaspace: str | None = None,
    specials: Sequence[str] = (UNKNOWN, "<s>", "</s>"),
) -> Tokenizer:
    """Llama 2's kind: BPE on characters with U+2581 for a space, and bytes for unknown characters."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(?<=[^▁])(?=▁)"), "isolated")
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=[*specials, *bytes_], limit_alphabet=80, show_progress=False
    )
    tokenizer.train_from_iterator(_text(), trainer)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = (
        None
        if metaspace is None
        else pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=metaspace, split=False)
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def llama2_normalizer() -> Any:
    """Puts U+2581 before whatever is encoded, and in place of every space."""
    return normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def gemma() -> Tokenizer:
    """No space is put before the text; pieces end with their spaces."""
    tokenizer = sentencepiece(normalizer=normalizers.Replace(" ", "▁"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    return tokenizer


def unigram(scheme: str) -> Tokenizer:
    """T5's kind."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme=scheme)
    trainer = trainers.UnigramTrainer(
        vocab_size=500,
        special_tokens=["<pad>", "</s>", UNKNOWN, "<user>"],
        unk_token=UNKNOWN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_text(), trainer)
    return tokenizer


def wordpiece(splitter: Any) -> Tokenizer:
    """BERT's kind."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=600, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    tokenizer.train_from_iterator(_text(), trainer)
    return tokenizer


def word_level() -> Tokenizer:
    """Whole words between spaces, so that the vocabulary itself knows control tokens."""
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(
        vocab_size=400, special_tokens=[UNKNOWN, "<user>", "<end>"], show_progress=False
    )
    tokenizer.train_from_iterator(_text(), trainer)
    return tokenizer


CHATML = (
    "{% for message in messages %}{{'«<|im_start|>»' + message['role'] + '\n' + message['content'] + "
    "'«<|im_end|>»' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '«<|im_start|>»assistant\n' }}"
    "{% endif %}"
)
CHATML_WITH_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '«<|im_start|>»system\nYou are a helpful "
    "assistant.«<|im_end|>»\n' }}{% endif %}" + CHATML
)
ZEPHYR = (
    "{% for message in messages %}{{ '<|user|>\n' + message['content'] + '«</s>»' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
SP = (UNKNOWN, "<s>", "</s>")

FAMILIES: dict[str, Family] = {
    "llama 2": Family(
        base=lambda: sentencepiece(normalizer=llama2_normalizer()),
        in_vocabulary=SP,
        bos="<s>",
        template="{{ '«<s>»' + '[INST] ' + messages[0]['content'].strip() + ' [/INST]' }}",
    ),
    "mistral 0.1": Family(
        base=lambda: sentencepiece(normalizer=llama2_normalizer()),
        in_vocabulary=SP,
        bos="<s>",
        template="{{ '«<s>»[INST] ' + messages[0]['content'] + ' [/INST]' }}",
    ),
    "mistral 0.3": Family(
        base=lambda: sentencepiece(metaspace="first"),
        in_vocabulary=SP,
        control=["[INST]", "[/INST]", "[TOOL_CALLS]"],
        bos="<s>",
        template="{{ '«<s>»«[INST]» ' + messages[0]['content'] + '«[/INST]»' }}",
    ),
    "phi 3": Family(
        base=lambda: sentencepiece(normalizer=llama2_normalizer()),
        in_vocabulary=SP,
        control=["<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"],
        flags={"rstrip": True},
        template="{{ '«<|user|>»\n' + messages[0]['content'] + '«<|end|>»\n«<|assistant|>»\n' }}",
    ),
    "tinyllama": Family(
        base=lambda: sentencepiece(normalizer=llama2_normalizer()),
        in_vocabulary=SP,
        bos="<s>",
        template=ZEPHYR,
    ),
    "llama 3": Family(
        base=lambda: byte_level(
            split=[pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated")], use_regex=False, ignore_merges=True
        ),
        control=["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        bos="<|begin_of_text|>",
        template="{{ '«<|begin_of_text|>»«<|start_header_id|>»user«<|end_header_id|>»\n\n' "
        "+ messages[0]['content'] | trim + '«<|eot_id|>»«<|start_header_id|>»assistant«<|end_header_id|>»"
        "\n\n' }}",
    ),
    "gemma": Family(
        base=gemma,
        in_vocabulary=SP,
        control=["<start_of_turn>", "<end_of_turn>", "<table>", "</b>"],
        text=["\n\n", "\n\n\n", "▁▁", "▁▁▁"],
        bos="<s>",
        template="{{ '«<s>»«<start_of_turn>»user\n' + messages[0]['content'] | trim + '«<end_of_turn>»\n"
        "«<start_of_turn>»model\n' }}",
    ),
    "qwen": Family(
        base=lambda: byte_level(
            split=[pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated")],
            normalizer=normalizers.NFC(),
            use_regex=False,
        ),
        control=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>"],
        template=CHATML_WITH_SYSTEM,
    ),
    "smollm": Family(
        base=lambda: byte_level(split=[pre_tokenizers.Digits(individual_digits=True)]),
        control=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"],
        template=CHATML_WITH_SYSTEM,
    ),
    "harmony": Family(
        base=lambda: byte_level(
            split=[pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated")], use_regex=False
        ),
        control=["<|start|>", "<|message|>", "<|end|>", "<|channel|>"],
        template="{{ '«<|start|>»system«<|message|>»Current date: ' + strftime_now('%Y-%m-%d') + '«<|end|>»"
        "«<|start|>»user«<|message|>»' + messages[0]['content'] + '«<|end|>»«<|start|>»assistant' }}",
    ),
    "deepseek": Family(
        base=lambda: byte_level(split=[pre_tokenizers.Digits(individual_digits=False)]),
        control=["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"],
        flags={"special": False},
        text=["ü", "õ", "÷"],
        bos="<｜begin▁of▁sentence｜>",
        template="{{ '«<｜begin▁of▁sentence｜>»«<｜User｜>»' + "
        "messages[0]['content'].split('«</think>»')[-1] + '«<｜Assistant｜>»«<think>»\n' }}",
    ),
    "falcon": Family(
        base=lambda: byte_level(split=[pre_tokenizers.Punctuation("contiguous")]),
        control=[">>TITLE<<", "<|endoftext|>"],
        template="{{ 'User: ' + messages[0]['content'].replace('\r\n', '\n').replace('\n\n', '\n') + "
        "'\n\nAssistant:' }}",
        lossless=False,
    ),
    "granite": Family(
        base=byte_level,
        control=["<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"],
        template="{{ '«<|start_of_role|>»user«<|end_of_role|>»' + messages[0]['content'] + "
        "'«<|end_of_text|>»\n«<|start_of_role|>»assistant«<|end_of_role|>»' }}",
    ),
    **{
        f"unigram, {scheme}": Family(
            base=lambda scheme=scheme: unigram(scheme),
            in_vocabulary=["<pad>", "</s>", UNKNOWN, "<user>"],
            template="{{ '«<user>» ' + messages[0]['content'] + ' «</s>»' }}",
            lossless=False,
        )
        for scheme in ("first", "always", "never")
    },
    "wordpiece": Family(
        base=lambda: wordpiece(pre_tokenizers.BertPreTokenizer()),
        in_vocabulary=["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
        template="{{ '«[CLS]» user: ' + messages[0]['content'] + ' «[SEP]» answer:' }}",
        lossless=False,
    ),
    "wordpiece, words between spaces": Family(
        base=lambda: wordpiece(pre_tokenizers.WhitespaceSplit()),
        in_vocabulary=["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
        template="{{ '«[CLS]» user: ' + messages[0]['content'] + ' «[SEP]» answer:' }}",
        lossless=False,
    ),
    "word level": Family(
        base=word_level,
        in_vocabulary=[UNKNOWN, "<user>", "<end>"],
        template="{{ '«<user>» ' + messages[0]['content'] + ' «<end>»' }}",
        lossless=False,
    ),
    "takes white space on both sides": Family(
        base=lambda: sentencepiece(normalizer=llama2_normalizer()),
        in_vocabulary=SP,
        control=["<|user|>", "<|end|>"],
        flags={"lstrip": True, "rstrip": True},
        template="{{ '«<|user|>» ' + messages[0]['content'] + ' «<|end|>»\n' }}",
    ),
    "normalized": Family(
        base=lambda: byte_level(
            normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        ),
        control=["<User>", "<End>"],
        flags={"normalized": True, "special": False},
        template="{{ '«<User>»' + messages[0]['content'] + '«<End>»' }}",
        lossless=False,
    ),
    "normalized, with a space before it": Family(
        base=lambda: sentencepiece(normalizer=llama2_normalizer()),
        in_vocabulary=SP,
        control=["<|user|>", "<|end|>"],
        flags={"normalized": True, "special": False},
        template="{{ '«<|user|>» ' + messages[0]['content'] + ' «<|end|>»' }}",
    ),
    "whole words": Family(
        base=byte_level,
        control=["USER", "END"],
        flags={"single_word": True},
        template="{{ '«USER»: ' + messages[0]['content'] + ' «END»' }}",
    ),
    "no space around": Family(
        base=lambda: sentencepiece(metaspace="always"),
        in_vocabulary=SP,
        control=["[I]", "[/I]"],
        template="{{ '«[I]»' + messages[0]['content'] + '«[/I]»' }}",
    ),
    "never a space": Family(
        base=lambda: sentencepiece(metaspace="never"),
        in_vocabulary=SP,
        control=["<|im_start|>", "<|im_end|>"],
        template=CHATML,
    ),
    "collapses white space": Family(
        base=byte_level,
        control=["<|im_start|>", "<|im_end|>"],
        template="{{ '«<|im_start|>»' + messages[0]['content'].split() | join(' ') + '«<|im_end|>»\n' }}",
        lossless=False,
    ),
}
