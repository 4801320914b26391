"""The recipe of `sft run`, with the names of TRL and torchtune. Defaults are the safety study's settings.

Paths are relative to the current folder.
"""

from typing import Annotated, Literal

from pydantic import Field

from curation.engines.templates import TemplateSettings
from curation.recipe import Recipe
from schemas.choices import ControlPolicy, LossOn, PromptKind
from sft.proof.markup import ToldMarkup
from sft.proof.weights import TokenWeights


class LoraConfig(Recipe):
    """Settings of `method: lora` and `qlora`, with peft's names."""

    r: Annotated[int, Field(ge=1)] = 16
    lora_alpha: Annotated[float, Field(gt=0)] = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: str | list[str] = "all-linear"


class PresafeConfig(Recipe):
    """PreSafe's auxiliary supervision (arXiv 2603.17368); the paper gives none of these values."""

    decisions: str
    """JSONL file of the teacher's decisions, made by `curate decide`."""
    weight: Annotated[float, Field(ge=0)] = 0.2
    """lambda: weight of the head's loss relative to the SFT loss."""
    labels: Literal["soft", "hard"] = "soft"
    """Train on the teacher's probability, or on its decision at 0.5."""
    layer: int | Literal["best"] = -1
    """-1: the last hidden state, after the final norm; else the output of this decoder layer; best: that in which a regression reads the decisions best."""
    position: Literal["last", "mean"] = "last"
    """The last prompt token, just before the chain of thought; or the mean over the prompt (as SafeKey)."""
    warm_start: bool = True
    """Begin with a head fitted to the untrained model's states, else with zeros, which give the model no gradient at first."""
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Constant; the model's schedule does not apply."""
    detach: bool = False
    """Train only the head: a probe of what the model already represents."""


class DpoConfig(Recipe):
    """Direct preference optimisation (arXiv 2305.18290); the mix is then a folder of `curate build-pairs`."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    """How strongly the model is held to the base: the loss is -log sigmoid(beta x (log ratio of chosen - that of rejected))."""


class KlToBase(Recipe):
    """Holds rows to the untrained model, after ThinkSafe (arXiv 2601.23143)."""

    weight: Annotated[float, Field(gt=0)] = 0.1
    """Of the mean KL(base || model) per token, beside the loss."""
    kinds: Annotated[tuple[PromptKind, ...], Field(min_length=1)] = ("benign", "math", "code")
    """Rows by the kind of their prompt."""


class TrainConfig(Recipe):
    """One training run."""

    model: str
    """A model folder, or a hub name with `revision`."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit of a hub model."""
    mix: str
    """A folder made by `curate build-mix`, or for DPO by `curate build-pairs`."""
    out: str
    """Output folder of the run."""
    method: Literal["full", "lora", "qlora"] = "full"
    """qlora: adapters on a 4-bit base (nf4 with double quantisation); needs the `qlora` extra."""
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
    """Maximum tokens of prompt and completion together."""
    overlong: Literal["error", "drop"] = "error"
    """Longer rows: stop with an error, or drop and count them. They are never truncated."""
    loss_on: LossOn = "last"
    """The last turn of a conversation, or every turn of the assistant."""
    control_tokens: ControlPolicy = "refuse"
    """A text with a control token of the model (`<|im_end|>`): stop with an error, put an invisible character inside, or let it be."""
    markup: ToldMarkup | None = None
    """The marks around reasoning and answer, for a family whose chat template does not show them."""
    chat_template_kwargs: TemplateSettings = Field(default_factory=dict)
    """What the chat template is given by name, such as `enable_thinking: true`; inference needs the same."""
    packing: bool = False
    """Fill sequences of `max_length` tokens with several rows each; a batch then counts sequences, not rows."""
    padding_free: bool = False
    """Concatenate the rows of a batch into one sequence instead of padding them; batches stay the same."""
    attn_implementation: (
        Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] | None
    ) = None
    """Attention implementation of transformers; its default if unset."""
    per_device_train_batch_size: Annotated[int, Field(ge=1)] = 4
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 12
    """Rows per optimiser step = this x `per_device_train_batch_size` x number of devices (48 in the study)."""
    bf16: bool = True
    """Mixed precision, where the hardware has units for it: a CPU without them trains in float32."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """auto: as `bf16` says and the hardware can; else this, whatever either says."""
    gradient_checkpointing: bool = True
    seed: int = 42
    logging_steps: Annotated[int, Field(ge=1)] = 1
    save_steps: Annotated[int, Field(ge=1)] = 50
    """Steps between checkpoints; an interrupted run resumes from its last complete one."""
    snapshots: Annotated[int, Field(ge=0)] = 0
    """Keep the trained weights and Adam's second moments at so many steps, for `sft attribute`; 8 bytes per trained parameter each."""
    eval_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps between measurements of the loss on each part of the mix's validation split; by default only at the end."""
    dpo: DpoConfig | None = None
    """Train on preference pairs; null for SFT. A batch then counts pairs. The reference model is the base."""
    token_weights: TokenWeights | None = None
    """Weights of parts of the rows in the loss; null for the same everywhere."""
    kl_to_base: KlToBase | None = None
    """KL to the untrained model on benign rows; takes one more forward pass on them, and in full training a frozen copy of the model."""
    presafe: PresafeConfig | None = None
    """Auxiliary supervision; null for plain SFT."""
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Where metrics go besides metrics.jsonl; a service's keys come from its own environment variables or login."""
