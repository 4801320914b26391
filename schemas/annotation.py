"""An annotation: one annotator's label of one trace for one pattern, with the passages that show it.

Offsets count Unicode code points into the stored field, end exclusive, so `trace.reasoning[start:end]` is the evidence.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ANNOTATOR_NAME = r"^[A-Za-z0-9][\w.+/-]*(:[\w.+@/-]+)?(@[\w.+-]+)?$"
"""`rules@1`, `judge:gpt-oss@2`, `human:alice`: the part before the colon or @ is the annotator's family."""


class Span(BaseModel):
    """A piece of evidence: code points [start, end) of a field of the trace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: Literal["reasoning", "answer"]
    start: int = Field(ge=0)
    end: int

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"span [{self.start}, {self.end}) is empty; end must be larger than start")
        return self


class Annotation(BaseModel):
    """One annotator's label of one trace for one pattern."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trace_id: str
    pattern: str
    """A risky pattern or a property from the codebook (`schemas.patterns`)."""
    annotator: str = Field(pattern=ANNOTATOR_NAME)
    """"name@version"; people are "human:<user>"."""
    label: bool | None
    """True or false; null means that the annotator abstained, which is never the same as false."""
    score: float | None = Field(default=None, ge=0, le=1)
    """Confidence that the pattern is present, 0 to 1; null if the annotator has none."""
    spans: tuple[Span, ...] = ()
    """Evidence for a true label."""
    rationale: str | None = None
    """The reason in a few words; names rules and cues, quotes no trace text."""

    @property
    def family(self) -> str:
        """ "human" of "human:alice", "rules" of "rules@1"."""
        return self.annotator.split("@", 1)[0].split(":", 1)[0]
