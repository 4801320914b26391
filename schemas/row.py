"""A row: what a trainer reads. Only build-mix makes rows; each has the id of its trace."""

from pydantic import BaseModel, ConfigDict

from schemas.choices import PromptKind
from schemas.conversation import Turn
from schemas.ids import content_id


def row_id(trace_id: str, part: str, copy: int = 0) -> str:
    """The id of the row that `part` of a mix makes of a trace; `copy` counts repeats, from 0."""
    return content_id(["row", trace_id, part, *([copy] if copy else [])])


class Row(BaseModel):
    """One training example; the reasoning stays separate until it is rendered for a chat template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row_id: str
    trace_id: str
    prompt_id: str
    part: str
    """The part of the recipe that selected it."""
    kind: PromptKind | None
    strategy: str | None
    model: str | None
    source: str | None
    source_id: str | None
    category: str | None
    prompt: str
    reasoning: str
    answer: str
    reference_answer: str | None
    tokens: int
    """Length of prompt, reasoning and answer in tokens, counted as the mix's manifest says."""
    risky: tuple[str, ...]
    """Names of the risky patterns whose consensus label was true."""
    turns: tuple[Turn, ...] | None = None
    """The prompt's conversation; null if `prompt` is all of it."""
    tools: str | None = None
    """JSON list of the prompt's tools."""
