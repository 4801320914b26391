"""An engine in this process, or a client of a server: what each replica on a cluster is, too."""

from curation.engines.base import Engine
from curation.engines.settings import EngineSettings, engine_kind
from schemas.errors import RecipeError


def open_local(settings: EngineSettings, seed: int = 0) -> Engine:
    """Load the model here, or make a client of the server; raises as `open_engine` does."""
    kind = engine_kind(settings)
    if kind == "openai":
        if settings.server is None:
            raise RecipeError("engine openai: no address; give --base-url, such as http://localhost:8000/v1")
        from curation.engines.openai import OpenAIEngine

        return OpenAIEngine(settings.model, settings.server, settings.revision)
    if kind == "vllm":
        from curation.engines.vllm import VllmEngine

        return VllmEngine.load(settings.model, settings.revision, settings.vllm, seed, settings.dtype)
    from curation.engines.transformers import TransformersEngine

    return TransformersEngine.load(settings.model, settings.revision, settings.dtype)
