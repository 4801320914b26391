"""Loads the model to train, in the precision of its method.

Full training keeps its weights in float32 under bf16 autocast: at a learning rate of 5e-6 most updates are smaller than the
bfloat16 resolution and would be lost. A frozen base is in bfloat16, or in 4 bits for QLoRA (arXiv 2305.14314).
"""

import os
from typing import Any

from curation.engines.weights import Weights, load_model
from schemas.errors import require
from sft.training.config import TrainConfig


def load(config: TrainConfig, weights: Weights) -> Any:
    """Load the model as `config.method` trains it.

    Raises:
        EngineError: if it cannot be loaded.
        MissingExtraError: for QLoRA without bitsandbytes.
    """
    how: dict[str, Any] = (
        {"attn_implementation": config.attn_implementation} if config.attn_implementation else {}
    )
    if config.method == "qlora":
        how |= four_bits()
    return load_model(weights, "float32" if config.method == "full" else low(config), **how)


def low(config: TrainConfig) -> str:
    """The dtype of frozen weights, and of saved ones."""
    return "bfloat16" if config.bf16 else "float32"


def four_bits() -> dict[str, Any]:
    """The quantisation options for QLoRA: nf4, double quantisation, computation in bfloat16.

    Raises:
        MissingExtraError: without bitsandbytes.
    """
    require("bitsandbytes")
    import torch
    import transformers

    make: Any = transformers.BitsAndBytesConfig
    settings = make(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    # a quantised model cannot be moved between devices afterwards, so each process loads it where it trains
    device = int(os.environ.get("LOCAL_RANK", "0")) if torch.accelerator.is_available() else "cpu"
    return {"quantization_config": settings, "device_map": {"": device}}
