"""The reviews of a corpus: every version of every pulled response, and the annotations derived from them.

Annotations are always derived from the whole `reviews` table, not from the new rows: a run interrupted between the two tables
is repaired by the next one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from curation.annotate.judging import to_table
from curation.codebook import stored
from curation.corpus.filling import sql_file
from curation.corpus.query import open_tables
from curation.corpus.store import Store
from curation.review import reviews
from curation.review.form.questions import ReviewForm, form_of
from curation.review.reviews import DECIDING, FAMILY, GivenValue, Mark, Review
from schemas.annotation import Annotation
from schemas.ids import content_id


def load(corpus: Store, form: ReviewForm | None = None) -> list[Review]:
    """All versions of all reviews; with a form those of its codebook."""
    known = stored.known(corpus)
    rows = (row for batch in corpus.scan("reviews") for row in batch.to_pylist())
    return [
        _review(row, of_row)
        for row in rows
        if (of_row := form_of(known, row.pop("codebook", None))).codebook == (form or of_row).codebook
    ]


class Added(NamedTuple):
    """What was written."""

    new_reviews: int
    """Versions of reviews that were not here before."""
    new_annotations: int


def add(corpus: Store, arrived: Sequence[Review]) -> Added:
    """Keep reviews that are new, then annotations that they change."""
    with corpus.writing("reviews", "annotations"):
        known = corpus.keys("reviews")
        new = {_key(review): review for review in arrived if _key(review) not in known}
        corpus.append_rows("reviews", [_row(review) for review in new.values()])
        missing = reviews.due(load(corpus), _said_by_people(corpus))
        if missing:
            corpus.append("annotations", to_table(missing))
    return Added(len(new), len(missing))


def latest(corpus: Store, round: str) -> dict[tuple[str, str], Review]:
    """The last version of every review of a round, by trace and reviewer."""
    versions = sorted(load(corpus), key=lambda review: review.updated_at)
    return {(review.trace_id, review.reviewer): review for review in versions if review.round == round}


def quarantine(corpus: Store, stage: str, source: str, faults: Sequence[tuple[int, str, str]]) -> None:
    """Quarantine invalid reviews: (line or position, reason, detail) each."""
    rows = [
        {
            "quarantine_id": content_id([stage, source, line, detail]), "stage": stage, "source_file": source,
            "source_line": line, "reason": reason, "detail": detail,
        }
        for line, reason, detail in faults
    ]  # fmt: skip
    with corpus.writing("quarantine"):
        known = corpus.keys("quarantine")
        corpus.append_rows("quarantine", [row for row in rows if row["quarantine_id"] not in known])


def texts(corpus: Store, trace_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Reasoning and answer of those traces that the corpus has."""
    query = sql_file("curation.review", "texts.sql")
    rows = open_tables(corpus).execute(query, {"ids": list(trace_ids)}).fetchall()
    return {trace_id: {"reasoning": reasoning, "answer": answer} for trace_id, reasoning, answer in rows}


def _said_by_people(corpus: Store) -> list[Annotation]:
    families = f"('{FAMILY}', '{DECIDING}')"
    query = f"from annotations where split_part(split_part(annotator, '@', 1), ':', 1) in {families}"
    rows = open_tables(corpus).sql(query).to_arrow_table().to_pylist()
    return [Annotation.model_validate({**row, "spans": row["spans"] or ()}) for row in rows]


def _key(review: Review) -> tuple[str, str, str, str]:
    return (review.round, review.trace_id, review.reviewer, review.updated_at)


def _row(review: Review) -> dict[str, Any]:
    return review.row | {"values": review.row["values"] or None}


def _review(row: dict[str, Any], form: ReviewForm) -> Review:
    spans = tuple(Mark(**mark) for mark in row.pop("spans") or ())
    values = tuple(GivenValue(**one) for one in row.pop("values") or ())
    patterns = tuple(row.pop("patterns") or ())
    return Review(**row, patterns=patterns, spans=spans, values=values, form=form)
