"""`sft plan`: estimates memory and time of a run by arithmetic, before anything is allocated.

Memory of a device = weights, gradients and Adam's two moments (float32 each in full training, with bf16 copies of the weights that autocast keeps during a step; for LoRA
weights in bf16, or float32 without it, and 16 bytes per adapter parameter), divided by the sharding, + activations + logits. Activations per token and layer are
2 bytes x hidden (twice that in float32) with gradient checkpointing (what is kept between layers) plus one layer in full (34 bytes x hidden, arXiv 2205.05198
without the attention matrix, which flash kernels never store), else that full amount in each layer. Logits are float32 twice.
Time = 6 x parameters x tokens (8 with checkpointing, 4 or 6 for LoRA, which skips most weight gradients) / (FLOP/s x MFU).
KL to the base has one frozen copy of the model more in full training (none for adapters), and in every case one more forward pass.
DPO has two sequences for each pair, and a forward pass of the reference more: once before training in full, at each step for adapters; it holds no second model.
GB are 10^9 bytes. The estimates exclude the overhead of the framework; expect an error of up to a third.
"""

import os
from typing import Any, NamedTuple

from curation import console
from curation.engines.weights import locate
from curation.hardware import cores, precision
from schemas.choices import Device, Sharding
from schemas.errors import EngineError, require
from sft.proof.mix import TrainingMix
from sft.training.config import TrainConfig

GB = 10**9
DEVICES: dict[Device, tuple[int, int]] = {
    "a100-40": (40, 312),
    "a100-80": (80, 312),
    "h100": (80, 989),
    "h200": (141, 989),
    "l40s": (48, 362),
    "rtx4090": (24, 165),
}
"""Memory in GB and dense bf16 TFLOP/s, from the vendors' data sheets."""
CORE_TFLOPS = {"bfloat16": 0.2, "float32": 0.1}
"""Of one CPU core with AVX-512: torch's linear layers on one of an AMD EPYC with bfloat16 units."""
QLORA_BYTES = 0.55
"""Bytes per frozen parameter in 4 bits with their scales (embeddings in float32 are not counted)."""
AUTOCAST_BYTES = 2
"""Bytes per float32 weight of the copy that autocast makes and keeps until the end of the forward and backward pass."""
MFU = 0.4
"""Model FLOP/s utilisation; 0.3 to 0.5 is usual."""
TOKENS_PER_CHARACTER = 0.3


class Shape(NamedTuple):
    """The dimensions of a model."""

    parameters: int
    hidden: int
    layers: int
    vocabulary: int


class TrainingEstimate(NamedTuple):
    """Memory and time of a run."""

    parameters: int
    trained: int
    """Number of trainable parameters."""
    states_gb: float
    """Weights with their autocast copies and KL's frozen copy, gradients and optimiser states on one device."""
    activations_gb: float
    logits_gb: float
    tokens: int
    """Over all rows and epochs."""
    steps: int
    hours: float

    @property
    def gb(self) -> float:
        """Total memory per device."""
        return self.states_gb + self.activations_gb + self.logits_gb


def device_of(device: Device) -> tuple[float, float]:
    """Memory in GB and TFLOP/s of a device; of the CPU, this machine's, in the precision it trains in."""
    if device != "cpu":
        return DEVICES[device]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    return memory, cores() * CORE_TFLOPS[precision("auto", accelerator=False).dtype]


def on_device(config: TrainConfig, device: Device) -> TrainConfig:
    """The run as the device trains it: in float32 on a CPU without units for bfloat16."""
    if config.dtype != "auto":
        return config.model_copy(update={"bf16": config.dtype == "bfloat16"})
    low = device != "cpu" or precision("auto", accelerator=False).dtype == "bfloat16"
    return config.model_copy(update={"bf16": config.bf16 and low})


def shape_of(model: str, revision: str | None = None) -> Shape:
    """The shape of a model, from its config alone; no weights are read.

    Raises:
        EngineError: if there is no such model, or transformers does not support its architecture.
    """
    weights = locate(model, revision)
    folder = locate(weights.adapter_base).folder if weights.adapter_base else weights.folder
    require("torch", "transformers")
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        with torch.device("meta"):
            auto: Any = AutoModelForCausalLM
            empty: Any = auto.from_config(config, trust_remote_code=False)
    except Exception as error:  # a damaged file raises whatever the library trips over
        raise EngineError(
            f"{folder}: cannot read its config.json ({error}); name a model that the installed transformers supports"
        ) from error
    text = config.get_text_config()
    return Shape(int(empty.num_parameters()), text.hidden_size, text.num_hidden_layers, text.vocab_size)


def estimate(
    shape: Shape, config: TrainConfig, rows: int, tokens: int, devices: int, tflops: float, sharding: Sharding
) -> TrainingEstimate:
    """Estimate memory and time of a run.

    Args:
        shape: the model.
        config: the run.
        rows: rows of the mix, or pairs.
        tokens: tokens of the mix, including prompts.
        devices: number of devices.
        tflops: dense bf16 TFLOP/s of one device.
        sharding: none; zero2: gradients and optimiser states; zero3: weights as well (FSDP shards all three).
    """
    n = shape.parameters
    trained = n if config.method == "full" else adapter_parameters(shape, config.lora.r)
    width = 2 if config.bf16 else 4  # bytes of a frozen parameter, and of what is kept for the backward pass
    frozen = QLORA_BYTES if config.method == "qlora" else width
    kept = 4 * n if config.method == "full" else frozen * n + 4 * trained
    if config.packing:
        rows = max(1, round(tokens / config.max_length))  # a step counts sequences, nearly full
    copies = AUTOCAST_BYTES * n if config.method == "full" and config.bf16 else 0
    if config.kl_to_base and config.method == "full":
        copies += width * n  # the untrained model
    moved = 12 * trained  # gradients and two moments
    states = (kept + copies) / (devices if sharding == "zero3" else 1) + moved / (
        1 if sharding == "none" else devices
    )
    longest = config.per_device_train_batch_size * config.max_length * (2 if config.dpo else 1)
    layer = 17 * width * shape.hidden
    per_token = (
        width * shape.hidden * shape.layers + layer if config.gradient_checkpointing else layer * shape.layers
    )
    per_step = config.per_device_train_batch_size * config.gradient_accumulation_steps * devices
    steps = config.max_steps or max(1, round(rows * config.num_train_epochs / per_step))
    seen = round(tokens / max(1, rows) * steps * per_step)
    flops = (
        (2 if config.kl_to_base else 0)
        + (6 if config.method == "full" else 4)
        + (2 if config.gradient_checkpointing else 0)
    )
    asked = (
        (tokens if config.method == "full" else seen) if config.dpo else 0
    )  # by the reference, forward alone
    seconds = (flops * n * seen + 2 * n * asked) / (devices * tflops * 1e12 * MFU)
    return TrainingEstimate(
        n,
        trained,
        states / GB,
        longest * per_token / GB,
        longest * shape.vocabulary * 8 / GB,
        seen,
        steps,
        seconds / 3600,
    )


def adapter_parameters(shape: Shape, rank: int) -> int:
    """Approximate parameters of adapters on all linear layers: rank x (in + out) over seven matrices per layer."""
    hidden, mlp = shape.hidden, 4 * shape.hidden
    return rank * shape.layers * (4 * 2 * hidden + 3 * (hidden + mlp))


def examples_of(mix: TrainingMix) -> int:
    """What a batch counts: rows, or pairs."""
    return len(mix.pairs or mix.rows)


def tokens_of(mix: TrainingMix) -> int:
    """Tokens of a mix, as its manifest counted or estimated them, with an allowance for prompts; of pairs both traces."""
    by_trace = {row.trace_id: row for row in mix.rows}
    rows = [by_trace[trace] for pair in mix.pairs for trace in pair] or mix.rows
    prompts = sum(len(row.prompt) for row in rows)
    return sum(row.tokens for row in rows) + round(prompts * TOKENS_PER_CHARACTER)


def show(estimate: TrainingEstimate, device: Device, devices: int, sharding: Sharding) -> None:
    """Print an estimate, with what to change if it does not fit."""
    memory, _ = device_of(device)
    console.result(
        f"parameters      {estimate.parameters / 1e9:.2f} billion, {estimate.trained / 1e9:.3f} billion trained"
    )
    console.result(
        f"memory          {estimate.gb:.1f} of {memory:.0f} GB on each of {devices} {device}, sharding {sharding}"
    )
    console.result(f"  states        {estimate.states_gb:.1f} GB")
    console.result(f"  activations   {estimate.activations_gb:.1f} GB for the longest batch")
    console.result(f"  logits        {estimate.logits_gb:.1f} GB")
    console.result(f"work            {estimate.steps} steps, {estimate.tokens:,} tokens")
    console.result(f"time            {estimate.hours:.2f} hours at {MFU:.0%} of the device's peak")
    if estimate.gb > 0.9 * memory:
        console.say("it does not fit; use more devices with --sharding zero3, method: lora or qlora, gradient_checkpointing: true, a smaller "
                    "per_device_train_batch_size with more gradient_accumulation_steps, or a smaller max_length")  # fmt: skip


def fits(estimate: TrainingEstimate, device: Device) -> bool:
    """Whether a run fits with a margin of 10 %."""
    return estimate.gb <= 0.9 * device_of(device)[0]
