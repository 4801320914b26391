"""From what the corpus knows of a trace to the record that a reviewer sees.

A record is plain data here, keyed by question name; `argilla.py` turns it into Argilla's own form. Its `payload` is a
content id of everything that is shown, so pushing again sends only what has changed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from annotators.earlier import with_earlier_turns
from curation.review import rounds
from curation.review.form import questions
from curation.review.form.questions import FIVE, ReviewForm
from curation.review.reviews import Review
from curation.review.spans import to_field, to_page
from schemas.codebooks import Pattern
from schemas.ids import content_id

SHOWN = 20_000
"""Code points of earlier turns that a reviewer sees before the question."""
QUOTED = 300
"""Code points of marked words that an adjudicator sees; the rest stands in the trace."""
METADATA = ("strategy", "model", "kind", "category", "source", "reason")
"""What reviewers may filter by."""
POSITION, ASSIGNED = "position", "assigned"
"""A record's place in the round's order, and the people it is assigned to: what the embedded server makes each person's queue of."""


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
    metadata: dict[str, Any]
    suggestions: list[Suggestion]

    @property
    def payload(self) -> str:
        """Content id of what is shown, apart from the vector (which the texts decide)."""
        return content_id([self.fields, self.metadata, [list(suggestion) for suggestion in self.suggestions]])


def record(
    row: dict[str, Any],
    assigned: Sequence[str] = (),
    votes: Sequence[Review] | None = None,
    form: ReviewForm = FIVE,
) -> Record:
    """The record of a row of `sql/records.sql`.

    Args:
        row: the row.
        assigned: who reviews it; everybody by default.
        votes: everybody's reviews, for an adjudicator; null for a reviewer, who sees nobody's.
        form: what is asked for.
    """
    asked = with_earlier_turns(row["prompt"], row.get("turns"), SHOWN)
    fields: dict[str, str] = {"prompt": to_field(asked)}
    fields |= {str(name): to_field(row[name]) for name in questions.SPANS}
    metadata = {name: row[name] for name in METADATA if row[name] is not None}
    metadata[POSITION] = row["position"]
    if assigned:
        metadata[ASSIGNED] = list(assigned)
    if row["reason"] == rounds.GOLD:
        metadata["reason"] = "audit"  # who knows that a trace is a test treats it otherwise
    if votes is None:
        return Record(row["trace_id"], fields, metadata, [] if row["blind"] else _suggestions(row, form))
    fields[questions.OPINIONS] = to_field(opinions(row, votes))
    return Record(row["trace_id"], fields, metadata, _agreed(row, votes, form))


def _suggestions(row: dict[str, Any], form: ReviewForm) -> list[Suggestion]:
    verdicts = row["verdicts"] or []
    agent = _agent({name for verdict in verdicts for name in verdict["provenance"].split(",")})
    ticks = _ticks(row, [verdict for verdict in verdicts if verdict["pattern"] in form.ticked], agent)
    values = list(_values(verdicts, form, agent))
    if not ticks and not values:
        return []
    present = {verdict["pattern"] for verdict in verdicts if verdict["label"]}
    fields = [field for field in questions.SPANS if form.of_field(field)]
    return [*ticks, *values, *(_marks(row, field, present, agent) for field in fields)]


def _ticks(row: dict[str, Any], verdicts: Sequence[dict[str, Any]], agent: str) -> list[Suggestion]:
    if not any(verdict["label"] is not None for verdict in verdicts):
        return []
    if row["found"] and not any(verdict["label"] for verdict in verdicts):
        return []  # an annotator found something: "none" must not stand there ready to be submitted
    present = [verdict for verdict in verdicts if verdict["label"]]
    scores = [verdict["score"] for verdict in present]
    if not present:
        present, scores = [{"pattern": questions.NONE}], [1 - max(v["score"] or 0.0 for v in verdicts)]
    return [
        Suggestion(questions.PATTERNS, [verdict["pattern"] for verdict in present], _scores(scores), agent)
    ]


def _values(verdicts: Sequence[dict[str, Any]], form: ReviewForm, agent: str) -> Iterator[Suggestion]:
    """The consensus of entries with levels or numbers; none where there is none."""
    said = {v["pattern"]: v["score"] for v in verdicts if v["label"] is not None}
    for entry in form.graded:
        if (score := said.get(entry.name)) is not None:
            yield Suggestion(
                questions.VALUE + entry.name, answer_of(entry, entry.value_of(score)), None, agent
            )


def answer_of(entry: Pattern, value: float) -> str | int:
    """A value as its question takes it: the place of a level, a rating, or a number as text."""
    if entry.levels:
        return str(int(value))
    return round(value) if questions.rating(entry) else f"{value:g}"


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


def opinions(row: dict[str, Any], votes: Sequence[Review]) -> str:
    """What everybody says of a trace, with the words that they marked: people, then the machine annotators' consensus."""
    lines = []
    for vote in votes:
        lines.append(
            f"{vote.reviewer}: {_told(vote) or 'none of these'}; verdict: {vote.verdict or 'not given'}"
        )
        for mark in vote.spans:
            words = row[mark.field][mark.start : mark.end]
            cut = words if len(words) <= QUOTED else f"{words[:QUOTED]} ..."
            lines.append(f'    {questions.title(mark.pattern)}, in the {mark.field}: "{cut}"')
        if vote.comment:
            lines.append(f"    comment: {vote.comment}")
    found = [verdict for verdict in row["verdicts"] or [] if verdict["label"]]
    said = ", ".join(f"{questions.title(v['pattern'])} ({v['provenance']})" for v in found)
    return "\n".join([*lines, f"machine annotators: {said or 'none of these'}"])


def _told(vote: Review) -> str:
    """What somebody ticked, and the values that they gave."""
    entries = vote.form.by_name
    ticked = [questions.title(name) for name in vote.patterns if name != questions.NONE]
    given = [f"{questions.title(name)}: {entries[name].named(value)}" for name, value in vote.values]
    return ", ".join([*ticked, *given])


def _agreed(row: dict[str, Any], votes: Sequence[Review], form: ReviewForm) -> list[Suggestion]:
    """What all people ticked or rated alike, and their marks of it; what they dispute is for the adjudicator to say."""
    ticked = [set(vote.patterns) - {questions.NONE} for vote in votes]
    both = [name for name in form.ticked if ticked and all(name in one for one in ticked)]
    given = [dict(vote.values) for vote in votes]
    same = {e.name: given[0][e.name] for e in form.graded if given and _alike(e.name, given)}
    agreed = [*both, *same]
    if not agreed:
        return []
    agent = ", ".join(vote.reviewer for vote in votes)[:200]
    made = [Suggestion(questions.PATTERNS, both, None, _letters(agent))] if both else []
    for name, given_value in same.items():
        answer = answer_of(form.by_name[name], given_value)
        made.append(Suggestion(questions.VALUE + name, answer, None, _letters(agent)))
    for field, question in questions.SPANS.items():
        if not form.of_field(field):
            continue
        marks = sorted(
            {m for vote in votes for m in vote.evidence if m.field == field and m.pattern in agreed}
        )
        value = [
            {"start": to_page(row[field], m.start), "end": to_page(row[field], m.end), "label": m.pattern}
            for m in marks
        ]
        made.append(Suggestion(question, value, None, _letters(agent)))
    return made


def _alike(name: str, given: Sequence[Mapping[str, float]]) -> bool:
    return len({values.get(name) for values in given}) == 1 and name in given[0]


def _letters(text: str) -> str:
    """In the letters that Argilla allows in the name of an agent."""
    return re.sub(r"[^A-Za-z0-9 \-_:./]", " ", text).strip() or "people"


def _scores(scores: list[float | None]) -> list[float] | None:
    known = [round(score, 4) for score in scores if score is not None]
    return known if known and len(known) == len(scores) else None


def _agent(names: set[str]) -> str:
    """The annotators' names, in the letters that Argilla allows."""
    allowed = (name.replace("@", " v").replace("+", "-") for name in sorted(names))
    return " / ".join(allowed)[:200].strip()
