"""`sft run`: train a model on a mix, after proving that every row teaches what it should.

The run's folder:

    OUT/run.json        the settings in full, the mix's id and the base model's fingerprint; written first
    OUT/metrics.jsonl   one line per logged step
    OUT/checkpoints/    only while training; a killed run goes on from here when the command is given again
    OUT/model/          weights (safetensors) or adapter, tokenizer, chat template
    OUT/manifest.json   written last: where it stands, the run is finished
"""

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation import console
from curation.annotate import decisions
from curation.corpus.store import disk_error, hash_files, make_folder, write_file
from curation.engines.weights import Weights, fingerprint, load_tokenizer, locate
from curation.recipe import load_recipe
from curation.versions import versions
from schemas.errors import CorpusError, MissingExtraError, RecipeError
from schemas.ids import content_id
from schemas.manifest import Counts, InputFile, Manifest
from sft.proof.check import CLAIMS, Proof, demand, prove
from sft.proof.mix import TrainingMix, read_mix
from sft.proof.render import IGNORED, Rendered
from sft.training import loading
from sft.training.config import PresafeConfig, TrainConfig

STAGE = "sft"
PATIENCE = 120
"""Seconds that a process waits for the first one to claim the run's folder."""
LIBRARIES = ("lrm-curate", "torch", "transformers", "trl", "peft", "accelerate")


def run(config_path: Path) -> Manifest:
    """Train as a config file says; see `train`."""
    return train(load_recipe(config_path, TrainConfig).recipe)


def train(config: TrainConfig) -> Manifest:
    """Train, go on with a killed run, or return the manifest of a finished one.

    Raises:
        DataError: if the mix cannot be read.
        EngineError: if the model cannot be loaded.
        RenderError: if a row is not proven; nothing has been trained then.
        CorpusError: if the run's folder cannot be used.
        RecipeError: if the folder holds another run.
    """
    mix = read_mix(Path(config.mix))
    weights = locate(config.model, config.revision)
    identity = _identity(config, mix, weights)
    out = Path(config.out)
    if finished := _claim_folder(out, identity):
        console.say(f"{out}: this run is finished already; nothing to do")
        return finished
    tokenizer = load_tokenizer(weights)
    proof = prove(tokenizer, mix.rows, config.max_length, config.overlong)
    demand(proof, config.mix, config.model)
    held_out = prove(tokenizer, mix.validation, config.max_length, config.overlong)
    if mix.validation:
        demand(held_out, f"{config.mix} (validation)", config.model)
    try:
        return _train(config, mix, weights, tokenizer, proof, held_out, identity)
    except OSError as error:
        raise disk_error(out, error) from error


def _train(
    config: TrainConfig,
    mix: TrainingMix,
    weights: Weights,
    tokenizer: Any,
    proof: Proof,
    held_out: Proof,
    identity: dict[str, Any],
) -> Manifest:
    try:
        from sft.training import trainer as trl_home
    except ImportError as error:
        raise MissingExtraError("trl", "train") from error

    out = Path(config.out)
    refused = _refused(config.presafe, proof) if config.presafe else None
    model = loading.load(config, weights)
    trainer = trl_home.build(config, model, tokenizer, proof.rendered, out, refused, _by_part(held_out))
    checkpoint = trl_home.last_checkpoint(out)
    _announce(config, proof, trainer.args.world_size, checkpoint)
    with console.progress("train", total=None, unit="steps") as advance:
        trainer.add_callback(trl_home.MetricsFile(out / "metrics.jsonl", advance))
        trainer.add_callback(trl_home.Watch(out))
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        losses = trainer.evaluate() if held_out.rendered else {}
    manifest = _manifest(config, mix, proof, identity)
    manifest.summary.update(
        steps=result.global_step,
        train_loss=round(result.training_loss, 6),
        validation_loss=_validation_losses(losses),
        trained_parameters=trl_home.trained_parameters(trainer),
    )
    if trainer.is_world_process_zero():
        _finish(config, trainer, tokenizer, manifest, loading.low(config) if config.bf16 else None)
    trainer.accelerator.wait_for_everyone()
    return manifest


def _finish(config: TrainConfig, trainer: Any, tokenizer: Any, manifest: Manifest, dtype: str | None) -> None:
    """Write the model, then the manifest, which says that the run is finished."""
    from sft.training import trainer as trl_home

    out = Path(config.out)
    _appear(out / "model", lambda folder: trl_home.save_model(trainer, tokenizer, folder, dtype))
    if config.presafe:
        from sft.training.presafe import save_head

        save_head(trainer.head, config.presafe, out)
    manifest.summary["model"] = fingerprint(locate(str(out / "model")))
    write_file(out / "manifest.json", manifest.model_dump_json(indent=2).encode() + b"\n")
    shutil.rmtree(out / trl_home.CHECKPOINTS, ignore_errors=True)


def _by_part(proof: Proof) -> dict[str, list[Rendered]]:
    parts: dict[str, list[Rendered]] = {}
    for row, rendered in zip(proof.kept, proof.rendered, strict=True):
        parts.setdefault(row.part, []).append(rendered)
    return parts


def _validation_losses(metrics: Mapping[str, float]) -> dict[str, float]:
    """Loss of each part, from what the trainer calls eval_PART_loss."""
    return {
        name.removeprefix("eval_").removesuffix("_loss"): round(value, 6)
        for name, value in metrics.items()
        if name.startswith("eval_") and name.endswith("_loss") and "presafe" not in name
    }


def _refused(settings: PresafeConfig, proof: Proof) -> list[float]:
    from sft.training.presafe import targets

    found = targets([row.prompt_id for row in proof.kept], decisions.read(Path(settings.decisions)), settings)
    without = sum(value != value for value in found)
    if without:
        console.say(
            f"sft: {without} of {len(found)} rows have no decision; the head does not learn from them"
        )
    return found


def _identity(config: TrainConfig, mix: TrainingMix, weights: Weights) -> dict[str, Any]:
    identity = {
        "config": config.model_dump(mode="json", exclude={"out"}),
        "mix_id": mix.mix_id,
        "base_model": f"{weights.name}@{fingerprint(weights)}",
    }
    if config.presafe:
        decisions.read(
            Path(config.presafe.decisions)
        )  # says what is wrong with the file before anything is loaded
        identity["decisions"] = hash_files([Path(config.presafe.decisions)])
    return identity


def _claim_folder(out: Path, identity: dict[str, Any]) -> Manifest | None:
    """Make sure the folder is this run's; returns its manifest where the run is finished."""
    marker = out / "run.json"
    if os.environ.get("RANK", "0") != "0":
        _wait_for(
            marker
        )  # the first process makes it; until then the folder looks like one of something else
    if out.is_dir() and any(out.iterdir()) and not marker.is_file():
        raise CorpusError(f"{out}: the folder holds other things; name a new one as `out`")
    if marker.is_file() and (differing := _differences(json.loads(marker.read_bytes()), identity)):
        raise RecipeError(
            f"{out}: holds a run with another {', '.join(differing)}; name a new folder as `out`, or delete this one"
        )
    if (out / "manifest.json").is_file() and (out / "model").is_dir():
        return Manifest.model_validate_json((out / "manifest.json").read_bytes())
    make_folder(out)
    write_file(marker, json.dumps(identity, indent=2, ensure_ascii=False).encode() + b"\n")
    return None


def _wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not path.is_file() and time.monotonic() < end:
        time.sleep(0.1)


def _differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    ours, theirs = here["config"], there.get("config", {})
    defaults = {
        name: field.default for name, field in TrainConfig.model_fields.items()
    }  # settings it did not have yet
    named = [name for name in ours if ours[name] != theirs.get(name, defaults[name])]
    return named + [
        name for name in ("mix_id", "base_model", "decisions") if here.get(name) != there.get(name)
    ]


def _announce(config: TrainConfig, proof: Proof, devices: int, checkpoint: Path | None) -> None:
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps * devices
    dropped = f", {len(proof.overlong)} left out as too long" if proof.overlong else ""
    unit = "packed sequences" if config.packing else "rows"
    console.say(f"sft: {len(proof.rendered)} rows proven{dropped}; {batch} {unit} per step")
    if checkpoint:
        console.say(f"sft: going on from {checkpoint.name}")


def _appear(folder: Path, write: Any) -> None:
    building = folder.parent / f".building-{folder.name}"
    for stale in (building, folder):
        if stale.exists():
            shutil.rmtree(stale)
    write(building)
    building.rename(folder)


def _manifest(config: TrainConfig, mix: TrainingMix, proof: Proof, identity: dict[str, Any]) -> Manifest:
    counts = Counts(rows=proof.rows, kept=len(proof.rendered))
    if proof.overlong:
        counts.add("filtered", "overlong", len(proof.overlong))
    # A manifest travels, so the places of this machine stay in run.json.
    recipe = {**identity["config"], "model": identity["base_model"], "mix": mix.mix_id}
    tokens = [len(row.input_ids) for row in proof.rendered]
    return Manifest(
        stage=STAGE,
        inputs=[InputFile(name=Path(config.mix).resolve().name, blake2b=mix.mix_id)],
        recipe=recipe,
        recipe_id=content_id(recipe),
        seed=config.seed,
        versions=versions(*LIBRARIES),
        counts=counts,
        summary={
            "mix_id": mix.mix_id,
            "mix_recipe": mix.manifest.recipe_id,
            "base_model": identity["base_model"],
            "tokens": sum(tokens),
            "tokens_in_loss": sum(label != IGNORED for row in proof.rendered for label in row.labels),
            "longest_row": max(tokens),
            "proven": {claim: len(proof.rendered) for claim in CLAIMS},
        },
    )
