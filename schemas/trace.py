"""A trace: one answer of one model to one prompt, with reasoning and answer as separate fields.

"" and null differ: a model that was told not to think has an empty reasoning; output without any reasoning field is
invalid and never becomes a Trace.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from schemas.choices import PromptKind
from schemas.conversation import Turn
from schemas.ids import bytes_id, content_id, texts_id

FIELDS = ("reasoning", "answer")
"""The fields that spans may point into."""


def generated_trace_id(
    prompt_id: str, strategy: str, model: str, sampling: dict[str, Any], sample_index: int
) -> str:
    """The id of a trace to be generated; known before the model answers.

    `strategy` is "name@version", `model` is "name@revision"; `sampling` has every setting that affects the text.
    """
    return content_id(["generated", prompt_id, strategy, model, sampling, sample_index])


def ingested_trace_id(
    prompt_id: str, strategy: str | None, model: str | None, reasoning: str, answer: str
) -> str:
    """The id of a trace that came from a file: its content, since it cannot be regenerated."""
    return texts_id("ingested", prompt_id, strategy, model, reasoning, answer)


def ingested_trace_ids(
    prompt_ids: Sequence[str],
    strategies: Sequence[str | None],
    models: Sequence[str | None],
    reasonings: Sequence[str],
    answers: Sequence[str],
) -> list[str]:
    """`ingested_trace_id` of many rows, in columns of one length, in half the time: most rows share strategy and model."""
    heads: dict[tuple[str | None, str | None], tuple[str, str]] = {}
    for strategy, model in {*zip(strategies, models, strict=True)}:
        lengths = ["-" if text is None else str(len(text)) for text in (strategy, model)]
        heads[strategy, model] = ",".join(["", *lengths, ""]), (strategy or "") + (model or "")
    rows = zip(prompt_ids, zip(strategies, models, strict=True), reasonings, answers, strict=True)
    return [
        bytes_id(
            f"8,{len(key)}{heads[names][0]}{len(reasoning)},{len(answer)}\ningested{key}{heads[names][1]}{reasoning}{answer}".encode()
        )
        for key, names, reasoning, answer in rows
    ]


class Trace(BaseModel):
    """One answer of one model to one prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trace_id: str
    """Content id; see `generated_trace_id` and `ingested_trace_id`."""
    prompt_id: str
    prompt: str
    """The last question, without the strategy's instruction (which never enters a training row)."""
    kind: PromptKind | None = None
    """The prompt's kind."""
    strategy: str | None = None
    """Distillation strategy, such as "improved"; null if the source does not say."""
    strategy_version: str | None = None
    """Version of the strategy's instruction."""
    model: str | None = None
    """"name@revision" of the model that wrote it."""
    system: str | None = None
    """The system message it was generated under."""
    reasoning: str
    """The chain of thought, without think tags; "" if thinking was disabled."""
    answer: str
    """The text after the reasoning."""
    finish_reason: str | None = None
    """Why it ended, in the word of the API; always one that means a whole response. Null if nobody says."""
    prompt_tokens: int | None = None
    reasoning_tokens: int | None = None
    answer_tokens: int | None = None
    sampling: str | None = None
    """Canonical JSON of the sampling settings."""
    sample_index: int = 0
    """Which of several samples of the same prompt under the same settings."""
    source: str | None = None
    """The data set it comes from."""
    source_file: str | None = None
    source_line: int | None = None
    """1-based line (JSONL) or row (other formats) in `source_file`."""
    source_id: str | None = None
    """Its id in the source."""
    extra: str | None = None
    """JSON object of the source's other columns."""
    parent_id: str | None = None
    """The trace that this one repairs: it shares that trace's reasoning up to the first risky sentence."""
    turns: tuple[Turn, ...] | None = None
    """The prompt's conversation; null if `prompt` is all of it."""
    tools: str | None = None
    """The prompt's tools."""
