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

from annotators.statistics.agreement import (
    Agreement,
    agreement,
    by_unit,
    gwet,
    pairwise_agreement,
    percent_agreement,
)
from curation import console
from curation.corpus.filling import quoted, sql_file
from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import ledger, pull, rounds
from curation.review.client import Client
from curation.review.form.questions import title
from curation.review.people import GoldScore, ReviewerPair, gold_score, marks_agree, pairs
from curation.review.planning.disputes import Dispute, disputes
from curation.review.reviews import FAMILY, SUBMITTED, Review, reviewer_name
from curation.review.rounds import ReviewTask, Round

LONGEST_REVIEW_SECONDS = 1800.0
"""A longer gap between two submissions is a break, not a review."""
FEWEST_GAPS = 3
LISTED = 20
"""Disputes that are shown to people."""


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
    gold: GoldScore
    """On the round's traces with known labels."""


class PatternStatus(NamedTuple):
    """People's labels of one pattern."""

    pattern: str
    true: int
    false: int
    agreement: Agreement
    """Krippendorff's alpha among people, over traces that two or more of them judged."""
    ac1: Agreement
    """Gwet's AC1 of the same, for patterns that are rare: alpha is low or undefined there though people agree."""
    percent: float | None
    """Share of pairs of people that agree."""
    marks: float | None
    """How far two people mark the same words where both mark: mean F1 of code points."""
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
    pairs: list[ReviewerPair]
    disputes: list[Dispute]


class Label(NamedTuple):
    """What a person says of one trace and pattern, and what the machine says."""

    trace_id: str
    pattern: str
    reviewer: str
    label: bool
    suggested: bool | None


def read(corpus_dir: Path, round: str, client: Client | None = None) -> Status:
    """Where a round stands, as of the last pull; with a connection, people's progress is that on the server now.

    Raises:
        CorpusError: if the corpus has no such round.
        ServerError: if the server does not answer or does not have the round.
    """
    corpus = Store(corpus_dir)
    found = rounds.open_round(corpus, round)
    names = "(" + ", ".join(map(quoted, found.form.names)) + ")"
    query = sql_file("curation.review", "reviewer_labels.sql", patterns=names)
    labels = [Label(*row) for *row, _ in connect(corpus).execute(query).fetchall()]
    everything = ledger.load(corpus, found.form)
    here = [review for review in everything if review.round == round]
    live = pull.fetch(corpus, found, client).arrived if client else ()
    report = status(found, [*here, *live], labels)
    return report._replace(disputes=disputes(everything, [task.trace_id for task in found.tasks]))


def status(current: Round, reviews: Sequence[Review], labels: Sequence[Label]) -> Status:
    """Where a round stands, given all versions of its reviews and all labels by people."""
    latest = {(r.trace_id, r.reviewer): r for r in sorted(reviews, key=lambda review: review.updated_at)}
    submitted = Counter(trace_id for (trace_id, _), r in latest.items() if r.status == SUBMITTED)
    full = {trace_id for trace_id, n in submitted.items() if n >= current.recipe.overlap}
    team = {reviewer_name(name) for name in current.team.reviewers} if current.team else set()
    people = sorted({reviewer for _, reviewer in latest} | team)
    mine = {key for key, review in latest.items() if review.status == SUBMITTED}
    of_round = [x for x in labels if (x.trace_id, x.reviewer.removeprefix(f"{FAMILY}:")) in mine]
    blind = {task.trace_id for task in current.tasks if task.blind}
    votes = [latest[key] for key in sorted(mine)]
    return Status(
        round=current.recipe.name,
        traces=len(current.tasks),
        complete=len(full),
        overlap=current.recipe.overlap,
        reviewers=[_progress(person, current, latest.values(), full) for person in people],
        patterns=[
            _pattern(name, [x for x in of_round if x.pattern == name], blind, votes)
            for name in current.form.names
        ],
        verdicts=dict(Counter(latest[key].verdict or "none" for key in sorted(mine))),
        pairs=pairs(votes, people),
        disputes=disputes(votes, [task.trace_id for task in current.tasks]),
    )


def show(report: Status) -> None:
    """Print it for people."""
    console.result(
        f'round "{report.round}": {report.complete} of {report.traces} traces have {report.overlap} reviews; verdicts: '
        + (", ".join(f"{name} {n}" for name, n in sorted(report.verdicts.items())) or "none yet")
    )
    console.show_rows(
        ["reviewer", "submitted", "draft", "discarded", "pending", "seconds per trace", "gold", "gold right"],
        [
            {
                **row._asdict(),
                "gold": row.gold.traces,
                "gold right": _percent(row.gold.labels),
                "seconds per trace": "unknown" if (s := row.seconds_per_trace) is None else f"{s:.0f}",
            }
            for row in report.reviewers
        ],
    )
    console.show_rows(
        ["pattern", "true", "false", "shared", "agree", "alpha", "AC1", "marks", "suggested", "blind"],
        [_shown(row) for row in report.patterns],
    )
    console.show_rows(
        ["reviewer", "and", "shared", "agree"],
        [
            {"reviewer": p.first, "and": p.second, "shared": p.shared, "agree": _percent(p.agree)}
            for p in report.pairs
        ],
    )
    _show_disputes(report)


def _show_disputes(report: Status) -> None:
    waiting = [dispute for dispute in report.disputes if not dispute.decided]
    console.result(
        f"{len(report.disputes)} disputed, {len(report.disputes) - len(waiting)} of them decided"
        + (
            f"; have them decided with: curate review push --round {report.round} --adjudicate NAME"
            if waiting
            else ""
        )
    )
    for dispute in waiting[:LISTED]:
        what = [title(pattern) for pattern in dispute.patterns] + [" or ".join(dispute.verdicts)] * bool(
            dispute.verdicts
        )
        console.result(f"  {dispute.trace_id}: {', '.join(what)} ({', '.join(dispute.reviewers)})")
    if len(waiting) > LISTED:
        console.result(f"  and {len(waiting) - LISTED} more; all with --json")


def _shown(row: PatternStatus) -> dict[str, Any]:
    return {
        "pattern": title(row.pattern), "true": row.true, "false": row.false, "shared": row.agreement.units,
        "agree": _percent(row.percent), "alpha": _coefficient(row.agreement), "AC1": _coefficient(row.ac1),
        "marks": _percent(row.marks), "suggested": _percent(row.with_suggestion), "blind": _percent(row.blind),
    }  # fmt: skip


def _coefficient(found: Agreement) -> str:
    return "undefined" if found.alpha is None else f"{found.alpha:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _progress(person: str, current: Round, latest: Iterable[Review], full: set[str]) -> Progress:
    mine = [review for review in latest if review.reviewer == person]
    counts = Counter(review.status for review in mine)
    answered = {review.trace_id for review in mine}
    pending = sum(_waits(task, person, current, full, answered) for task in current.tasks)
    gold = {task.trace_id: task.gold for task in current.tasks if task.gold is not None}
    submitted = [review for review in mine if review.status == SUBMITTED]
    moments = [review.updated_at for review in mine if review.status == SUBMITTED]
    return Progress(
        person, counts[SUBMITTED], counts["draft"], counts["discarded"], pending, seconds_per_trace(moments),
        gold_score(submitted, gold),
    )  # fmt: skip


def _waits(task: ReviewTask, person: str, current: Round, full: set[str], answered: set[str]) -> bool:
    if task.trace_id in answered:
        return False
    planned = current.team.assigned.get(task.trace_id) if current.team else None
    if planned:
        return person in map(reviewer_name, planned)
    return task.trace_id not in full


def seconds_per_trace(moments: Sequence[str]) -> float | None:
    """The median time between submissions made at those moments (ISO 8601)."""
    times = sorted(datetime.fromisoformat(moment) for moment in moments)
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    work = [gap for gap in gaps if gap <= LONGEST_REVIEW_SECONDS]
    return median(work) if len(work) >= FEWEST_GAPS else None


def _pattern(name: str, labels: Sequence[Label], blind: set[str], votes: Sequence[Review]) -> PatternStatus:
    units = by_unit((x.trace_id, x.label) for x in labels)
    judged = [label for label in labels if label.suggested is not None]
    return PatternStatus(
        pattern=name,
        true=sum(x.label for x in labels),
        false=sum(not x.label for x in labels),
        agreement=agreement(units),
        ac1=gwet(units),
        percent=percent_agreement(units),
        marks=marks_agree(votes, name),
        with_suggestion=pairwise_agreement((x.label, x.suggested) for x in judged if x.trace_id not in blind),
        blind=pairwise_agreement((x.label, x.suggested) for x in judged if x.trace_id in blind),
    )
