"""The nouns of the project: prompts, traces, annotations, rows, manifests, and the errors of the project.

Nothing here touches disk, network or models; every other package imports this one and it imports none of them.
"""

from schemas.annotation import Annotation, Span
from schemas.errors import (
    CorpusError,
    CurateError,
    DataError,
    EngineError,
    MissingExtraError,
    RecipeError,
    RenderError,
    ServerError,
    TrainingError,
)
from schemas.ids import content_id
from schemas.manifest import Counts, InputFile, Manifest
from schemas.patterns import CODEBOOK, CODEBOOK_VERSION, PROPERTIES, RISKY_PATTERNS, Pattern
from schemas.prompt import KINDS, Kind, Prompt, prompt_id
from schemas.row import Row
from schemas.trace import FIELDS, Trace, generated_trace_id, ingested_trace_id

__all__ = [
    "CODEBOOK",
    "CODEBOOK_VERSION",
    "FIELDS",
    "KINDS",
    "PROPERTIES",
    "RISKY_PATTERNS",
    "Annotation",
    "CorpusError",
    "Counts",
    "CurateError",
    "DataError",
    "EngineError",
    "InputFile",
    "Kind",
    "Manifest",
    "MissingExtraError",
    "Pattern",
    "Prompt",
    "RecipeError",
    "RenderError",
    "Row",
    "ServerError",
    "Span",
    "Trace",
    "TrainingError",
    "content_id",
    "generated_trace_id",
    "ingested_trace_id",
    "prompt_id",
]
