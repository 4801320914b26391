"""Traces on which people disagree, and traces whose labels are known: what an adjudicator decides, and what gold items are made of."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from curation.review import questions
from curation.review.planning.assignment import place
from curation.review.reviews import DECIDING, SUBMITTED, Review, standing
from schemas.patterns import RISKY_PATTERNS

UNSURE = "unsure"


class Dispute(NamedTuple):
    """A trace on which people disagree, or somebody is unsure."""

    trace_id: str
    patterns: tuple[str, ...]
    """Those that some ticked and others did not."""
    verdicts: tuple[str, ...]
    """What people want done with it, where they differ or somebody is unsure."""
    reviewers: tuple[str, ...]
    decided: bool
    """Whether an adjudicator has decided it."""


def disputes(reviews: Iterable[Review], traces: Collection[str]) -> list[Dispute]:
    """The disputes among the standing reviews of some traces, in the order of the traces."""
    votes = votes_by_trace(reviews)
    found = (_dispute(trace, votes[trace]) for trace in traces if trace in votes)
    return [dispute for dispute in found if dispute]


def votes_by_trace(reviews: Iterable[Review]) -> dict[str, list[Review]]:
    """The standing submitted reviews of each trace, adjudicators' included."""
    votes: dict[str, list[Review]] = {}
    for review in standing(reviews):
        if review.status == SUBMITTED:
            votes.setdefault(review.trace_id, []).append(review)
    return votes


def known(
    reviews: Iterable[Review], seed: str, *, apart: Collection[str] = (), of_round: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Traces with known labels, in a random order: their patterns, or "none".

    Known is what an adjudicator decided or two or more people agree on in all patterns; or, of a round, what its reviews agree on.

    Args:
        reviews: all versions of all reviews.
        seed: of the order.
        apart: traces to leave out.
        of_round: the round whose reviews are taken.
    """
    given = [review for review in reviews if of_round in (None, review.round)]
    labels = {}
    for trace, votes in votes_by_trace(given).items():
        decided = [review for review in votes if review.role == DECIDING]
        said = {review.patterns for review in decided or votes}
        if trace not in apart and len(said) == 1 and (decided or of_round or len(votes) > 1):
            labels[trace] = said.pop()
    return {trace: labels[trace] for trace in sorted(labels, key=lambda trace: place(seed, trace))}


def _dispute(trace: str, reviews: list[Review]) -> Dispute | None:
    votes = [review for review in reviews if review.role != DECIDING]
    counts = {pattern: sum(pattern in vote.patterns for vote in votes) for pattern in RISKY_PATTERNS}
    patterns = tuple(pattern for pattern, n in counts.items() if 0 < n < len(votes))
    said = {vote.verdict for vote in votes if vote.verdict}
    verdicts = tuple(name for name in questions.VERDICTS if name in said)
    if not patterns and len(verdicts) < 2 and UNSURE not in verdicts:
        return None
    differ = verdicts if len(verdicts) > 1 or UNSURE in verdicts else ()
    return Dispute(
        trace, patterns, differ, tuple(sorted(vote.reviewer for vote in votes)), len(votes) < len(reviews)
    )
