"""How much an annotator's word counts: from people's labels (`weighted`) or from the annotators' agreement (`dawid_skene`).

Both give each annotator a rate of found positives and one of recognised negatives per pattern; a trace's verdict is then the
posterior of independent witnesses (naive Bayes). The surprise: Dawid and Skene's estimate needs no trace by trace work,
only how often each combination of votes occurs, so ten million traces cost as much as a thousand. That, and clamping to
people's labels, is why it stands here in thirty lines and not in a library (crowd-kit works on one row per vote in pandas).

Source: A. P. Dawid, A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm" (1979).
"""

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Literal, NamedTuple

Policy = Literal["ranked", "majority", "weighted", "dawid_skene"]
"""ranked: people, then judges and guards, then models, then rules; majority: people, then all others alike."""
ROUNDS = 500
SETTLED = 1e-7
LEAST_WITNESSES = 3
"""Fewer annotators cannot be told apart by their agreement alone."""


class Ballots(NamedTuple):
    """How often a combination of votes on one pattern occurs."""

    votes: Mapping[str, bool]
    """Annotator -> its label; those that abstained are left out."""
    truth: bool | None
    """The majority of the people who judged these traces."""
    traces: int


class Reliability(NamedTuple):
    """How far one annotator can be trusted on one pattern."""

    found: float
    """Of the traces that show the pattern, the share it labels true."""
    cleared: float
    """Of those that do not, the share it labels false."""

    @property
    def if_true(self) -> float:
        """Log odds that its "true" adds."""
        return log(self.found / (1 - self.cleared))

    @property
    def if_false(self) -> float:
        """Log odds that its "false" adds; negative for an annotator that is worth anything."""
        return log((1 - self.found) / self.cleared)


class Weights(NamedTuple):
    """What decides a pattern."""

    prior: float
    """Log odds of the pattern before anybody has spoken."""
    annotators: dict[str, Reliability]


def by_machines(ballots: Sequence[Ballots]) -> list[Ballots]:
    """The ballots without people's votes, and without those that are empty then."""
    found = []
    for votes, truth, traces in ballots:
        left = {name: vote for name, vote in votes.items() if not name.startswith("human:")}
        if left:
            found.append(Ballots(left, truth, traces))
    return found


def measured(ballots: Sequence[Ballots]) -> Weights | None:
    """Rates on people's labels, with one trace of each kind added (Laplace); null unless people said both yes and no."""
    known = [ballot for ballot in ballots if ballot.truth is not None]
    if {ballot.truth for ballot in known} != {True, False}:
        return None
    return _maximise(known, [float(bool(ballot.truth)) for ballot in known])


def dawid_skene(ballots: Sequence[Ballots]) -> Weights | None:
    """Rates by expectation maximisation, starting from the majority; people's labels are taken for the truth.

    Returns:
        Null where it cannot be told who is right: fewer than three annotators, and no people's labels of both kinds.
    """
    names = {name for ballot in ballots for name in ballot.votes}
    if len(names) < LEAST_WITNESSES and measured(ballots) is None:
        return None
    beliefs = [_share(ballot) if ballot.truth is None else float(ballot.truth) for ballot in ballots]
    for _ in range(ROUNDS):
        weights = _maximise(ballots, beliefs)
        before, beliefs = beliefs, [_belief(ballot, weights) for ballot in ballots]
        if max(abs(a - b) for a, b in zip(before, beliefs, strict=True)) < SETTLED:
            break
    return weights


def posterior(votes: Mapping[str, bool], weights: Weights) -> float:
    """How probable the pattern is, given votes; annotators without a reliability do not count."""
    known = [(weights.annotators[name], vote) for name, vote in votes.items() if name in weights.annotators]
    odds = weights.prior + sum(r.if_true if vote else r.if_false for r, vote in known)
    return 1 / (1 + exp(-odds)) if odds > -500 else 0.0


def _maximise(ballots: Sequence[Ballots], beliefs: Sequence[float]) -> Weights:
    positive = sum(b.traces * p for b, p in zip(ballots, beliefs, strict=True))
    total = sum(b.traces for b in ballots)
    annotators = {}
    for name in sorted({name for ballot in ballots for name in ballot.votes}):
        said = [
            (b.votes[name], b.traces, p) for b, p in zip(ballots, beliefs, strict=True) if name in b.votes
        ]
        hits = sum(n * p for vote, n, p in said if vote)
        cleared = sum(n * (1 - p) for vote, n, p in said if not vote)
        positives = sum(n * p for _, n, p in said)
        negatives = sum(n * (1 - p) for _, n, p in said)
        annotators[name] = Reliability((hits + 1) / (positives + 2), (cleared + 1) / (negatives + 2))
    return Weights(log((positive + 1) / (total - positive + 1)), annotators)


def _share(ballot: Ballots) -> float:
    return sum(ballot.votes.values()) / len(ballot.votes)


def _belief(ballot: Ballots, weights: Weights) -> float:
    return posterior(ballot.votes, weights) if ballot.truth is None else float(ballot.truth)
