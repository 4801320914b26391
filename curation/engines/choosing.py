"""Which engine answers, from settings: vLLM where it is installed, a server where an address is given, else transformers."""

from importlib.util import find_spec
from typing import Literal

from pydantic import Field

from curation.engines import Engine
from curation.engines.openai import ServerSettings
from curation.engines.vllm import VllmSettings
from curation.engines.weights import fingerprint, locate
from curation.recipe import Recipe
from schemas.errors import RecipeError

Kind = Literal["auto", "vllm", "transformers", "openai", "ray"]


class EngineSettings(Recipe):
    """The model and what runs it."""

    kind: Kind = "auto"
    model: str
    """A folder, a hub name, or the name a server knows the model by."""
    revision: str | None = None
    """The commit of a hub model; for a server, the version to record."""
    vllm: VllmSettings = VllmSettings()
    server: ServerSettings | None = None
    replicas: int = Field(default=1, ge=1)
    """How many engines of the "auto" kind the kind "ray" runs, spread over the cluster."""


def engine_kind(settings: EngineSettings) -> Kind:
    """What "auto" stands for here."""
    if settings.kind != "auto":
        return settings.kind
    if settings.server:
        return "openai"
    return "vllm" if find_spec("vllm") else "transformers"


def model_name(settings: EngineSettings) -> str:
    """ "name@fingerprint" of the model, without loading it; raises as `locate` does."""
    if settings.server or engine_kind(settings) == "openai":
        return f"{settings.model}@{settings.revision or 'server'}"
    weights = locate(settings.model, settings.revision)
    return f"{weights.name}@{fingerprint(weights)}"


def open_engine(settings: EngineSettings, seed: int = 0) -> Engine:
    """Load the model, or make a client of the server.

    Raises:
        EngineError: if the model cannot be loaded.
        MissingExtraError: if the engine's library is not installed.
        RecipeError: if an address is missing.
    """
    kind = engine_kind(settings)
    if kind == "openai":
        if settings.server is None:
            raise RecipeError("engine openai: no address; give --base-url, such as http://localhost:8000/v1")
        from curation.engines.openai import OpenAIEngine

        return OpenAIEngine(settings.model, settings.server, settings.revision)
    if kind == "ray":
        from curation.on_ray import RayEngine

        return RayEngine(settings, seed)
    if kind == "vllm":
        from curation.engines.vllm import VllmEngine

        return VllmEngine.load(settings.model, settings.revision, settings.vllm, seed)
    from curation.engines.transformers import TransformersEngine

    return TransformersEngine.load(settings.model, settings.revision)
