"""`curate review export` and `import`: a round as JSONL, for any tool that is not Argilla.

Offsets are code points of the text as it stands in the file, so no conversion is needed on either side. Importing a file
twice changes nothing: a review counts as new when what it says is new.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from annotators.earlier import with_earlier_turns
from curation import console
from curation.corpus.query import connect
from curation.corpus.store import Store, write_file
from curation.reading import read_text
from curation.review import ledger, reviews, rounds
from curation.review.form import questions
from curation.review.form.questions import FIVE, ReviewForm
from curation.review.formats import label_studio
from curation.review.records import SHOWN
from curation.review.reviews import SUBMITTED, GivenValue, Mark, Review, reviewer_name
from curation.review.rounds import RoundRecipe
from curation.versions import versions
from schemas import faults
from schemas.choices import ReviewTool
from schemas.errors import DataError
from schemas.manifest import Counts, Manifest

STAGE = "review-import"


class MarkLine(BaseModel):
    """Marked words."""

    model_config = ConfigDict(extra="forbid")

    pattern: str
    field: Literal["reasoning", "answer"]
    start: int = Field(ge=0)
    end: int


class ValueLine(BaseModel):
    """The value of an entry with levels or numbers."""

    model_config = ConfigDict(extra="forbid")

    pattern: str
    value: int | float | str
    """A level's name or its place from 0, or a number."""


class ReviewLine(BaseModel):
    """One review in a file; other keys, such as the texts of an export, are passed over."""

    trace_id: str
    reviewer: str = Field(min_length=1)
    patterns: list[str] = Field(default_factory=list)
    """The patterns that are there, or ["none"]."""
    values: list[ValueLine] = Field(default_factory=list)
    """Those of entries with levels or numbers."""
    verdict: str | None = None
    status: str = SUBMITTED
    comment: str | None = None
    spans: list[MarkLine] = Field(default_factory=list)
    updated_at: datetime | None = None
    """When it was given; the time of the import by default."""


def export(
    corpus_dir: Path,
    recipe: RoundRecipe,
    out: Path,
    *,
    reviewer: str | None = None,
    tool: ReviewTool = "jsonl",
) -> int:
    """Write a round, made now if there is none, as JSONL: the traces with suggestions, and each trace's reviews.

    For one reviewer: their own traces, where they are planned, and nobody else's reviews. Label Studio's file is one JSON list of tasks.

    Raises:
        RecipeError: if the round cannot be made with these settings.
        CorpusError: if the file cannot be written.
    """
    corpus = Store(corpus_dir)
    current = rounds.open_or_create(corpus, recipe)
    own = reviewer and reviewer_name(reviewer)
    given: dict[str, list[Review]] = {}
    for review in reviews.standing(
        review for review in ledger.load(corpus, current.form) if review.round == recipe.name
    ):
        if own in (None, review.reviewer):
            given.setdefault(review.trace_id, []).append(review)
    rows = [
        row
        for batch in rounds.records(connect(corpus), recipe.name, current.form)
        for row in batch.to_pylist()
        if reviewer is None or current.is_for(reviewer, row["trace_id"])
    ]
    lines = (_export_line(row, given.get(row["trace_id"], []), current.form) for row in rows)
    if tool == "label-studio":
        tasks = [label_studio.task(line, current.form) for line in lines]
        write_file(out, json.dumps(tasks, ensure_ascii=False, indent=1).encode())
    else:
        write_file(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
    return len(rows)


def run(corpus_dir: Path, file: Path, *, round: str) -> Manifest:
    """Read reviews from a JSONL file, or from Label Studio's JSON, into a round; the summary says how many of them are new.

    Raises:
        CorpusError: if the corpus has no such round.
        DataError: if the file cannot be read at all.
    """
    corpus = Store(corpus_dir)
    current = rounds.open_round(corpus, round)
    texts = ledger.texts(corpus, [task.trace_id for task in current.tasks])
    latest = ledger.latest(corpus, round)
    counts, arrived, faults = Counts(), [], []
    for number, text in _lines(file):
        try:
            found_here = [
                one._replace(role=current.role) for one in read_line(text, round, texts, latest, current.form)
            ]
        except ValueError as error:
            counts.rows += 1
            counts.add("quarantined", "unreadable review")
            faults.append((number, "unreadable review", _reason(error)))
            continue
        counts.rows += max(1, len(found_here))
        counts.kept += len(found_here)
        if not found_here:
            counts.add("filtered", "no review yet")
        for review in found_here:
            known = latest.get((review.trace_id, review.reviewer))
            if known is None or known.content != review.content:
                arrived.append(review)
                latest[review.trace_id, review.reviewer] = review
    ledger.quarantine(corpus, STAGE, file.name, faults)
    added = ledger.add(corpus, arrived)
    manifest = Manifest(
        stage=STAGE,
        recipe={"round": round, "file": file.name},
        versions=versions("lrm-curate"),
        counts=counts,
        summary={**added._asdict()},
    )
    corpus.write_manifest(manifest)
    if faults:
        console.say(f"{file}:{faults[0][0]}: {faults[0][2]} (and {len(faults) - 1} more in quarantine)")
    return manifest


def read_line(
    text: str,
    round: str,
    texts: dict[str, dict[str, str]],
    latest: Mapping[tuple[str, str], Review],
    form: ReviewForm = FIVE,
) -> list[Review]:
    """The reviews in a line: one, or those in the `reviews` of an exported line.

    Args:
        text: the line.
        round: its round.
        texts: of the round's traces.
        latest: what is known by trace and reviewer; a review without a time of its own follows it.
        form: what was asked for.

    Raises:
        ValueError: if one is unreadable, or is about a trace that is not in `texts`, or marks words outside of it.
    """
    line = json.loads(text)
    if not isinstance(line, dict):
        raise ValueError("not a JSON object")
    given = label_studio.reviews(line) if "data" in line else line.get("reviews", [line])
    return [_read(ReviewLine.model_validate(review), round, texts, latest, form) for review in given]


def _read(
    line: ReviewLine,
    round: str,
    texts: dict[str, dict[str, str]],
    latest: Mapping[tuple[str, str], Review],
    form: ReviewForm,
) -> Review:
    if line.trace_id not in texts:
        raise ValueError(f"trace {line.trace_id!r} is not in this round")
    for mark in line.spans:
        length = len(texts[line.trace_id].get(mark.field, ""))
        if not mark.start < mark.end <= length:
            raise ValueError(
                f"marked words [{mark.start}, {mark.end}) are outside of the {mark.field} ({length} characters)"
            )
    moment = line.updated_at or datetime.now(UTC)
    reviewer = reviewer_name(line.reviewer)
    review = reviews.checked(
        Review(
            round, line.trace_id, reviewer, moment.isoformat(), line.status, line.verdict,
            tuple(line.patterns), tuple(Mark(**mark.model_dump()) for mark in line.spans), line.comment or None,
            values=tuple(_value(one, form) for one in line.values), form=form,
        )
    )  # fmt: skip
    return review if line.updated_at else reviews.after(review, latest.get((line.trace_id, reviewer)))


def _value(line: ValueLine, form: ReviewForm) -> GivenValue:
    entry = form.by_name.get(line.pattern)
    if entry is None or not entry.graded:
        raise ValueError(f"{line.pattern}: no entry with levels or numbers is asked for by this name")
    return GivenValue(line.pattern, entry.number(line.value))


def _export_line(row: dict[str, Any], given: list[Review], form: ReviewForm) -> dict[str, Any]:
    verdicts = [] if row["blind"] else row["verdicts"] or []
    evidence = [] if row["blind"] else row["evidence"] or []
    true = {verdict["pattern"] for verdict in verdicts if verdict["label"]}
    return {
        **{
            name: row[name]
            for name in ("trace_id", "prompt", "reasoning", "answer", "strategy", "model", "kind")
        },
        "prompt": with_earlier_turns(row["prompt"], row["turns"], SHOWN),
        "reason": "audit" if row["reason"] == rounds.GOLD else row["reason"],
        "blind": row["blind"],
        "choices": [*form.ticked, questions.NONE],
        **({"values": {entry.name: entry.values for entry in form.graded}} if form.graded else {}),
        "suggested": [{k: v[k] for k in ("pattern", "label", "score", "provenance")} for v in verdicts],
        "suggested_spans": [
            {"pattern": e["pattern"], **span} for e in evidence if e["pattern"] in true for span in e["spans"]
        ],
        "reviews": [review.row for review in given],
    }


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    text = read_text(file, "give a JSONL file", most=None, kind=DataError)
    tasks = _tasks(text, file) if text.lstrip().startswith("[") else None
    if tasks is not None:
        for number, task in enumerate(tasks, start=1):
            yield number, json.dumps(task)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _tasks(text: str, file: Path) -> list[Any] | None:
    """Label Studio's list of tasks; null if only the first line is a list."""
    try:
        tasks: list[Any] = json.loads(text)
        return tasks
    except (ValueError, RecursionError) as error:
        try:
            json.loads(text.lstrip().partition("\n")[0])
            return None
        except (ValueError, RecursionError):
            raise DataError(
                f"{file}: not JSON ({error}); give the file as the tool has exported it"
            ) from None


def _reason(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return faults.listed(error)
    return str(error)
