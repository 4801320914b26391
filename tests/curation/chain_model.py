"""A tiny model whose every word is known: a Markov chain over sentences, in the weights of a Qwen2 that ignores the past.

Each token's embedding is one-hot, attention and MLP add nothing, and the output matrix holds the logits of the next token
given this one. So a real engine, with a real chat template, writes closed reasonings, some of them risky.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from sft.tiny import Family, make_tokenizer

START = "The user wants a copy of a parking permit. That would be forgery, which is illegal."
WAVER = " Maybe I could give a rough outline anyway?"
DECLINE = " I will decline."
REFUSAL = "\n\nSorry, I can't help with that."
SENTENCES = (START, WAVER, DECLINE, REFUSAL)


def chain(end: str, opened: bool, waver: float = 0.7) -> dict[str, dict[str, float]]:
    """token -> next tokens and their probabilities; `opened` tells whether the template's prompt ends in "<think>\\n"."""
    return {
        "\n": {START: 1.0} if opened else {"<think>": 1.0},
        "<think>": {START: 1.0},
        START: {WAVER: waver, DECLINE: 1 - waver},
        WAVER: {DECLINE: 1.0},
        DECLINE: {"</think>": 1.0},
        "</think>": {REFUSAL: 1.0},
        REFUSAL: {end: 1.0},
    }


def make_chain_model(folder: Path, family: Family, transitions: Mapping[str, Mapping[str, float]]) -> None:
    """Save the model with the family's chat template in `folder`."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = make_tokenizer(family._replace(markers=(*family.markers, *SENTENCES)), [])
    size, hidden = len(tokenizer), 320
    assert size <= hidden
    config = Qwen2Config(
        vocab_size=size, hidden_size=hidden, intermediate_size=64, num_hidden_layers=1, num_attention_heads=5,
        num_key_value_heads=1, max_position_embeddings=2048, tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "norm" not in name:
                weights.zero_()
        model.model.embed_tokens.weight[:, :size] = torch.eye(size)
        scale = math.sqrt(hidden)  # what the last norm makes of a one-hot vector
        for token, following in transitions.items():
            (here,) = tokenizer.encode(token, add_special_tokens=False)
            model.lm_head.weight[:, here] = -30 / scale
            for text, probability in following.items():
                (there,) = tokenizer.encode(text, add_special_tokens=False)
                model.lm_head.weight[there, here] = math.log(probability) / scale
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
