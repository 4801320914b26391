"""`curate agree`: inter-annotator agreement by pattern: Krippendorff's alpha, Fleiss' kappa, and Cohen's kappa of each pair.

Any annotators can be compared, including people; "people" is the majority label of all people. Labels are those of the
consensus, so calibrated thresholds apply.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from annotators.statistics.agreement import Agreement, agreement, cohen, fleiss, pairwise_agreement
from annotators.statistics.consensus import LabelCombination
from curation import console
from curation.corpus.query import connect, label_combinations
from curation.corpus.store import Store
from curation.recipe import Recipe
from schemas.choices import meant
from schemas.errors import RecipeError, UsageError
from schemas.patterns import CODEBOOK, RISKY_PATTERNS

PEOPLE = "people"


class AgreeRecipe(Recipe):
    """What `curate agree` may be told."""

    annotators: tuple[str, ...] = ()
    """Names without versions, or "people"; every annotator and person of the corpus by default."""
    patterns: tuple[str, ...] = RISKY_PATTERNS


class Coefficient(NamedTuple):
    """A coefficient of agreement with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None
    traces: int


class PairAgreement(NamedTuple):
    """How far two annotators agree."""

    between: tuple[str, str]
    same: float | None
    """Share of equal labels."""
    cohen: Coefficient


class PatternAgreement(NamedTuple):
    """How far annotators agree on one pattern."""

    alpha: Coefficient
    fleiss: Coefficient
    pairs: list[PairAgreement]


def compare(observed: Sequence[LabelCombination], names: Sequence[str], seed: int = 0) -> PatternAgreement:
    """Agreement of some annotators on one pattern."""
    weighted_labels = [
        ({**combination.labels, PEOPLE: combination.truth}, combination.traces) for combination in observed
    ]
    said = [([of.get(name) for name in names], traces) for of, traces in weighted_labels]
    units = [[label for label in labels if label is not None] for labels, n in said for _ in range(n)]
    pairs = []
    for (left, name), (right, other) in combinations(enumerate(names), 2):
        both = [
            (labels[left], labels[right])
            for labels, n in said
            if labels[left] is not None and labels[right] is not None
            for _ in range(n)
        ]
        same = pairwise_agreement(both)
        pairs.append(PairAgreement((name, other), same, _shown(cohen(both, seed))))
    whole = [unit for unit in units if len(unit) == len(names)]
    return PatternAgreement(_shown(agreement(units, seed)), _shown(fleiss(whole, seed)), pairs)


def read(corpus_dir: Path, recipe: AgreeRecipe) -> dict[str, PatternAgreement]:
    """How far the annotators of a corpus agree, by pattern.

    Raises:
        UsageError: if an annotator or pattern is unknown; lists those there are.
        RecipeError: if there are not two annotators to compare.
        CorpusError: if there is no corpus.
    """
    known = [entry.name for entry in CODEBOOK]
    if unknown := sorted(set(recipe.patterns) - set(known)):
        raise UsageError(
            f"unknown pattern {', '.join(unknown)}{meant(unknown[0], known)}; the codebook has {', '.join(known)}"
        )
    by_pattern = label_combinations(connect(Store(corpus_dir)))
    of_patterns = [combination for pattern in recipe.patterns for combination in by_pattern.get(pattern, ())]
    spoke = sorted({name for combination in of_patterns for name in combination.labels})
    people = [PEOPLE] if any(combination.truth is not None for combination in of_patterns) else []
    names = list(recipe.annotators) or spoke
    if missing := sorted(set(names) - {*spoke, *people}):
        there = [*spoke, *people]
        raise UsageError(
            f"no labels by {', '.join(missing)}{meant(missing[0], there)}; annotators of these patterns: {', '.join(there) or 'nobody'}"
        )
    if len(set(names)) < 2:
        raise RecipeError(f"agreement needs two annotators; there is only {', '.join(names) or 'none'}")
    names = list(dict.fromkeys(names))
    return {pattern: compare(by_pattern.get(pattern, ()), names) for pattern in recipe.patterns}


def show(agreements: Mapping[str, PatternAgreement]) -> None:
    """Print the agreement."""
    rows = []
    for pattern, one in agreements.items():
        rows += [_line(pattern, name, "all", getattr(one, name)) for name in ("alpha", "fleiss")]
        rows += [_line(pattern, "cohen", " / ".join(p.between), p.cohen, p.same) for p in one.pairs]
    console.show_rows(list(rows[0]), rows)


def _line(
    pattern: str, measure: str, between: str, coefficient: Coefficient, same: float | None = None
) -> dict[str, str]:
    shown = (
        "undefined"
        if coefficient.value is None
        else f"{coefficient.value:.2f} [{coefficient.low:.2f}, {coefficient.high:.2f}]"
    )
    return {
        "pattern": pattern,
        "measure": measure,
        "between": between,
        "value [95 %]": shown if coefficient.traces else "-",
        "same": "" if same is None else f"{100 * same:.0f} %",
        "traces": str(coefficient.traces),
    }


def _shown(coefficient: Agreement) -> Coefficient:
    return Coefficient(coefficient.alpha, coefficient.low, coefficient.high, coefficient.units)
