"""From what the corpus knows of a trace to the record that a reviewer sees.

A record is plain data here, keyed by question name; `argilla.py` turns it into Argilla's own form. Its `payload` is a
content id of everything that is shown, so pushing again sends only what has changed.
"""

from typing import Any, NamedTuple

from annotators.earlier import with_earlier_turns
from curation.review import questions
from curation.review.spans import to_field, to_page
from schemas.ids import content_id

SHOWN = 20_000
"""Code points of earlier turns that a reviewer sees before the question."""
METADATA = ("strategy", "model", "kind", "category", "source", "reason")
"""What reviewers may filter by."""


class Suggestion(NamedTuple):
    """A proposed answer to one question."""

    question: str
    value: Any
    score: list[float] | None
    """How sure, for each member of `value`; null where one of them is not known."""
    agent: str


class Record(NamedTuple):
    """A trace as a reviewer sees it."""

    trace_id: str
    fields: dict[str, str]
    metadata: dict[str, str]
    suggestions: list[Suggestion]

    @property
    def payload(self) -> str:
        """Content id of what is shown, apart from the vector (which the texts decide)."""
        return content_id([self.fields, self.metadata, [list(suggestion) for suggestion in self.suggestions]])


def record(row: dict[str, Any]) -> Record:
    """The record of a row of `sql/records.sql`."""
    asked = with_earlier_turns(row["prompt"], row.get("turns"), SHOWN)
    fields: dict[str, str] = {"prompt": to_field(asked)}
    fields |= {str(name): to_field(row[name]) for name in questions.SPANS}
    metadata = {name: row[name] for name in METADATA if row[name] is not None}
    return Record(row["trace_id"], fields, metadata, [] if row["blind"] else _suggestions(row))


def _suggestions(row: dict[str, Any]) -> list[Suggestion]:
    verdicts = row["verdicts"] or []
    if not any(verdict["label"] is not None for verdict in verdicts):
        return []
    agent = _agent({name for verdict in verdicts for name in verdict["provenance"].split(",")})
    present = [verdict for verdict in verdicts if verdict["label"]]
    scores = [verdict["score"] for verdict in present]
    if not present:
        present, scores = [{"pattern": questions.NONE}], [1 - max(v["score"] or 0.0 for v in verdicts)]
    labels = Suggestion(
        questions.PATTERNS, [verdict["pattern"] for verdict in present], _scores(scores), agent
    )
    return [
        labels,
        *(_marks(row, field, {v["pattern"] for v in present}, agent) for field in questions.SPANS),
    ]


def _marks(row: dict[str, Any], field: questions.Field, present: set[str], agent: str) -> Suggestion:
    marks: dict[tuple[int, int, str], float | None] = {}
    for evidence in row["evidence"] or []:
        for span in evidence["spans"]:
            if evidence["pattern"] in present and span["field"] == field:
                start, end = (to_page(row[field], span[edge]) for edge in ("start", "end"))
                if start < end:
                    marks.setdefault((start, end, evidence["pattern"]), evidence["score"])
    ordered = sorted(marks)
    value = [{"start": start, "end": end, "label": pattern} for start, end, pattern in ordered]
    return Suggestion(questions.SPANS[field], value, _scores([marks[mark] for mark in ordered]), agent)


def _scores(scores: list[float | None]) -> list[float] | None:
    known = [round(score, 4) for score in scores if score is not None]
    return known if known and len(known) == len(scores) else None


def _agent(names: set[str]) -> str:
    """The annotators' names, in the letters that Argilla allows."""
    allowed = (name.replace("@", " v").replace("+", "-") for name in sorted(names))
    return " / ".join(allowed)[:200].strip()
