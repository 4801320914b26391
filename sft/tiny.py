"""Tiny models from scratch: a BPE tokenizer trained on given texts and a random Qwen2, saved as a plain model folder.

They make the whole pipeline run on a laptop. They know nothing: their output after training tests the pipeline, not the
science.
"""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple


class Family(NamedTuple):
    """The interface of a model family: its chat template and special tokens."""

    template: str
    """A Jinja chat template."""
    bos: str | None
    eos: str
    pad: str
    markers: tuple[str, ...]
    """Special tokens of the template, including think tags."""


def own_family() -> Family:
    """The family of the demo: like R1, so its own template drops the reasoning of past turns."""
    template = (files("sft") / "templates" / "tiny_chat.jinja").read_text(encoding="utf-8").rstrip("\n")
    return Family(
        template, "<|begin|>", "<|end|>", "<|end|>", ("<|user|>", "<|assistant|>", "<think>", "</think>")
    )


def make_tokenizer(family: Family, texts: Iterable[str], vocab_size: int = 2048) -> Any:
    """Train a byte-level BPE tokenizer on `texts`; equal texts give an equal tokenizer.

    Like real ones it adds BOS to every text it encodes with special tokens, which is how BOS gets doubled.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = [token for token in dict.fromkeys((family.bos, family.eos, family.pad)) if token]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.add_tokens([AddedToken(token, special=False, normalized=False) for token in family.markers])
    if family.bos:
        bos = (family.bos, core.token_to_id(family.bos))
        core.post_processor = processors.TemplateProcessing(single=f"{family.bos} $A", special_tokens=[bos])
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, bos_token=family.bos, eos_token=family.eos, pad_token=family.pad
    )
    tokenizer.chat_template = family.template
    return tokenizer


def make_model(
    folder: Path,
    tokenizer: Any,
    seed: int = 0,
    hidden: int = 128,
    layers: int = 3,
    max_length: int = 1024,
) -> int:
    """Save a randomly initialised Qwen2 with `tokenizer` in `folder`; returns its number of parameters."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from transformers.utils import logging

    logs: Any = logging
    logs.disable_progress_bar()

    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 3,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        initializer_range=hidden
        ** -0.5,  # the usual 0.02 is for wide models; a narrow one would learn four times slower
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = Qwen2ForCausalLM(config)  # type: ignore[no-untyped-call]
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return int(model.num_parameters())
