"""Where a model's files come from: a local folder, or a hub name pinned to a commit. Code from a model is never run.

A model's name in the corpus is `name@fingerprint`, the fingerprint being a hash of its weights, tokenizer and chat
template: a model trained again under the same name is another model.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from curation.reading import hash_files
from schemas.errors import EngineError, require
from schemas.ids import content_id

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
DECIDING_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model")
"""Files that decide what a model says; cards, logs and training arguments do not."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
"""Weights that are programs: to load them is to run them."""


class Weights(NamedTuple):
    """A model's files."""

    folder: Path
    name: str
    """Short name for people: the folder's, or the hub's."""
    adapter_base: str | None = None
    """Folder or hub name of the base model, where `folder` holds a LoRA adapter."""


def locate(model: str, revision: str | None = None) -> Weights:
    """Find a model's files, downloading a hub model at its pinned revision.

    Args:
        model: a folder with config.json, a run folder of `sft run`, or a hub name such as Qwen/Qwen3-8B.
        revision: the commit (40 hex digits) of a hub model; not for folders.

    Raises:
        EngineError: if there is no such model, its weights are pickled, the revision is missing, or the hub cannot be reached.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _local(folder)
    if HUB_NAME.fullmatch(model) and not model.startswith(".") and not folder.parent.is_dir():
        return _from_hub(model, revision)
    raise EngineError(
        f"{model}: no such folder; name a folder with config.json and *.safetensors, or a hub name (org/model)"
    )


def load_tokenizer(weights: Weights) -> Any:
    """The model's tokenizer.

    Raises:
        EngineError: if it cannot be loaded.
    """
    transformers = _transformers()
    try:
        return transformers.AutoTokenizer.from_pretrained(str(weights.folder), trust_remote_code=False)
    except Exception as error:  # a damaged file raises whatever the library trips over
        raise EngineError(
            f"{weights.folder}: its tokenizer cannot be loaded ({_first_line(error)})"
        ) from error


def load_model(weights: Weights, dtype: str, **how: Any) -> Any:
    """The causal language model, with its adapter where it has one.

    Args:
        weights: what `locate` found.
        dtype: "float32", "bfloat16" or "auto" (as it was saved).
        how: more for transformers' from_pretrained, such as attn_implementation.

    Raises:
        EngineError: if it cannot be loaded, or wants to run code of its own.
    """
    transformers = _transformers()
    base = locate(weights.adapter_base) if weights.adapter_base else weights
    if weights.adapter_base:
        require("peft")
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(base.folder), dtype=dtype, trust_remote_code=False, use_safetensors=True, **how
        )
        if not weights.adapter_base:
            return model
        from peft import PeftModel

        return PeftModel.from_pretrained(model, str(weights.folder))
    except Exception as error:  # a damaged file raises whatever the library trips over
        raise EngineError(
            f"{weights.folder}: the model cannot be loaded ({_first_line(error)}); fetch or make it again if it is damaged"
        ) from error


def fingerprint(weights: Weights) -> str:
    """12 hex digits over everything that decides what the model says, its adapter's base included."""
    files = sorted({path for pattern in DECIDING_FILES for path in weights.folder.glob(pattern)})
    parts = [[path.name, hash_files([path])] for path in files]
    if weights.adapter_base:
        parts.append(["base", fingerprint(locate(weights.adapter_base))])
    return content_id(parts)[:12]


def base_of_run(run: Path, named: str) -> str:
    """Where the base model of a run is now: the run may have been moved, with its base or without, and the current folder be another.

    Args:
        run: the folder of a run; `base_places` of its run.json are paths relative to it, or absolute.
        named: the base as its recipe named it.
    """
    return place_of_run(run, "base_places", named)


def place_of_run(run: Path, places_of: str, named: str) -> str:
    """Where a folder is that a run used; `places_of` names the paths in its run.json, relative to it or absolute."""
    try:
        places = json.loads((run / "run.json").read_bytes())[places_of]
        found = [run / place for place in places if (run / place).is_dir()]
    except (OSError, ValueError, KeyError, TypeError):
        found = []  # not a run, or one of an older version
    return str(found[0].resolve()) if found else named


def base_places(weights: Weights, run: Path) -> list[str]:
    """The places of a base model for `base_of_run`; none for a model of the hub, which is found by its name."""
    return [] if HUB_NAME.fullmatch(weights.name) else places(weights.folder, run)


def places(folder: Path, run: Path) -> list[str]:
    """The places of a folder for `place_of_run`."""
    return [os.path.relpath(folder.resolve(), run.resolve()), str(folder.resolve())]


def _local(folder: Path) -> Weights:
    if (folder / "model").is_dir() and (folder / "manifest.json").is_file():
        return _local(folder / "model")._replace(name=folder.resolve().name)
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles and not any(folder.glob("*.safetensors")):
        raise EngineError(
            f"{folder}: its weights are pickled ({pickles[0]}), and to load them could run code; only safetensors are loaded: "
            "use a revision that has them, or convert the weights on a machine that may be lost"
        )
    adapter = folder / "adapter_config.json"
    if not adapter.is_file() and not (folder / "config.json").is_file():
        raise EngineError(f"{folder}: no model in this folder (no config.json); did its training finish?")
    try:
        base = json.loads(adapter.read_bytes())["base_model_name_or_path"] if adapter.is_file() else None
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{adapter}: not an adapter's configuration ({error})") from error
    base = base and base_of_run(folder.parent, base)
    return Weights(folder, folder.resolve().name, base)


def _from_hub(model: str, revision: str | None) -> Weights:
    if not revision or not COMMIT.fullmatch(revision):
        raise EngineError(
            f"{model}: a model from the hub needs a pinned revision (the 40 hex digits of a commit), or its weights "
            "could change between runs; or download it and name the folder"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(model, revision=revision, allow_patterns=list(DECIDING_FILES))
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError, ValueError) as error:
        raise EngineError(
            f"{model}@{revision[:8]}: cannot be fetched from the hub ({_first_line(error)}); "
            "download the model elsewhere and name its folder instead"
        ) from error
    return Weights(Path(folder), model)


def _transformers() -> Any:
    require("transformers", "torch")
    import transformers

    logs: Any = transformers.utils.logging
    logs.disable_progress_bar()  # one bar of ours instead of one per step of theirs
    return transformers


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
