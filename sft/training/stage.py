"""`sft run`: train a model on a mix, after checking every row.

The run's folder:

    OUT/run.json        the complete recipe, the mix's id and the base model's fingerprint; written first
    OUT/metrics.jsonl   one line per logged step
    OUT/checkpoints/    only while training; an interrupted run resumes from here when the command is repeated
    OUT/snapshots/      what `sft attribute` replays, if the recipe requests it (`sft.training.snapshots`)
    OUT/model/          weights (safetensors) or adapter, tokenizer, chat template
    OUT/manifest.json   written last: if it exists, the run is finished
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from curation import console
from curation.annotate import decisions
from curation.corpus.store import disk_error, make_folder, write_file
from curation.engines.weights import Weights, base_places, fingerprint, load_tokenizer, locate, places
from curation.hardware import use_threads
from curation.reading import hash_files, read_model
from curation.recipe import load_recipe
from curation.versions import versions
from schemas.errors import CorpusError, RecipeError, require
from schemas.manifest import Counts, InputFile, Manifest
from sft.proof.check import CLAIMS, Proof, prove, require_proof
from sft.proof.mix import TrainingMix, read_mix
from sft.proof.ranges import read_ranges
from sft.proof.render import IGNORED, RenderedRow
from sft.proof.templated import Rendering, writes_the_date
from sft.training import loading, preferences
from sft.training.config import PresafeConfig, TrainConfig

STAGE = "sft"
KEEPS = "the last checkpoint is kept (`save_steps`); the same command resumes from it"
PATIENCE = 120
"""Seconds that a process waits for the first one to create the run's folder."""
PLACES = ("model", "mix")
"""Settings that say where something is, which is compared by its content: a run and what it uses may be moved together."""
LIBRARIES = ("lrm-curate", "torch", "transformers", "trl", "peft", "accelerate")


def show(manifest: Manifest) -> None:
    """Print how long a finished run was, and its mean loss."""
    console.result(f"{manifest.summary['steps']} steps, mean loss {manifest.summary['train_loss']:.2f}")


def run(config_path: Path) -> Manifest:
    """Train by a recipe file; see `train`."""
    return train(load_recipe(config_path, TrainConfig).recipe)


def train(config: TrainConfig) -> Manifest:
    """Train, resume an interrupted run, or return the manifest of a finished one.

    Raises:
        DataError: if the mix cannot be read.
        EngineError: if the model cannot be loaded.
        RenderError: if a row fails a check; nothing has been trained then.
        CorpusError: if the run's folder cannot be used.
        RecipeError: if the folder has a different run.
        MissingExtraError: if a library that the recipe wants is not installed.
    """
    if config.loss_on == "all":
        _require_the_last_turn(config)
    _require_libraries(config)
    mix = read_mix(Path(config.mix))
    preferences.require_settings(config, mix)
    weights = locate(config.model, config.revision)
    tokenizer = load_tokenizer(weights)
    out = Path(config.out)
    day = _day(out) if writes_the_date(tokenizer) else None
    identity = _identity(config, mix, weights) | ({"prompt_date": day} if day else {})
    if finished := _claim_folder(out, identity):
        console.say(f"{out}: the run is already finished")
        return finished
    rendering = Rendering(
        config.loss_on, config.control_tokens, day, config.markup, config.chat_template_kwargs
    )
    proof = prove(tokenizer, mix.rows, config.max_length, config.overlong, rendering)
    require_proof(proof, config.mix, config.model)
    held_out = prove(tokenizer, mix.validation, config.max_length, config.overlong, rendering)
    if mix.validation:
        require_proof(held_out, f"{config.mix} (validation)", config.model)
    try:
        return _train(config, mix, weights, tokenizer, proof, held_out, identity)
    except OSError as error:
        raise disk_error(out, error) from error


def _require_the_last_turn(config: TrainConfig) -> None:
    """Reject what knows only the last turn of a conversation."""
    if config.presafe:
        raise RecipeError(
            "presafe: its head reads the state before the last turn alone; set loss_on: last, or leave presafe out"
        )
    if config.token_weights:
        raise RecipeError(
            "token_weights: name parts of the last turn alone; set loss_on: last, or leave token_weights out"
        )


def _require_libraries(config: TrainConfig) -> None:
    """Say at once what is not installed, and not after every row was checked."""
    if config.method == "qlora":
        require("bitsandbytes")  # its extra brings the others
    require("trl", "peft", "accelerate", "torch", "transformers")
    if config.report_to != "none":
        require(config.report_to)


def _train(
    config: TrainConfig,
    mix: TrainingMix,
    weights: Weights,
    tokenizer: Any,
    proof: Proof,
    held_out: Proof,
    identity: dict[str, Any],
) -> Manifest:
    from sft.training import callbacks, saving
    from sft.training import trainer as trl_home
    from sft.training.losses.rows import token_columns

    out = Path(config.out)
    decided = decisions.read(Path(config.presafe.decisions)) if config.presafe else {}
    refused = _refused(config.presafe, proof, decided) if config.presafe else None
    config, chosen = loading.settled(config)
    pairs = preferences.rendered_pairs(mix, proof) if config.dpo else []
    columns = token_columns(config, tokenizer, proof, mix.rows)
    model = loading.load(config, weights)
    if loading.on_cpu():
        use_threads(model.num_parameters(), chosen)
    rows = pairs or proof.rendered
    trainer = trl_home.build(config, model, tokenizer, rows, out, refused, _by_part(held_out), columns.values)
    checkpoint = trl_home.last_checkpoint(out)
    _announce(config, proof, len(pairs), trainer.args.world_size, checkpoint)
    study = _study(trainer, config, proof, held_out, decided, bool(checkpoint)) if config.presafe else None
    with console.progress("train", total=None, unit="steps", keeps=KEEPS) as advance:
        trainer.add_callback(callbacks.MetricsFile(out / "metrics.jsonl", advance))
        trainer.add_callback(callbacks.Watch(out, preferences.UNTRAINED if config.dpo else 0.0))
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        losses = trainer.evaluate() if held_out.rendered else {}
    manifest = _manifest(config, mix, proof, pairs, identity)
    manifest.summary.update(
        steps=result.global_step,
        precision=chosen.dtype,
        train_loss=round(result.training_loss, 6),
        validation_loss=_validation_losses(losses),
        trained_parameters=saving.trained_parameters(trainer),
    )
    manifest.summary.update(columns.summary)
    if study:
        manifest.summary["presafe"] = study.after()
    dtype = loading.low(config) if config.bf16 else None
    saving.finish(trainer, tokenizer, out, manifest, dtype, out / trl_home.CHECKPOINTS)
    return manifest


def _by_part(proof: Proof) -> dict[str, list[RenderedRow]]:
    parts: dict[str, list[RenderedRow]] = {}
    for row, rendered in zip(proof.kept, proof.rendered, strict=True):
        parts.setdefault(row.part, []).append(rendered)
    return parts


def _validation_losses(metrics: Mapping[str, float]) -> dict[str, float]:
    """Loss of each part, from the trainer's metrics eval_PART_loss."""
    return {
        name.removeprefix("eval_").removesuffix("_loss"): round(value, 6)
        for name, value in metrics.items()
        if name.startswith("eval_") and name.endswith("_loss") and "presafe" not in name
    }


def _refused(settings: PresafeConfig, proof: Proof, decided: Mapping[str, float]) -> list[float]:
    from sft.training.presafe import targets

    probabilities = targets([row.prompt_id for row in proof.kept], decided, settings)
    without = sum(value != value for value in probabilities)
    if without:
        console.say(f"sft: {without} of {len(probabilities)} rows have no decision and do not train the head")
    return probabilities


def _study(
    trainer: Any,
    config: TrainConfig,
    proof: Proof,
    held_out: Proof,
    decided: Mapping[str, float],
    resumed: bool,
) -> Any:
    from sft.training.presafe import Study

    study = Study(trainer, config, proof, held_out, decided)
    study.before(resumed)
    return study


def _identity(config: TrainConfig, mix: TrainingMix, weights: Weights) -> dict[str, Any]:
    identity = {
        "config": config.model_dump(mode="json", exclude={"out"}),
        "mix_id": mix.mix_id,
        "base_model": f"{weights.name}@{fingerprint(weights)}",
        "base_places": base_places(weights, Path(config.out)),
        "mix_places": places(Path(config.mix), Path(config.out)),
    }
    if config.presafe:
        decisions.read(Path(config.presafe.decisions))  # reports faults of the file before anything is loaded
        identity["decisions"] = hash_files([Path(config.presafe.decisions)])
    if config.token_weights and config.token_weights.ranges:
        read_ranges(Path(config.token_weights.ranges))
        identity["ranges"] = hash_files([Path(config.token_weights.ranges)])
    return identity


def _day(out: Path) -> str:
    """The date that a template writes into the prompts of a run: that of its first start, so that a resumed run goes on alike."""
    try:
        started = json.loads((out / "run.json").read_bytes()).get("prompt_date")
    except (OSError, ValueError, AttributeError):
        started = None
    return str(started or date.today().isoformat())


def _claim_folder(out: Path, identity: dict[str, Any]) -> Manifest | None:
    """Create the folder or check that it is this run's; returns the manifest of a finished run."""
    marker = out / "run.json"
    if os.environ.get("RANK", "0") != "0":
        _wait_for(marker)  # the first process creates it; until then the folder looks foreign
    if out.is_dir() and any(out.iterdir()) and not marker.is_file():
        raise CorpusError(f"{out}: the folder is not empty and not a run; set `out` to a new one")
    if marker.is_file() and (differing := differences(json.loads(marker.read_bytes()), identity)):
        raise RecipeError(
            f"{out}: contains a run with a different {', '.join(differing)}; set `out` to a new folder, or delete this one"
        )
    if (out / "manifest.json").is_file() and (out / "model").is_dir():
        return read_model(out / "manifest.json", Manifest)
    make_folder(out)
    write_file(marker, json.dumps(identity, indent=2, ensure_ascii=False).encode() + b"\n")
    return None


def _wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not path.is_file() and time.monotonic() < end:
        time.sleep(0.1)


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The settings, and the contents named by them, in which two runs differ; each is what a run.json holds."""
    ours, theirs = here["config"], there.get("config", {})
    defaults = {
        name: field.default for name, field in TrainConfig.model_fields.items()
    }  # settings added since that run
    named = [name for name in ours if name not in PLACES and ours[name] != theirs.get(name, defaults[name])]
    return named + [
        name for name in ("mix_id", "base_model", "decisions", "ranges") if here.get(name) != there.get(name)
    ]


def _announce(config: TrainConfig, proof: Proof, pairs: int, devices: int, checkpoint: Path | None) -> None:
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps * devices
    dropped = f", {len(proof.overlong)} dropped as too long" if proof.overlong else ""
    unit = "packed sequences" if config.packing else f"of {pairs} pairs" if pairs else "rows"
    as_many = f" in {len(proof.rendered)} sequences" if len(proof.rendered) != proof.proven else ""
    console.say(f"sft: {proof.proven} rows checked{as_many}{dropped}; {batch} {unit} per step")
    if proof.escaped:
        console.say(f"sft: control tokens are escaped in {proof.escaped} rows")
    if proof.silent_turns:
        console.say(
            f"sft: {proof.silent_turns} turns call tools and carry no loss: the template does not say what the model would write"
        )
    if checkpoint:
        console.say(f"sft: resuming from {checkpoint.name}")


def _manifest(
    config: TrainConfig,
    mix: TrainingMix,
    proof: Proof,
    pairs: Sequence[preferences.RenderedPair],
    identity: dict[str, Any],
) -> Manifest:
    """The manifest; a row of its counts is a pair under DPO."""
    rows, kept = (len(mix.pairs), len(pairs)) if pairs else (proof.rows, proof.proven)
    counts = Counts(rows=rows, kept=kept)
    if rows > kept:
        counts.add("filtered", "overlong", rows - kept)
    sequences = preferences.flat(pairs) or proof.rendered
    # A manifest is shared, so local paths stay in run.json.
    recipe = {**identity["config"], "model": identity["base_model"], "mix": mix.mix_id}
    for block, name in (("presafe", "decisions"), ("token_weights", "ranges")):
        if recipe.get(block) and recipe[block].get(name):
            recipe[block] = {**recipe[block], name: Path(recipe[block][name]).name}
    tokens = [len(row.input_ids) for row in sequences]
    return Manifest(
        stage=STAGE,
        inputs=[InputFile(name=Path(config.mix).resolve().name, blake2b=mix.mix_id)],
        recipe=recipe,
        seed=config.seed,
        versions=versions(*LIBRARIES),
        counts=counts,
        summary={
            "mix_id": mix.mix_id,
            "mix_recipe": mix.manifest.recipe_id,
            "base_model": identity["base_model"],
            **({"prompt_date": identity["prompt_date"]} if "prompt_date" in identity else {}),
            "sequences": len(tokens),
            "tokens": sum(tokens),
            "tokens_in_loss": sum(label != IGNORED for row in sequences for label in row.labels),
            "longest_row": max(tokens),
            "proven": dict.fromkeys(CLAIMS, proof.proven),
        },
    )
