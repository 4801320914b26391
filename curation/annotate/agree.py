"""`curate agree`: how far annotators agree, pattern by pattern: Krippendorff's alpha, Fleiss' kappa, and Cohen's kappa of each pair.

Any annotators may be compared, people among them; "people" is the majority of all people who judged a trace. Labels are
those that count in the consensus, so calibrated thresholds are in force.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from annotators.statistics.agreement import Agreement, agreement, cohen, fleiss, pairwise_agreement
from annotators.statistics.consensus import LabelCombination
from curation import console
from curation.corpus.query import connect, label_combinations
from curation.corpus.store import Store
from curation.recipe import Recipe
from schemas.errors import RecipeError
from schemas.patterns import CODEBOOK, RISKY_PATTERNS

PEOPLE = "people"


class AgreeRecipe(Recipe):
    """What `curate agree` may be told."""

    annotators: tuple[str, ...] = ()
    """Names without versions, or "people"; every annotator and person of the corpus by default."""
    patterns: tuple[str, ...] = RISKY_PATTERNS


def compare(observed: Sequence[LabelCombination], names: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """How far some annotators agree on one pattern."""
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
        pairs.append({"between": [name, other], "same": same, "cohen": _shown(cohen(both, seed))})
    return {
        "alpha": _shown(agreement(units, seed)),
        "fleiss": _shown(fleiss([unit for unit in units if len(unit) == len(names)], seed)),
        "pairs": pairs,
    }


def run(corpus_dir: Path, recipe: AgreeRecipe) -> dict[str, Any]:
    """Compare annotators of a corpus: pattern -> alpha, fleiss and pairs, each with its 95 % interval and its traces.

    Raises:
        RecipeError: if an annotator or pattern is unknown, or there are not two annotators to compare.
        CorpusError: if there is no corpus.
    """
    known = [entry.name for entry in CODEBOOK]
    if unknown := sorted(set(recipe.patterns) - set(known)):
        raise RecipeError(f"unknown pattern {', '.join(unknown)}; the codebook has {', '.join(known)}")
    by_pattern = label_combinations(connect(Store(corpus_dir)))
    of_patterns = [combination for pattern in recipe.patterns for combination in by_pattern.get(pattern, ())]
    spoke = sorted({name for combination in of_patterns for name in combination.labels})
    people = [PEOPLE] if any(combination.truth is not None for combination in of_patterns) else []
    names = list(recipe.annotators) or spoke
    if missing := sorted(set(names) - {*spoke, *people}):
        raise RecipeError(
            f"no label by {', '.join(missing)}; those who labelled these patterns: {', '.join([*spoke, *people]) or 'nobody'}"
        )
    if len(set(names)) < 2:
        raise RecipeError(f"agreement needs two annotators; there is {', '.join(names) or 'none'}")
    names = list(dict.fromkeys(names))
    return {pattern: compare(by_pattern.get(pattern, ()), names) for pattern in recipe.patterns}


def show(agreements: Mapping[str, Any]) -> None:
    """Print agreements for a person."""
    rows = []
    for pattern, one in agreements.items():
        rows += [_line(pattern, name, "all", one[name]) for name in ("alpha", "fleiss")]
        rows += [
            _line(pattern, "cohen", " / ".join(p["between"]), p["cohen"], p["same"]) for p in one["pairs"]
        ]
    console.show_rows(list(rows[0]), rows)


def _line(
    pattern: str, measure: str, between: str, coefficient: Mapping[str, Any], same: float | None = None
) -> dict[str, str]:
    value = coefficient["value"]
    shown = (
        "undefined" if value is None else f"{value:.2f} [{coefficient['low']:.2f}, {coefficient['high']:.2f}]"
    )
    return {
        "pattern": pattern,
        "measure": measure,
        "between": between,
        "value [95 %]": shown if coefficient["traces"] else "-",
        "same": "" if same is None else f"{100 * same:.0f} %",
        "traces": str(coefficient["traces"]),
    }


def _shown(coefficient: Agreement) -> dict[str, Any]:
    return {
        "value": coefficient.alpha,
        "low": coefficient.low,
        "high": coefficient.high,
        "traces": coefficient.units,
    }
