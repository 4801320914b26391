"""A prompt: what a model is asked. Its id covers what the model sees alone, so a question has the same id in every source."""

from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel, ConfigDict

from schemas.choices import PromptKind
from schemas.conversation import Turn, Turns, canonical
from schemas.ids import bytes_id, content_id, texts_id

KINDS: tuple[PromptKind, ...] = get_args(PromptKind)


def prompt_id(text: str, turns: Turns | None = None, tools: str | None = None) -> str:
    """The id of a prompt: of its text where that is all it has, else of all turns and the tools."""
    whole = canonical(turns, tools)
    return texts_id("prompt", text) if whole is None else content_id(["conversation", text, *whole])


def prompt_ids(texts: Sequence[str]) -> list[str]:
    """The ids of prompts that have nothing but their texts."""
    return [bytes_id(f"6,{len(text)}\nprompt{text}".encode()) for text in texts]


def set_prompt_id(prompt_id: str, evaluation_set: str) -> str:
    """The id of a prompt of an evaluation set that another set has as well: each set is asked and scored whole."""
    return texts_id("prompt of a set", prompt_id, evaluation_set)


class Prompt(BaseModel):
    """One prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_id: str
    """Content id of `text`, `turns` and `tools`."""
    text: str
    """The last thing that the user says, exactly; for most prompts all of it."""
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
    turns: tuple[Turn, ...] | None = None
    """The whole conversation: system prompt, earlier turns, calls and results of tools, and the last question; null if there
    is only the last question."""
    tools: str | None = None
    """JSON list of the tools that the model may call, as the source defines them."""
