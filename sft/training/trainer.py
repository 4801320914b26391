"""The only user of TRL: its SFTTrainer, on rows that are already rendered and checked.

TRL's own preprocessing (template, tokenising, truncation) is disabled: it would silently drop reasoning or truncate answers.
What we use is its training loop, its collator (which keeps our labels and pads them with -100, so EOS is learned even if it
is also the padding token) and its checkpoints.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import ExportableState
from trl.data_utils import pack_dataset
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from curation.console import Advance
from schemas.errors import RecipeError, TrainingError
from sft.proof.render import RenderedRow
from sft.training.config import TrainConfig
from sft.training.packing import require_isolation, require_unsharded
from sft.training.presafe import COLUMN, AuxiliaryHead
from sft.training.tracking import Tracker

CHECKPOINTS = "checkpoints"
SIGNIFICANT = 6
"""Significant digits of a metric."""
WINDOW = 10
"""Number of logged losses that are averaged to detect divergence."""
DIVERGED = 3.0
"""A run has diverged if its mean loss exceeds its best by this factor."""


class PresafeTrainer(AuxiliaryHead, SFTTrainer):  # type: ignore[misc]  # the mixin types the trainer as Any
    """TRL's trainer with PreSafe's head."""


def build(
    config: TrainConfig,
    model: Any,
    tokenizer: Any,
    rows: Sequence[RenderedRow],
    out: Path,
    refused: Sequence[float] | None = None,
    validation: Mapping[str, Sequence[RenderedRow]] | None = None,
) -> SFTTrainer:
    """Build a trainer on checked rows; checkpoints and TensorBoard logs go to the run's folder `out`.

    Args:
        config: the run.
        model: the model to train.
        tokenizer: its tokenizer.
        rows: the training rows.
        out: the run's folder.
        refused: for PreSafe the teacher's decision for each row's prompt, NaN if it has none.
        validation: checked rows of each part, for measuring the loss only.
    """
    unknown = [float("nan")] if refused is not None else None
    rows_to_train = _dataset(rows, refused)
    if config.packing:
        rows_to_train = _packed(rows_to_train, config.max_length)
    if config.method == "qlora":
        model = _ready_for_adapters(model, config.gradient_checkpointing)
    trainer = (PresafeTrainer if config.presafe else SFTTrainer)(
        model=model,
        args=_arguments(config, out / CHECKPOINTS, bool(validation)),
        train_dataset=rows_to_train,
        eval_dataset={
            part: _dataset(held_out, unknown and unknown * len(held_out))
            for part, held_out in (validation or {}).items()
        }
        or None,
        processing_class=tokenizer,
        peft_config=None if config.method == "full" else _adapter(config),
    )
    if config.method == "qlora":
        _adapters_in_float32(trainer)
    if config.packing or config.padding_free:
        require_unsharded(trainer)
        require_isolation(trainer.model, config.bf16)
    if config.presafe and isinstance(trainer, PresafeTrainer):
        trainer.supervise(config.presafe)
    for callback in (PrinterCallback, ProgressCallback):  # both print to stdout, which is for results
        trainer.remove_callback(callback)
    trainer.add_callback(TokenCount(trainer))
    if config.report_to == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        board: Any = TensorBoardCallback
        trainer.add_callback(board(SummaryWriter(str(out / "tensorboard"))))
    elif config.report_to != "none":
        trainer.add_callback(Tracker(config))
    return trainer


def _dataset(rows: Sequence[RenderedRow], refused: Sequence[float] | None) -> datasets.Dataset:
    columns: dict[str, list[Any]] = {
        "input_ids": [row.input_ids for row in rows],
        "labels": [row.labels for row in rows],
    }
    if refused is not None:
        columns[COLUMN] = [[value] for value in refused]
    return datasets.Dataset.from_dict(columns)


def _packed(rows: datasets.Dataset, length: int) -> datasets.Dataset:
    """Pack rows into sequences of at most `length` tokens with TRL's best-fit; column seq_lengths has their boundaries."""
    numbered: dict[str, list[Any]] = {
        "row": [[number] * len(ids) for number, ids in enumerate(rows["input_ids"])]
    }
    datasets.disable_progress_bars()
    sequences = pack_dataset(datasets.Dataset.from_dict(numbered), length, "bfd", {"batch_size": len(rows)})
    groups = [list(dict.fromkeys(numbers)) for numbers in sequences["row"]]
    original = rows.to_dict()
    packed = {
        name: [[item for number in group for item in of_rows[number]] for group in groups]
        for name, of_rows in original.items()
    }
    return datasets.Dataset.from_dict({**packed, "seq_lengths": sequences["seq_lengths"]})


def last_checkpoint(out: Path) -> Path | None:
    """The newest complete checkpoint of a run: the trainer writes trainer_state.json last."""
    states = sorted(
        (out / CHECKPOINTS).glob("checkpoint-*/trainer_state.json"),
        key=lambda p: int(p.parent.name.split("-")[1]),
    )
    for state in reversed(states):
        try:
            json.loads(state.read_bytes())
        except ValueError:
            continue
        return state.parent
    return None


class Watch(TrainerCallback):
    """Stops a run whose loss is not finite or has diverged."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._losses: list[float] = []
        self._best = math.inf

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        self._losses = [*self._losses, loss][-WINDOW:]
        mean = sum(self._losses) / len(self._losses)
        if len(self._losses) == WINDOW:
            self._best = min(self._best, mean)
        if not math.isfinite(loss) or mean > DIVERGED * self._best:
            best = f", after a best of {self._best:.4g}" if math.isfinite(self._best) else ""
            told = (
                f"the mean loss of the last {WINDOW} logs is {mean:.4g}"
                if math.isfinite(loss)
                else f"the loss is {loss:.4g}"
            )
            raise TrainingError(
                f"{self._out}: step {state.global_step}: {told}{best}; lower learning_rate or add warmup_steps, and set `out` to a new folder"
            )


class TokenCount(TrainerCallback, ExportableState):
    """Keeps the number of trained tokens in checkpoints: TRL counts from zero again in a resumed run."""

    def __init__(self, trainer: SFTTrainer) -> None:
        self._trainer: Any = trainer

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"num_tokens": self._trainer._total_train_tokens}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kept = state.stateful_callbacks.get(type(self).__name__, {})
        if state.global_step:
            self._trainer._total_train_tokens = int(kept.get("attributes", {}).get("num_tokens", 0))


class MetricsFile(TrainerCallback):
    """Writes every logged step to metrics.jsonl, and advances the progress bar.

    A resumed run rewrites the file from the checkpoint's history first, so repeated steps are listed once.
    """

    def __init__(self, path: Path, advance: Advance) -> None:
        self._path = path
        self._advance = advance

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._path.write_text("".join(_line(entry) for entry in state.log_history), encoding="utf-8")
        self._advance(state.global_step, total=state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._advance()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            with self._path.open("a", encoding="utf-8") as handle:
                handle.write(_line(state.log_history[-1]))


def save_model(trainer: SFTTrainer, tokenizer: Any, folder: Path, dtype: str | None) -> None:
    """Save the trained weights (for LoRA the adapter only) and the tokenizer as a standard model folder."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if dtype:
        model = model.to(getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def trained_parameters(trainer: SFTTrainer) -> int:
    """Number of trainable parameters."""
    model: Any = trainer.model
    return int(model.num_parameters(only_trainable=True))


def _arguments(config: TrainConfig, folder: Path, measures: bool) -> SFTConfig:
    same_name = (
        "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "num_train_epochs",
        "per_device_train_batch_size", "gradient_accumulation_steps", "bf16", "gradient_checkpointing", "seed",
        "logging_steps", "save_steps",
    )  # fmt: skip
    return SFTConfig(
        output_dir=str(folder),
        **{name: getattr(config, name) for name in same_name},
        report_to="none",  # ours are added explicitly: the trainer's own would write into the checkpoints
        max_steps=config.max_steps or -1,
        max_length=None,  # rows are complete and already checked against max_length
        packing=config.packing,
        padding_free=config.padding_free or config.packing,
        dataset_kwargs={"skip_prepare_dataset": True},
        save_strategy="steps",
        eval_strategy="steps" if measures and config.eval_steps else "no",
        eval_steps=config.eval_steps,
        per_device_eval_batch_size=config.per_device_train_batch_size,
        logging_nan_inf_filter=False,  # a NaN or infinite loss must be reported
        save_total_limit=1,
        use_cpu=not torch.accelerator.is_available(),
        disable_tqdm=True,
    )


def _adapter(config: TrainConfig) -> Any:
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", **config.lora.model_dump())


def _ready_for_adapters(model: Any, gradient_checkpointing: bool) -> Any:
    import peft

    prepare: Any = peft.prepare_model_for_kbit_training
    return prepare(model, use_gradient_checkpointing=gradient_checkpointing)


def _adapters_in_float32(trainer: SFTTrainer) -> None:
    """Undo TRL's cast of adapters to bfloat16 under QLoRA, which loses the small updates at the end of a schedule.

    Raises:
        RecipeError: under FSDP and DeepSpeed, which have not been tested with a 4-bit base.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise RecipeError(
            "method: qlora: trains on one device or under DDP; choose another accelerate config, or method: lora"
        )
    model: Any = trainer.model
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _line(entry: dict[str, Any]) -> str:
    rounded = {k: float(f"{v:.{SIGNIFICANT}g}") if isinstance(v, float) else v for k, v in entry.items()}
    return json.dumps(rounded) + "\n"
