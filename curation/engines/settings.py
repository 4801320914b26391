"""The model and what runs it, as recipes set them; "auto" is vLLM where it is installed, a server where an address is given, else transformers.

The surprise: vLLM's attention on a CPU has no heads as small as those of tiny models, which transformers answer for there.
"""

import json
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field

from curation.engines.openai import ServerSettings
from curation.engines.prompting import NO_TEMPLATE
from curation.engines.vllm import VllmSettings
from curation.engines.weights import fingerprint, load_tokenizer, locate
from curation.recipe import Recipe
from schemas.choices import Dtype, EngineKind
from schemas.errors import EngineError, require

SMALLEST_HEAD = 32
"""Smallest head of vLLM's attention on a CPU."""


class EngineSettings(Recipe):
    """The model and what runs it."""

    kind: EngineKind = "auto"
    model: str
    """A folder, a hub name, or the name a server knows the model by."""
    revision: str | None = None
    """The commit of a hub model; for a server, the version to record."""
    dtype: Dtype = "auto"
    """Precision of the weights; auto: as saved on an accelerator; on a CPU bfloat16 where it has units for it, else float32."""
    vllm: VllmSettings = VllmSettings()
    server: ServerSettings | None = None
    replicas: int = Field(default=1, ge=1)
    """How many engines of the "auto" kind the kind "ray" runs, spread over the cluster."""


def engine_kind(settings: EngineSettings) -> EngineKind:
    """What "auto" stands for here."""
    if settings.kind != "auto":
        return settings.kind
    if settings.server:
        return "openai"
    return "vllm" if find_spec("vllm") and _fits_vllm(settings) else "transformers"


def _fits_vllm(settings: EngineSettings) -> bool:
    """Whether the heads of a model that lies here are large enough for vLLM on this machine."""
    if not Path(settings.model).expanduser().is_dir():
        return True
    weights = locate(settings.model)
    try:
        folder = locate(weights.adapter_base).folder if weights.adapter_base else weights.folder
        config = json.loads((folder / "config.json").read_bytes())
        config = config.get("text_config", config)
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True  # vLLM says what it cannot read
    if size >= SMALLEST_HEAD:
        return True
    import torch

    return torch.accelerator.is_available()


def model_name(settings: EngineSettings) -> str:
    """ "name@fingerprint" of the model, without loading it; raises as `locate` does."""
    if settings.server or engine_kind(settings) == "openai":
        return f"{settings.model}@{settings.revision or 'server'}"
    weights = locate(settings.model, settings.revision)
    return f"{weights.name}@{fingerprint(weights)}"


def runs_on_cpu(settings: EngineSettings) -> bool:
    """Whether the model is run here, or on a cluster's node like this one, without an accelerator: a reply may then take minutes."""
    if settings.server or engine_kind(settings) == "openai":
        return False
    import torch

    return not torch.accelerator.is_available()


def require_template(settings: EngineSettings) -> None:
    """Check that a model which is run here has a chat template, before its weights are loaded.

    Raises:
        EngineError: if it has none, or there is no such model.
        MissingExtraError: if the engine's library is not installed.
    """
    if settings.server or engine_kind(settings) == "openai":
        return
    if engine_kind(settings) == "vllm":
        require("vllm")
    weights = locate(settings.model, settings.revision)
    if not any(weights.folder.glob("chat_template*")) and not load_tokenizer(weights).chat_template:
        raise EngineError(f"{weights.name}: {NO_TEMPLATE}")
