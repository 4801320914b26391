"""The prompts of a joint suite: attacks whose question is known, and these questions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, select


class PairedPrompts(NamedTuple):
    """Attacks and their questions."""

    prompts: list[dict[str, Any]]
    """Rows of the prompts table, each once: the attacks, then the questions."""
    questions: Mapping[str, str]
    """The prompt of an attack -> that of its question."""
    alone: int
    """Attacks without a question in the corpus, or whose question nobody knows."""


def paired_prompts(
    connection: Connection, sets: Sequence[str], rows: Sequence[dict[str, Any]], limit: int | None
) -> PairedPrompts:
    """Find the questions of attacks.

    Args:
        connection: of the evaluation corpus.
        sets: whose word on the question counts; that of every set if empty.
        rows: prompts among which the attacks are; plain questions among them are left out.
        limit: at most so many attacks.
    """
    values = {"ids": [row["prompt_id"] for row in rows], "sets": list(sets)}
    found = {
        row.pop("attack_id"): row
        for row in select(connection, sql_file("sft.scoring.joint", "questions.sql"), values).to_pylist()
    }
    known = {key: row for key, row in found.items() if row["prompt_id"] is not None}
    attacks = [row for row in rows if row["prompt_id"] in known][:limit]
    questions = {row["prompt_id"]: known[row["prompt_id"]]["prompt_id"] for row in attacks}
    plain = {known[key]["prompt_id"]: known[key] for key in questions}
    return PairedPrompts([*attacks, *plain.values()], questions, len(found) - len(known))
