"""`curate review status`: progress of a round, agreement between people, and the influence of suggestions.

It is computed from pulled reviews; run `curate review pull` first. Anchoring is estimated by comparing how often people agree
with the machine's labels if these were shown and if they were not.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from annotators.statistics.agreement import Agreement, agreement, by_unit, pairwise_agreement
from curation import console
from curation.corpus.filling import quoted, sql_file
from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import ledger, rounds
from curation.review.questions import title
from curation.review.reviews import FAMILY, SUBMITTED, Review
from curation.review.rounds import Round
from schemas.patterns import RISKY_PATTERNS

LONGEST_REVIEW_SECONDS = 1800.0
"""A longer gap between two submissions is a break, not a review."""
FEWEST_GAPS = 3


class Progress(NamedTuple):
    """How far one reviewer is."""

    reviewer: str
    submitted: int
    draft: int
    discarded: int
    pending: int
    """Traces that wait for this reviewer: not full yet and not answered by them."""
    seconds_per_trace: float | None
    """Median time between two submissions, breaks left out; null with too few of them."""


class PatternStatus(NamedTuple):
    """People's labels of one pattern."""

    pattern: str
    true: int
    false: int
    agreement: Agreement
    """Among people, over traces that two or more of them judged."""
    with_suggestion: float | None
    """How often people agree with the machine's label where they were shown it."""
    blind: float | None
    """The same where they were not."""


class Status(NamedTuple):
    """The status of a round."""

    round: str
    traces: int
    complete: int
    """Traces with as many reviews as the round wants."""
    overlap: int
    reviewers: list[Progress]
    patterns: list[PatternStatus]
    verdicts: dict[str, int]


class Label(NamedTuple):
    """What a person says of one trace and pattern, and what the machine says."""

    trace_id: str
    pattern: str
    reviewer: str
    label: bool
    suggested: bool | None


def read(corpus_dir: Path, round: str) -> Status:
    """Where a round stands.

    Raises:
        CorpusError: if the corpus has no such round.
    """
    corpus = Store(corpus_dir)
    found = rounds.open_round(corpus, round)
    query = sql_file(
        "curation.review", "reviewer_labels.sql", patterns="(" + ", ".join(map(quoted, RISKY_PATTERNS)) + ")"
    )
    labels = [Label(*row) for row in connect(corpus).execute(query).fetchall()]
    return status(found, [review for review in ledger.load(corpus) if review.round == round], labels)


def status(current: Round, reviews: Sequence[Review], labels: Sequence[Label]) -> Status:
    """Where a round stands, given all versions of its reviews and all labels by people."""
    latest = {(r.trace_id, r.reviewer): r for r in sorted(reviews, key=lambda review: review.updated_at)}
    submitted = Counter(trace_id for (trace_id, _), r in latest.items() if r.status == SUBMITTED)
    full = {trace_id for trace_id, n in submitted.items() if n >= current.recipe.overlap}
    people = sorted({reviewer for _, reviewer in latest})
    mine = {key for key, review in latest.items() if review.status == SUBMITTED}
    of_round = [x for x in labels if (x.trace_id, x.reviewer.removeprefix(f"{FAMILY}:")) in mine]
    blind = {task.trace_id for task in current.tasks if task.blind}
    return Status(
        round=current.recipe.name,
        traces=len(current.tasks),
        complete=len(full),
        overlap=current.recipe.overlap,
        reviewers=[_progress(person, current, latest.values(), full) for person in people],
        patterns=[
            _pattern(name, [x for x in of_round if x.pattern == name], blind) for name in RISKY_PATTERNS
        ],
        verdicts=dict(Counter(latest[key].verdict or "none" for key in sorted(mine))),
    )


def show(report: Status) -> None:
    """Print it for people."""
    console.result(
        f'round "{report.round}": {report.complete} of {report.traces} traces have {report.overlap} reviews; verdicts: '
        + (", ".join(f"{name} {n}" for name, n in sorted(report.verdicts.items())) or "none yet")
    )
    console.show_rows(
        ["reviewer", "submitted", "draft", "discarded", "pending", "seconds per trace"],
        [
            {
                **row._asdict(),
                "seconds per trace": "unknown" if (s := row.seconds_per_trace) is None else f"{s:.0f}",
            }
            for row in report.reviewers
        ],
    )
    console.show_rows(
        ["pattern", "true", "false", "shared", "alpha", "agree, suggested", "agree, blind"],
        [_shown(row) for row in report.patterns],
    )


def _shown(row: PatternStatus) -> dict[str, Any]:
    agreement = row.agreement
    alpha = (
        "undefined"
        if agreement.alpha is None
        else f"{agreement.alpha:.2f} [{agreement.low:.2f}, {agreement.high:.2f}]"
    )
    return {
        "pattern": title(row.pattern), "true": row.true, "false": row.false, "shared": agreement.units, "alpha": alpha,
        "agree, suggested": _percent(row.with_suggestion), "agree, blind": _percent(row.blind),
    }  # fmt: skip


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _progress(person: str, current: Round, latest: Iterable[Review], full: set[str]) -> Progress:
    mine = [review for review in latest if review.reviewer == person]
    counts = Counter(review.status for review in mine)
    answered = {review.trace_id for review in mine}
    pending = sum(task.trace_id not in full and task.trace_id not in answered for task in current.tasks)
    moments = [review.updated_at for review in mine if review.status == SUBMITTED]
    return Progress(
        person, counts[SUBMITTED], counts["draft"], counts["discarded"], pending, seconds_per_trace(moments)
    )


def seconds_per_trace(moments: Sequence[str]) -> float | None:
    """The median time between submissions made at those moments (ISO 8601)."""
    times = sorted(datetime.fromisoformat(moment) for moment in moments)
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    work = [gap for gap in gaps if gap <= LONGEST_REVIEW_SECONDS]
    return median(work) if len(work) >= FEWEST_GAPS else None


def _pattern(name: str, labels: Sequence[Label], blind: set[str]) -> PatternStatus:
    judged = [label for label in labels if label.suggested is not None]
    return PatternStatus(
        pattern=name,
        true=sum(x.label for x in labels),
        false=sum(not x.label for x in labels),
        agreement=agreement(by_unit((x.trace_id, x.label) for x in labels)),
        with_suggestion=pairwise_agreement((x.label, x.suggested) for x in judged if x.trace_id not in blind),
        blind=pairwise_agreement((x.label, x.suggested) for x in judged if x.trace_id in blind),
    )
