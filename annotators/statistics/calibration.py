"""From which score an annotator's word should be taken for a yes, and how well its scores and labels hold, on people's labels.

The surprise: a threshold looks better on the labels that chose it than it is. So precision and recall are also measured on
labels held out: for each fifth of the prompts a threshold is chosen on the other four, and only there it is counted.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from annotators.statistics.intervals import Interval, wilson
from schemas.ids import content_id

FOLDS = 5
BINS = 10
LEAST = 10
"""Labels of each kind, and found traces, below which a threshold would be luck."""


class Judgement(NamedTuple):
    """What an annotator said of a trace that people judged."""

    score: float | None
    label: bool
    truth: bool
    prompt_id: str
    """Traces of one prompt are held out together."""


class Target(NamedTuple):
    """What a threshold is chosen for."""

    precision: float | None = None
    """The least precision, at the highest recall that has it; null for the best F1."""

    @property
    def name(self) -> str:
        """ "precision>=0.9" or "f1"."""
        return "f1" if self.precision is None else f"precision>={self.precision:g}"


class Tally(NamedTuple):
    """How often an annotator was right and wrong."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float | None:
        """Null if it never said yes."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Null if people never said yes."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """Null if neither ever said yes."""
        return _ratio(
            2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives
        )

    def intervals(self) -> dict[str, Interval | None]:
        """Wilson's 95 % intervals of precision and recall."""
        said, due = self.true_positives + self.false_positives, self.true_positives + self.false_negatives
        return {
            "precision": wilson(self.true_positives, said) if said else None,
            "recall": wilson(self.true_positives, due) if due else None,
        }


class Bin(NamedTuple):
    """Traces with about the same score."""

    low: float
    high: float
    traces: int
    mean_score: float
    true_share: float
    interval: Interval


def tally(judgements: Sequence[Judgement], threshold: float | None) -> Tally:
    """Count what a threshold makes of the judgements; those without a score keep their label."""
    pairs = [(_says(judgement, threshold), judgement.truth) for judgement in judgements]
    return Tally(
        *(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False)))
    )


def find_threshold(judgements: Sequence[Judgement], target: Target) -> float | None:
    """The score that meets a target best.

    Returns:
        Null where no score does, there are no scores, people gave fewer than ten labels of either kind, or a precision
        is met on fewer than ten traces only.
    """
    truths = [judgement.truth for judgement in judgements]
    if min(truths.count(True), truths.count(False)) < LEAST:
        return None
    tallies = list(_at_each_score(judgements))
    if target.precision is None:
        score, best = max(tallies, key=lambda pair: (pair[1].f1 or 0.0, pair[0]), default=(None, None))
        return score if best and best.f1 else None
    good = [
        score
        for score, t in tallies
        if (t.precision or 0.0) >= target.precision and t.true_positives + t.false_positives >= LEAST
    ]
    return min(good, default=None)  # a lower threshold never finds less


def _at_each_score(judgements: Sequence[Judgement]) -> Iterator[tuple[float, Tally]]:
    """The tally of each score as a threshold, highest first, in one pass."""
    scored = sorted((-j.score, j.truth) for j in judgements if j.score is not None)
    fixed = tally([judgement for judgement in judgements if judgement.score is None], None)
    positives = sum(truth for _, truth in scored)
    hits = said = 0
    for place, (score, truth) in enumerate(scored):
        hits, said = hits + truth, said + 1
        if place + 1 == len(scored) or scored[place + 1][0] != score:
            misses, wrong = positives - hits, said - hits
            right = len(scored) - said - misses
            yield -score, Tally(*(a + b for a, b in zip(fixed, (hits, wrong, misses, right), strict=True)))


def held_out(judgements: Sequence[Judgement], target: Target) -> Tally | None:
    """What a threshold for this target does on prompts it was not chosen on; null where a fold has no threshold."""
    total = [0, 0, 0, 0]
    for fold in range(FOLDS):
        ours = [judgement for judgement in judgements if _fold(judgement) == fold]
        others = [judgement for judgement in judgements if _fold(judgement) != fold]
        threshold = find_threshold(others, target)
        if threshold is None:
            return None
        total = [a + b for a, b in zip(total, tally(ours, threshold), strict=True)]
    return Tally(*total)


def reliability(judgements: Sequence[Judgement]) -> list[Bin]:
    """Traces by score in ten bins of equal width: a calibrated score is the share of them that people call true."""
    bins = []
    for place in range(BINS):
        low, high = place / BINS, (place + 1) / BINS
        inside = [
            (j.score, j.truth)
            for j in judgements
            if j.score is not None and (low <= j.score < high or (j.score == 1 and high == 1))
        ]
        if inside:
            true = sum(truth for _, truth in inside)
            mean = sum(score for score, _ in inside) / len(inside)
            bins.append(Bin(low, high, len(inside), mean, true / len(inside), wilson(true, len(inside))))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Expected calibration error: the mean distance of score and share, weighted by traces; null without scores."""
    total = sum(b.traces for b in bins)
    return sum(b.traces * abs(b.mean_score - b.true_share) for b in bins) / total if total else None


def _says(judgement: Judgement, threshold: float | None) -> bool:
    return judgement.label if threshold is None or judgement.score is None else judgement.score >= threshold


def _fold(judgement: Judgement) -> int:
    return int(content_id(judgement.prompt_id)[:8], 16) % FOLDS


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
