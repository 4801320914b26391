"""`curate agree`: inter-annotator agreement by pattern: Krippendorff's alpha, Fleiss' kappa, and Cohen's kappa of each pair.

Of an entry with levels or numbers the values are compared: alpha and Cohen's kappa are weighted by the squared difference, and
Fleiss' kappa takes each value for a class of its own.

Any annotators can be compared, including people; "people" is the majority label of all people. Labels are those of the
consensus, so calibrated thresholds apply.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median_low
from typing import NamedTuple

from annotators.statistics.agreement import Agreement, agreement, cohen, fleiss, pairwise_agreement
from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, known_entries, label_combinations
from curation.corpus.store import Store
from curation.recipe import Recipe
from schemas.choices import meant
from schemas.codebooks import Pattern
from schemas.errors import RecipeError, UsageError
from schemas.patterns import RISKY_PATTERNS

PEOPLE = "people"


class AgreeRecipe(Recipe):
    """What `curate agree` may be told."""

    annotators: tuple[str, ...] = ()
    """Names without versions, or "people"; every annotator and person of the corpus by default."""
    patterns: tuple[str, ...] = RISKY_PATTERNS
    """Entries of codebooks, or the name of a codebook for all of its entries."""


class ValueCombination(NamedTuple):
    """How often a combination of labels or values of one pattern occurs."""

    values: Mapping[str, Hashable]
    """Annotator -> label or value; without those that abstained. `PEOPLE` is what people together say."""
    traces: int


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


def compare(
    observed: Sequence[ValueCombination], names: Sequence[str], seed: int = 0, *, ordered: bool = False
) -> PatternAgreement:
    """Agreement of some annotators on one pattern; `ordered` where values are numbers."""
    said = [([one.values.get(name) for name in names], one.traces) for one in observed]
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
        pairs.append(PairAgreement((name, other), same, _shown(cohen(both, seed, ordered=ordered))))
    whole = [unit for unit in units if len(unit) == len(names)]
    return PatternAgreement(
        _shown(agreement(units, seed, ordered=ordered)), _shown(fleiss(whole, seed)), pairs
    )


def read(corpus_dir: Path, recipe: AgreeRecipe) -> dict[str, PatternAgreement]:
    """How far the annotators of a corpus agree, by pattern.

    Raises:
        UsageError: if an annotator or pattern is unknown; lists those there are.
        RecipeError: if there are not two annotators to compare.
        CorpusError: if there is no corpus.
    """
    connection = connect(Store(corpus_dir))
    known = known_entries(connection)
    patterns = known.wanted(recipe.patterns)
    by_pattern = _observed(connection, {name: known.entries[name] for name in patterns})
    everybody = {name for observed in by_pattern.values() for one in observed for name in one.values}
    spoke = sorted(everybody - {PEOPLE})
    people = [PEOPLE] if PEOPLE in everybody else []
    names = list(recipe.annotators) or spoke
    if missing := sorted(set(names) - {*spoke, *people}):
        there = [*spoke, *people]
        raise UsageError(
            f"no labels by {', '.join(missing)}{meant(missing[0], there)}; annotators of these patterns: {', '.join(there) or 'nobody'}"
        )
    if len(set(names)) < 2:
        raise RecipeError(f"agreement needs two annotators; there is only {', '.join(names) or 'none'}")
    names = list(dict.fromkeys(names))
    return {
        pattern: compare(by_pattern[pattern], names, ordered=known.entries[pattern].graded)
        for pattern in patterns
    }


def _observed(
    connection: Connection, entries: Mapping[str, Pattern]
) -> dict[str, Sequence[ValueCombination]]:
    """What annotators said of each entry: labels, or values where it has levels or numbers."""
    labels = label_combinations(connection)
    found: dict[str, Sequence[ValueCombination]] = {}
    for name, entry in entries.items():
        if entry.graded:
            found[name] = _values(connection, name)
            continue
        found[name] = [
            ValueCombination({**one.labels, **({} if one.truth is None else {PEOPLE: one.truth})}, one.traces)
            for one in labels.get(name, ())
        ]
    return found


def _values(connection: Connection, pattern: str) -> list[ValueCombination]:
    """The scores of an entry with levels or numbers; people together say the middle one."""
    rows = connection.execute(sql_file("curation.annotate", "agree_values.sql"), {"pattern": pattern})
    by_trace: dict[str, dict[str, float]] = defaultdict(dict)
    for trace_id, name, score in rows.fetchall():
        by_trace[trace_id][name] = score
    counted: Counter[tuple[tuple[str, float], ...]] = Counter()
    for said in by_trace.values():
        if people := [score for name, score in said.items() if name.startswith("human:")]:
            said[PEOPLE] = median_low(people)
        counted[tuple(sorted(said.items()))] += 1
    return [ValueCombination(dict(values), traces) for values, traces in counted.items()]


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
