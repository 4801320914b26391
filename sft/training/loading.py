"""Loads the model to train, in the precision of its method.

Full training keeps its weights in float32 under bf16 autocast: at a learning rate of 5e-6 most updates are smaller than the
bfloat16 resolution and would be lost. A frozen base is in bfloat16, or in 4 bits for QLoRA (arXiv 2305.14314).
On a CPU without units for bfloat16 all is in float32, which is many times faster there.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from curation.engines.weights import Weights, load_model
from curation.hardware import Precision, precision
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
    with whole():
        return load_model(weights, "float32" if config.method == "full" else low(config), **how)


@contextmanager
def whole() -> Iterator[None]:
    """Load weights in every process: once processes are joined under FSDP, transformers leaves them empty in all but the first."""
    name = "FSDP_CPU_RAM_EFFICIENT_LOADING"
    before = os.environ.pop(name, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[name] = before


def on_cpu() -> bool:
    """Whether there is no accelerator to train on."""
    import torch

    return not torch.accelerator.is_available()


def settled(config: TrainConfig) -> tuple[TrainConfig, Precision]:
    """The run as this hardware trains it: `bf16` is what will be done, whatever `dtype` says."""
    if config.dtype != "auto":
        chosen = Precision(config.dtype, "as set")
    elif not config.bf16:
        chosen = Precision("float32", "bf16: false")
    elif on_cpu():
        chosen = precision("auto", accelerator=False)
    else:
        chosen = Precision("bfloat16", "bf16: true")
    return config.model_copy(update={"bf16": chosen.dtype == "bfloat16"}), chosen


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
