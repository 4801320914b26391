"""`sft export`: a run as a standard model folder: adapters merged, with tokenizer, chat template and model card.

The model of a full run is copied; PreSafe's head is not exported.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from curation.corpus.store import write_file
from curation.engines.weights import Weights, fingerprint, load_model, load_tokenizer, locate
from curation.reading import read_model
from schemas.choices import SavedDtype
from schemas.errors import CorpusError, DataError
from schemas.manifest import Manifest

CARD = "README.md"


def write_model(run_folder: Path, *, out: Path, dtype: SavedDtype = "bfloat16") -> str:
    """Write the model of a finished run; returns its "name@fingerprint".

    Args:
        run_folder: output folder of `sft run`.
        out: a new folder.
        dtype: of the saved weights.

    Raises:
        DataError: if the run is not finished.
        CorpusError: if `out` is not empty.
        EngineError: if the model or its base cannot be loaded.
    """
    try:
        manifest = read_model(run_folder / "manifest.json", Manifest)
        settings = json.loads((run_folder / "run.json").read_bytes())["config"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{run_folder}: not a finished run ({error}); finish it with: sft run RECIPE"
        ) from error
    if out.exists() and any(out.iterdir()):
        raise CorpusError(f"{out}: the folder is not empty; set --out to a new one")
    weights = locate(str(run_folder))
    model: Any = _merged(weights, dtype) if weights.adapter_base else load_model(weights, dtype)
    model.save_pretrained(out)
    load_tokenizer(weights).save_pretrained(out)
    write_file(out / CARD, card(run_folder.resolve().name, manifest, settings).encode())
    return f"{out.resolve().name}@{fingerprint(locate(str(out)))}"


def _merged(weights: Weights, dtype: SavedDtype) -> Any:
    """The base with its adapter, added in float32: in bfloat16 the sum would be rounded with the base's coarse steps twice."""
    import torch

    base = locate(str(weights.adapter_base))
    model: Any = load_model(weights, "float32").merge_and_unload()
    settings = json.loads((base.folder / "config.json").read_bytes())
    saved = settings.get("dtype") or settings.get("torch_dtype") or "float32"
    return model.to(getattr(torch, saved if dtype == "auto" else dtype))


def card(name: str, manifest: Manifest, settings: dict[str, Any]) -> str:
    """The model card: base model, mix, settings and results."""
    template = (files("sft.training") / "templates" / "model_card.md").read_text(encoding="utf-8")
    shown = {
        k: v for k, v in settings.items() if k not in ("model", "mix", "presafe", "lora") and v is not None
    }
    summary = manifest.summary
    return template.format(
        name=name,
        base=summary["base_model"],
        mix=summary["mix_id"],
        rows=manifest.counts.kept,
        steps=summary["steps"],
        loss=summary["train_loss"],
        presafe="yes; the head is not part of this model" if settings.get("presafe") else "no",
        settings="\n".join(f"| {key} | {value} |" for key, value in sorted(shown.items())),
        versions=", ".join(f"{key} {value}" for key, value in sorted(manifest.versions.items())),
    )
