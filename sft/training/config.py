"""What `sft run` may be told, in the words of TRL and torchtune. Defaults are the safety study's settings.

Paths are relative to the folder the command is run in.
"""

from typing import Annotated, Literal

from pydantic import Field

from curation.recipe import Recipe


class LoraConfig(Recipe):
    """Settings of `method: lora` and `qlora`, in peft's words."""

    r: Annotated[int, Field(ge=1)] = 16
    lora_alpha: Annotated[float, Field(gt=0)] = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: str | list[str] = "all-linear"


class PresafeConfig(Recipe):
    """PreSafe's auxiliary supervision (arXiv 2603.17368); the paper gives none of these values."""

    decisions: str
    """JSONL file of the teacher's decisions, made by `curate decide`."""
    weight: Annotated[float, Field(ge=0)] = 0.2
    """lambda: what the head's loss counts next to the SFT loss."""
    labels: Literal["soft", "hard"] = "soft"
    """The teacher's probability, or its decision at one half."""
    layer: int = -1
    """-1: the last hidden state, behind the final norm; else the output of this decoder layer."""
    position: Literal["last", "mean"] = "last"
    """The last prompt token, just before the chain of thought; or the mean over the prompt (as SafeKey)."""
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    detach: bool = False
    """Train the head alone: a probe of what the model knows anyway."""


class TrainConfig(Recipe):
    """One training run."""

    model: str
    """A model folder, or a hub name with `revision`."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit of a hub model."""
    mix: str
    """A folder made by `curate build-mix`."""
    out: str
    """The run's folder."""
    method: Literal["full", "lora", "qlora"] = "full"
    """qlora: adapters over a base in 4 bits (nf4 with double quantisation), for the `qlora` extra."""
    lora: LoraConfig = LoraConfig()
    learning_rate: Annotated[float, Field(gt=0)] = 5e-6
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    num_train_epochs: Annotated[float, Field(gt=0)] = 1
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many optimiser steps instead of after `num_train_epochs`."""
    max_length: Annotated[int, Field(ge=8)] = 4096
    """Tokens of prompt and completion together."""
    overlong: Literal["error", "drop"] = "error"
    """What to do with longer rows: stop, or leave them out with a count. They are never cut."""
    packing: bool = False
    """Fill sequences of `max_length` tokens with several rows each; a batch then counts sequences, not rows."""
    padding_free: bool = False
    """Put the rows of a batch into one sequence instead of padding them; the batches stay what they are."""
    attn_implementation: (
        Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] | None
    ) = None
    """How transformers computes attention; its own choice by default."""
    per_device_train_batch_size: Annotated[int, Field(ge=1)] = 4
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 12
    """Rows per optimiser step = this x `per_device_train_batch_size` x number of devices (48 in the study)."""
    bf16: bool = True
    gradient_checkpointing: bool = True
    seed: int = 42
    logging_steps: Annotated[int, Field(ge=1)] = 1
    save_steps: Annotated[int, Field(ge=1)] = 50
    """A killed run goes on from its last whole checkpoint, one every so many steps."""
    eval_steps: Annotated[int, Field(ge=1)] | None = None
    """Measure the loss on each part of the mix's validation split every so many steps; at the end alone by default."""
    presafe: PresafeConfig | None = None
    """Auxiliary supervision; none for plain SFT."""
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Where the metrics go besides metrics.jsonl; keys of a service come from its own environment variables or login."""
