"""The nouns of the project: prompts, traces, annotations, rows, manifests, and the errors of the project.

Nothing here touches disk, network or models; every other package imports this one and it imports none of them.
"""

from typing import TYPE_CHECKING

from schemas.lazy import lazily

if TYPE_CHECKING:
    from schemas.annotation import Annotation, Span
    from schemas.choices import PromptKind
    from schemas.codebooks import Pattern
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
        UsageError,
    )
    from schemas.ids import content_id
    from schemas.manifest import Counts, InputFile, Manifest
    from schemas.patterns import CODEBOOK, CODEBOOK_VERSION, PROPERTIES, RISKY_PATTERNS
    from schemas.prompt import KINDS, Prompt, prompt_id
    from schemas.row import Row
    from schemas.trace import FIELDS, Trace, generated_trace_id, ingested_trace_id

__version__ = "0.1.0"
"""The version of all four packages; pyproject.toml reads it here."""

HOMES = {
    "schemas.annotation": "Annotation Span",
    "schemas.errors": "CorpusError CurateError DataError EngineError MissingExtraError RecipeError RenderError ServerError TrainingError UsageError",
    "schemas.ids": "content_id",
    "schemas.manifest": "Counts InputFile Manifest",
    "schemas.codebooks": "Pattern",
    "schemas.patterns": "CODEBOOK CODEBOOK_VERSION PROPERTIES RISKY_PATTERNS",
    "schemas.choices": "PromptKind",
    "schemas.prompt": "KINDS Prompt prompt_id",
    "schemas.row": "Row",
    "schemas.trace": "FIELDS Trace generated_trace_id ingested_trace_id",
}
__getattr__ = lazily(__name__, HOMES)

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
    "Manifest",
    "MissingExtraError",
    "Pattern",
    "Prompt",
    "PromptKind",
    "RecipeError",
    "RenderError",
    "Row",
    "ServerError",
    "Span",
    "Trace",
    "TrainingError",
    "UsageError",
    "content_id",
    "generated_trace_id",
    "ingested_trace_id",
    "prompt_id",
]
