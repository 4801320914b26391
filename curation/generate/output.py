"""Writes a model's replies as rows of traces and quarantine, a part at a time, each planned trace once.

A quarantined reply keeps the planned trace's id as its own, so a rerun knows that it was answered. The surprise: the
write locks are held only while a part is written, so that other commands work on while a model generates for hours; what
another process has written in the meantime is left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curation.corpus.buffer import PartBuffer
from curation.corpus.store import Store
from curation.engines import Message, Reply
from curation.generate.yields import NEVER_OPENED, TRUNCATED
from schemas.ids import canonical_json

PART_ROWS = 2048
PART_SECONDS = 15.0
"""A part is written when either is reached; a kill loses at most that much."""
WHY = {
    NEVER_OPENED: "the model ran into its token limit without ever opening a think block; use a reasoning model, or a strategy for ordinary models",
    "truncated": "the model ran into its token limit; raise --max-new-tokens",
    "cut": "the reply is not known to be whole: its finish reason is none that means so",
    "blocked": "a filter behind the model stopped the reply",
    "unclosed": "the think block is never closed",
    "no_think": "the model wrote no think block; use a reasoning model, or a strategy for ordinary models",
    "unknown_markup": "what looks like a reasoning is in a markup that is not known; see the families in docs/data-format.md",
    "two_reasonings": "two fields have different reasonings; both are kept here",
    "hidden_reasoning": "a part of the reasoning is encrypted",
    "tool_call": "the reply ends in a call of a tool, which is no answer",
    "empty_answer": "nothing follows the reasoning",
    "nul_character": "the reply has a NUL character, which no text should have",
    "lone_surrogate": "the reply has half a surrogate or bytes that are not UTF-8",
}

OTHERWISE = "the reply is not one reasoning followed by one answer"


class GenerationTask(NamedTuple):
    """One trace that is to be made."""

    trace_id: str
    messages: Sequence[Message]
    """What the model is sent."""
    columns: Mapping[str, Any]
    """The trace's columns that are known before the model has answered."""


class Outcome(NamedTuple):
    """The table a reply belongs in, and its row there."""

    table: str
    row: dict[str, Any]
    reason: str | None
    """Why it is quarantined."""


def outcome(task: GenerationTask, reply: Reply, stage: str) -> Outcome:
    """Make a row of a reply."""
    columns = {
        "trace_id": task.trace_id,
        **task.columns,
        "reasoning": reply.reasoning,
        "answer": reply.answer,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "reasoning_tokens": reply.reasoning_tokens,
        "answer_tokens": reply.answer_tokens,
    }
    if reply.think_state == "closed":
        return Outcome("traces", columns, None)
    reason = _reason(task, reply)
    row = {
        "quarantine_id": task.trace_id,
        "stage": stage,
        "source_file": task.columns["source_file"] or "",
        "source_line": task.columns["source_line"] or 0,
        "source_id": task.columns["source_id"],
        "reason": reason,
        "detail": f"{WHY.get(reason, OTHERWISE)} (finish reason: {reply.finish_reason[:40]})",
        "row": _json(columns),
    }
    return Outcome("quarantine", row, reason)


def _reason(task: GenerationTask, reply: Reply) -> str:
    """Why a reply is quarantined; a truncated one without a reasoning, none of which the prompt began, never opened a think block."""
    begun = task.messages and task.messages[-1]["role"] == "assistant"
    if reply.think_state == TRUNCATED and not reply.reasoning and reply.answer.strip() and not begun:
        return NEVER_OPENED
    return reply.think_state


class Output:
    """Collects outcomes and writes them; use it in a `with` block."""

    def __init__(self, corpus: Store) -> None:
        self._corpus = corpus
        self._buffer = PartBuffer[Outcome](self._write, PART_ROWS, PART_SECONDS)
        self._parts: dict[str, list[Path]] = {}
        self._keys: dict[str, set[str]] = {}

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *unused: object) -> None:
        self.flush()

    def add(self, outcome: Outcome) -> None:
        """Take one outcome."""
        self._buffer.add(outcome)

    def flush(self) -> None:
        """Write what waits."""
        self._buffer.flush()

    def _write(self, outcomes: list[Outcome]) -> None:
        with self._corpus.writing("traces", "quarantine"):
            for table, key in {"traces": "trace_id", "quarantine": "quarantine_id"}.items():
                if rows := [outcome.row for outcome in outcomes if outcome.table == table]:
                    have = self._known(table)
                    self._corpus.append_rows(table, [row for row in rows if row[key] not in have])

    def _known(self, table: str) -> set[str]:
        parts = self._corpus.parts(table)
        if parts != self._parts.get(table):
            self._parts[table], self._keys[table] = parts, self._corpus.keys(table)
        return self._keys[table]


def _json(columns: Mapping[str, Any]) -> str:
    try:
        return canonical_json(dict(columns)).decode("utf-8")
    except UnicodeEncodeError:  # an unpaired surrogate in the model's text
        return ascii(dict(columns))
