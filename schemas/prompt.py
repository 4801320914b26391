"""A prompt: what a model is asked. Its id covers the text alone, so a question has the same id in every source."""

from typing import get_args

from pydantic import BaseModel, ConfigDict

from schemas.choices import PromptKind
from schemas.ids import texts_id

KINDS: tuple[PromptKind, ...] = get_args(PromptKind)


def prompt_id(text: str) -> str:
    """The id of a prompt with this text."""
    return texts_id("prompt", text)


class Prompt(BaseModel):
    """One prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_id: str
    """Content id of `text`."""
    text: str
    """What the model is asked, exactly."""
    kind: PromptKind | None = None
    """The purpose of the prompt; null if unknown."""
    source: str | None = None
    """The data set it comes from, such as "STAR-1"."""
    category: str | None = None
    """Topic or policy category; several are joined by " | "."""
    attack: str | None = None
    """The jailbreak family that wraps the query; null for a plain query."""
    reference_answer: str | None = None
    """The correct answer, if there is one."""
    source_file: str | None = None
    """Name of the file it was ingested from."""
    source_line: int | None = None
    """1-based line (JSONL) or row (other formats) in that file."""
    source_id: str | None = None
    """Its id in the source."""
    extra: str | None = None
    """JSON object of the source's other columns."""
