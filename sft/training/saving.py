"""What a run keeps at its end: the model as a standard folder, from however many shards, then the manifest.

The surprise: the weights of a sharded model (FSDP, ZeRO-3) are nowhere whole, and gathering them needs every process, though only the first
writes. So all call `whole_state`, and what it gives the first is written.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from curation.corpus.store import write_file
from curation.engines.weights import fingerprint, locate
from schemas.errors import RecipeError
from schemas.manifest import Manifest


def finish(
    trainer: Any, tokenizer: Any, out: Path, manifest: Manifest, dtype: str | None, checkpoints: Path
) -> None:
    """Write the model, then the manifest, which marks the run as finished. Every process calls this, and the first one writes.

    Args:
        trainer: after training.
        tokenizer: goes with the model.
        out: the run's folder.
        manifest: what the run did; the model's fingerprint is added.
        dtype: of the saved weights, if not as they were trained.
        checkpoints: what is no longer needed then.
    """
    state = whole_state(trainer, dtype)
    if trainer.is_world_process_zero():
        _appear(out / "model", lambda folder: save_model(trainer, tokenizer, folder, dtype, state))
        if hasattr(trainer, "head"):
            from sft.training.presafe import save_head

            save_head(trainer.head, trainer.where, out)
        manifest.summary["model"] = fingerprint(locate(str(out / "model")))
        write_file(out / "manifest.json", manifest.model_dump_json(indent=2).encode() + b"\n")
        shutil.rmtree(checkpoints, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()


def require_gathering(trainer: Any) -> None:
    """Refuse ZeRO-3 that would not gather the weights at the end of the run.

    Raises:
        RecipeError: if the accelerate config does not say so.
    """
    if not trainer.is_deepspeed_enabled:
        return
    stages = trainer.accelerator.state.deepspeed_plugin.deepspeed_config["zero_optimization"]
    if stages.get("stage") == 3 and not stages.get("stage3_gather_16bit_weights_on_model_save"):
        raise RecipeError(
            "the accelerate config shards weights (ZeRO-3) and would not gather them to save the model; add zero3_save_16bit_model: true"
        )


def whole_state(trainer: Any, dtype: str | None) -> dict[str, torch.Tensor] | None:
    """The weights of a sharded model, gathered from all processes, which must all call this; null for a model that each process has whole."""
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return None
    state: dict[str, torch.Tensor] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    model = trainer.accelerator.unwrap_model(trainer.model)
    first = {name for name, _ in model.named_parameters()}
    tied = {
        name for name, _ in model.named_parameters(remove_duplicate=False)
    } - first  # gathered once for each name
    wanted = getattr(torch, dtype) if dtype else None
    return {
        name: one.to(wanted) if one.is_floating_point() else one
        for name, one in (state or {}).items()
        if name not in tied
    }


def save_model(
    trainer: Any,
    tokenizer: Any,
    folder: Path,
    dtype: str | None,
    state: dict[str, torch.Tensor] | None = None,
) -> None:
    """Save the trained weights (for LoRA the adapter only) and the tokenizer as a standard model folder."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if state is None and dtype:
        model = model.to(getattr(torch, dtype))
    model.save_pretrained(folder, state_dict=state)
    if state is not None and dtype and (folder / "config.json").is_file():
        model.config.dtype = dtype  # of what was written, and not of the shards
        model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def trained_parameters(trainer: Any) -> int:
    """Number of trainable parameters."""
    model: Any = trainer.model
    return int(model.num_parameters(only_trainable=True))


def _appear(folder: Path, write: Callable[[Path], None]) -> None:
    building = folder.parent / f".building-{folder.name}"
    for stale in (building, folder):
        if stale.exists():
            shutil.rmtree(stale)
    write(building)
    building.rename(folder)
