"""How common a pattern is in a corpus, and what an annotator's precision is there.

The surprise: precision moves with prevalence. An annotator that is right on 9 of 10 positives where half of the labels are
true is right on 1 of 3 where 5 % are, and label sets are richer in positives than corpora.

Source: W. J. Rogan, B. Gladen, "Estimating Prevalence from the Results of a Screening Test" (1978).
"""

from annotators.statistics.calibration import Confusion


def prevalence(positive_share: float, measured: Confusion) -> float | None:
    """The share of traces with the pattern, from the share that the annotator calls positive (Rogan and Gladen).

    Args:
        positive_share: of the corpus.
        measured: the annotator against people's labels.

    Returns:
        Null if the annotator is no better than chance.
    """
    rates = _rates(measured)
    if rates is None or sum(rates) <= 1:
        return None
    sensitivity, specificity = rates
    return min(1.0, max(0.0, (positive_share + specificity - 1) / (sensitivity + specificity - 1)))


def precision_at(prevalence: float, measured: Confusion) -> float | None:
    """The precision where this share of traces has the pattern; null without positive labels there."""
    rates = _rates(measured)
    if rates is None:
        return None
    sensitivity, specificity = rates
    hits, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return hits / (hits + alarms) if hits + alarms else None


def _rates(measured: Confusion) -> tuple[float, float] | None:
    positives = measured.true_positives + measured.false_negatives
    negatives = measured.true_negatives + measured.false_positives
    if not positives or not negatives:
        return None
    return measured.true_positives / positives, measured.true_negatives / negatives
