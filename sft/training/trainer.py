"""The only user of TRL: its SFTTrainer and DPOTrainer, on rows that are already rendered and checked.

TRL's own preprocessing (template, tokenising, truncation) is disabled: it would silently drop reasoning or truncate answers.
What we use is its training loop, its collator (which keeps our labels and pads them with -100, so EOS is learned even if it
is also the padding token) and its checkpoints.
"""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate.utils import parse_flag_from_env
from transformers import PrinterCallback, ProgressCallback
from transformers.integrations.integration_utils import TensorBoardCallback
from trl.data_utils import pack_dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from schemas.errors import RecipeError
from sft.proof.render import RenderedRow
from sft.training.callbacks import TokenCount
from sft.training.config import TrainConfig
from sft.training.losses.anchored import AnchoredLoss
from sft.training.losses.weighted import WeightedLoss
from sft.training.packing import require_isolation, require_unsharded
from sft.training.preferences import RenderedPair
from sft.training.presafe import COLUMN, AuxiliaryHead
from sft.training.saving import require_gathering
from sft.training.snapshots import TakesSnapshots
from sft.training.tracking import Tracker

CHECKPOINTS = "checkpoints"
PAIRS = "pairs"
"""Folder of DPO's pairs, beside the checkpoints and removed with them."""


class PairTrainer(DPOTrainer):
    """TRL's trainer on pairs of token ids."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def build(
    config: TrainConfig,
    model: Any,
    tokenizer: Any,
    rows: Sequence[Any],
    out: Path,
    refused: Sequence[float] | None = None,
    validation: Mapping[str, Sequence[RenderedRow]] | None = None,
    of_tokens: Mapping[str, Sequence[Sequence[float]]] | None = None,
) -> SFTTrainer | DPOTrainer:
    """Build a trainer on checked rows; checkpoints and TensorBoard logs go to the run's folder `out`.

    Args:
        config: the run.
        model: the model to train.
        tokenizer: its tokenizer.
        rows: the training rows, or pairs for DPO.
        out: the run's folder.
        refused: for PreSafe the teacher's decision for each row's prompt, NaN if it has none.
        validation: checked rows of each part, for measuring the loss only.
        of_tokens: columns with a value for each token of each row: its weight, and whether it is held to the base.
    """
    if config.method == "qlora":
        model = _ready_for_adapters(model, config.gradient_checkpointing)
    trainer = (
        _for_pairs(config, model, tokenizer, rows, out)
        if config.dpo
        else _for_rows(config, model, tokenizer, rows, out, refused, validation or {}, of_tokens or {})
    )
    if config.method == "qlora":
        _adapters_in_float32(trainer)
    if config.packing or config.padding_free:
        require_unsharded(trainer, "packing, padding_free")
        require_isolation(trainer.model, config.bf16)
    if config.token_weights and isinstance(trainer, WeightedLoss):
        trainer.weigh()
    if config.kl_to_base and isinstance(trainer, AnchoredLoss):
        trainer.anchor(config.kl_to_base)
    if config.presafe and isinstance(trainer, AuxiliaryHead):
        trainer.supervise(config.presafe)
    for callback in (PrinterCallback, ProgressCallback):  # both print to stdout, which is for results
        trainer.remove_callback(callback)
    trainer.add_callback(TokenCount(trainer))
    if config.snapshots:
        require_unsharded(trainer, "snapshots")
        trainer.add_callback(TakesSnapshots(out, config.snapshots))
    if config.report_to == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        board: Any = TensorBoardCallback
        trainer.add_callback(board(SummaryWriter(str(out / "tensorboard"))))
    elif config.report_to != "none":
        trainer.add_callback(Tracker(config))
    require_gathering(trainer)
    return trainer


def _for_rows(
    config: TrainConfig,
    model: Any,
    tokenizer: Any,
    rows: Sequence[RenderedRow],
    out: Path,
    refused: Sequence[float] | None,
    validation: Mapping[str, Sequence[RenderedRow]],
    of_tokens: Mapping[str, Sequence[Sequence[float]]],
) -> SFTTrainer:
    unknown = [float("nan")] if refused is not None else None
    rows_to_train = _dataset(rows, refused, of_tokens)
    if config.packing:
        rows_to_train = _packed(rows_to_train, config.max_length)
    arguments = SFTConfig(
        **_arguments(config, out / CHECKPOINTS, bool(validation)),
        packing=config.packing,
        padding_free=config.padding_free or config.packing,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return _kind(config)(
        model=model,
        args=arguments,
        train_dataset=rows_to_train,
        eval_dataset={
            part: _dataset(held_out, unknown and unknown * len(held_out), {})
            for part, held_out in validation.items()
        }
        or None,
        processing_class=tokenizer,
        peft_config=None if config.method == "full" else _adapter(config, model),
    )


def _for_pairs(
    config: TrainConfig, model: Any, tokenizer: Any, pairs: Sequence[RenderedPair], out: Path
) -> DPOTrainer:
    """A trainer whose reference is the base: under LoRA the model without its adapter, else log probabilities computed beforehand.

    The surprise: under FSDP TRL computes these with a second model. It would load it where all processes but the first leave weights
    empty (`fsdp_cpu_ram_efficient_loading`), and nothing fills them; so it is given a copy of the first, for as long as it is needed.
    """
    assert config.dpo
    arguments = DPOConfig(
        **_arguments(config, out / CHECKPOINTS, False),
        beta=config.dpo.beta,
        precompute_ref_log_probs=config.method == "full",
    )
    copied = config.method == "full" and parse_flag_from_env("ACCELERATE_USE_FSDP")
    trainer = PairTrainer(
        model=model,
        ref_model=copy.deepcopy(model) if copied else None,
        args=arguments,
        train_dataset=_pairs(pairs, arguments, out / CHECKPOINTS / PAIRS),
        processing_class=tokenizer,
        peft_config=None if config.method == "full" else _adapter(config, model),
    )
    trainer.ref_model = None  # its log probabilities are in the data set
    return trainer


def _pairs(pairs: Sequence[RenderedPair], arguments: DPOConfig, folder: Path) -> datasets.Dataset:
    """The pairs as a data set on disk: beside it the first process caches the reference's log probabilities, where all find them."""
    length = [pair.chosen.prompt_length for pair in pairs]
    columns = {
        "prompt_ids": [pair.chosen.input_ids[:n] for pair, n in zip(pairs, length, strict=True)],
        "chosen_ids": [pair.chosen.input_ids[n:] for pair, n in zip(pairs, length, strict=True)],
        "rejected_ids": [pair.rejected.input_ids[n:] for pair, n in zip(pairs, length, strict=True)],
    }
    datasets.disable_progress_bars()
    with arguments.main_process_first(local=False):
        if arguments.process_index == 0:
            datasets.Dataset.from_dict(columns).save_to_disk(str(folder))
        return datasets.Dataset.load_from_disk(str(folder))


def _kind(config: TrainConfig) -> type[SFTTrainer]:
    """TRL's trainer, with what the run adds to its loss."""
    added = {
        AuxiliaryHead: config.presafe,
        AnchoredLoss: config.kl_to_base,
        WeightedLoss: config.token_weights,
    }
    mixins = [mixin for mixin, wanted in added.items() if wanted]
    kind: type[SFTTrainer] = type("OwnTrainer", (*mixins, SFTTrainer), {})
    return kind if mixins else SFTTrainer


def _dataset(
    rows: Sequence[RenderedRow],
    refused: Sequence[float] | None,
    of_tokens: Mapping[str, Sequence[Sequence[float]]],
) -> datasets.Dataset:
    columns: dict[str, list[Any]] = {
        **{name: list(values) for name, values in of_tokens.items()},
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


def _arguments(config: TrainConfig, folder: Path, measures: bool) -> dict[str, Any]:
    """The arguments of either trainer."""
    same_name = (
        "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "num_train_epochs",
        "per_device_train_batch_size", "gradient_accumulation_steps", "bf16", "gradient_checkpointing", "seed",
        "logging_steps", "save_steps",
    )  # fmt: skip
    return {
        "output_dir": str(folder),
        **{name: getattr(config, name) for name in same_name},
        "report_to": "none",  # ours are added explicitly: the trainer's own would write into the checkpoints
        "max_steps": config.max_steps or -1,
        "max_length": None,  # rows are complete and already checked against max_length
        "save_strategy": "steps",
        "eval_strategy": "steps" if measures and config.eval_steps else "no",
        "eval_steps": config.eval_steps,
        "per_device_eval_batch_size": config.per_device_train_batch_size,
        "logging_nan_inf_filter": False,  # a NaN or infinite loss must be reported
        "save_total_limit": 1,
        "use_cpu": not torch.accelerator.is_available(),
        "disable_tqdm": True,
    }


def _adapter(config: TrainConfig, model: Any) -> Any:
    """peft's settings.

    Raises:
        RecipeError: for adapters of the output layer, of whose weight TRL computes log probabilities without them.
    """
    from peft import LoraConfig

    wanted, output = config.lora.target_modules, model.get_output_embeddings()
    name = next(
        (name for name, module in model.named_modules() if output is not None and module is output), ""
    )
    if name and _targets(wanted, name):
        raise RecipeError(
            f"lora.target_modules: {name} is the output layer, whose adapter would not be trained; leave it out (all-linear does)"
        )
    return LoraConfig(task_type="CAUSAL_LM", **config.lora.model_dump())


def _targets(wanted: str | Sequence[str], name: str) -> bool:
    """Whether peft would put an adapter on a module of this name."""
    if not isinstance(wanted, str):
        return any(name == one or name.endswith(f".{one}") for one in wanted)
    try:
        return re.fullmatch(wanted, name) is not None
    except re.error as error:
        raise RecipeError(
            f"lora.target_modules: no regular expression ({error}); name modules in a list, or all-linear"
        ) from error


def _ready_for_adapters(model: Any, gradient_checkpointing: bool) -> Any:
    import peft

    prepare: Any = peft.prepare_model_for_kbit_training
    return prepare(model, use_gradient_checkpointing=gradient_checkpointing)


def _adapters_in_float32(trainer: Any) -> None:
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
