"""Which engine answers, from settings: one here, or several spread over a Ray cluster."""

from curation.engines.base import Engine
from curation.engines.local import open_local
from curation.engines.settings import EngineSettings, engine_kind


def open_engine(settings: EngineSettings, seed: int = 0) -> Engine:
    """Load the model, or make a client of the server.

    Raises:
        EngineError: if the model cannot be loaded.
        MissingExtraError: if the engine's library is not installed.
        RecipeError: if an address is missing.
    """
    if engine_kind(settings) == "ray":
        from curation.engines.ray import RayEngine

        return RayEngine(settings, seed)
    return open_local(settings, seed)
