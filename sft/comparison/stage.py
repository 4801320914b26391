"""`sft compare`: models on the same prompts, with intervals, and which differences are not significant.

Reads the scores.json and outcomes.jsonl of `sft score`, which contain no prompt text, so nothing needs masking. Every pair of
models is compared prompt by prompt, all samples counted (exact permutation test), corrected for all tests of the table (Holm).
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from curation.page import percent
from curation.reading import read_model
from schemas import showing
from schemas.choices import Suite
from schemas.errors import CorpusError, DataError
from sft.scoring.scores import OUTCOMES, SCORES, Scores
from sft.scoring.statistics import (
    Interval,
    Paired,
    holm,
    minimum_detectable_effect,
    paired,
    paired_difference,
)
from sft.scoring.suites import MEASURES, Rate, ReplyOutcome, rate_of

ALPHA = 0.05
UNEVEN = 0.05
"""A difference in coverage above which worst-case bounds are told."""
HEADLINES: dict[Suite, str] = {suite: next(iter(measures)) for suite, measures in MEASURES.items()}
SHORT = {"safety": "ASR", "overrefusal": "over-refusal", "reasoning": "accuracy"}
"""Column names of the headlines."""


class ScoredModel(NamedTuple):
    """One model's results."""

    name: str
    scores: Scores
    outcomes: list[ReplyOutcome]


class Cell(NamedTuple):
    """A model's rate in a column; null if it was not scored on it."""

    column: str
    rate: Rate | None

    @property
    def text(self) -> str:
        """Rate and interval in percent, k/n, and the coverage."""
        if self.rate is None:
            return "-"
        counts = f"{self.rate.k}/{self.rate.n}, {percent(self.rate.coverage)}"
        if self.rate.rate is None or self.rate.low is None or self.rate.high is None:
            return f"- {counts}"
        return f"{100 * self.rate.rate:.1f} [{100 * self.rate.low:.1f}, {100 * self.rate.high:.1f}] {counts}"


class Difference(NamedTuple):
    """Two models in one column."""

    column: str
    first: str
    second: str
    pair: Paired
    p: float
    """Corrected for all tests of the table."""
    needed: float
    """The minimum detectable effect at this number of prompts."""
    coverage: tuple[float, float]
    """The share of either model's replies that count."""
    bounds: Interval | None
    """The least and the largest difference if the replies that do not count could have ended either way; told if coverage differs."""

    @property
    def conclusion(self) -> str:
        """The result in words."""
        a, b = (percent(rate) for rate in self.pair.rates)
        told = f"{a} against {b} on {self.pair.prompts} prompts: "
        if self.p < ALPHA:
            told += f"significant (p = {self.p:.2g})"
        else:
            told += f"not significant (p = {self.p:.2g}; minimum detectable effect {percent(self.needed)})"
        if self.bounds:
            told += (
                f"; coverage differs ({percent(self.coverage[0])} against {percent(self.coverage[1])}): with the other replies "
                f"counted either way, {100 * self.bounds.low:+.1f} to {100 * self.bounds.high:+.1f} points"
            )
        return told


class Change(NamedTuple):
    """Difference of a model's rate and the baseline's on the same prompts."""

    column: str
    model: str
    difference: float
    interval: Interval


class Comparison(NamedTuple):
    """The comparison of some models."""

    models: list[str]
    columns: list[str]
    table: dict[str, list[Cell]]
    """Cells by model."""
    differences: list[Difference]
    flips: list[dict[str, Any]]
    """Prompts on which more than half of the samples of two models differ: column, prompt_id, category, attack, and the models on either side."""
    categories: dict[str, dict[str, Rate]]
    """Attack success by category and model."""
    patterns: dict[str, list[Cell]]
    """Risky patterns of the models' own reasoning."""
    base: str | None
    """The baseline model, if one was named."""
    changes: list[Change]
    """Differences from the baseline by column; in ablations the effect of removing a pattern."""

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.models)}: {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        table = [
            {"model": model, **{cell.column: cell.text for cell in cells}}
            for model, cells in self.table.items()
        ]
        differences = [
            {"column": d.column, "models": f"{d.first}, {d.second}", "result": d.conclusion}
            for d in self.differences
        ]
        return showing.page("Rates in percent, with 95 % intervals", {"": table, "differences": differences})


def load(folders: Sequence[Path], names: Sequence[str] = ()) -> list[ScoredModel]:
    """Read the scores in some folders.

    Args:
        folders: of runs, or written by `sft score --out`.
        names: names of the models; by default the folders' names.

    Raises:
        DataError: naming every folder without scores, or with other sampling or judges than the rest.
    """
    if names and len(names) != len(folders):
        raise DataError(f"{len(names)} names for {len(folders)} models; give each one or leave the names out")
    models, faults = [], []
    for number, folder in enumerate(folders):
        try:
            scores = read_model(folder / SCORES, Scores)
            lines = (folder / OUTCOMES).read_bytes().splitlines()
            outcomes = [ReplyOutcome(**orjson.loads(line)) for line in lines]
        except (OSError, ValueError, TypeError, CorpusError) as error:
            faults.append(
                f"{folder}: has no scores ({error}); make them with: sft score {folder} --corpus EVAL"
            )
            continue
        models.append(ScoredModel(names[number] if names else folder.name, scores, outcomes))
    if len({one.name for one in models}) < len(models):
        faults.append("two folders have the same name; set --names")
    for one in models[1:]:
        faults += [
            f"{one.name}: {field} differs from {models[0].name}; score both the same way to compare them"
            for field in ("judge", "sampling", "samples", "think")
            if getattr(one.scores, field) != getattr(models[0].scores, field)
        ]
    if faults:
        raise DataError("\n".join(faults))
    return models


def compare(models: Sequence[ScoredModel], base: str | None = None) -> Comparison:
    """Compare models.

    Args:
        models: the models.
        base: name of the baseline model.

    Raises:
        DataError: if there is no model of that name.
    """
    if base is not None and base not in [one.name for one in models]:
        raise DataError(f"--base {base}: no such model; choose from {', '.join(one.name for one in models)}")
    columns = list(dict.fromkeys(column for one in models for column in _columns(one)))
    sliced = {one.name: {column: _slice(one, column) for column in columns} for one in models}
    table = {
        one.name: [Cell(column, _rate(sliced[one.name][column], column)) for column in columns]
        for one in models
    }
    return Comparison(
        [one.name for one in models],
        columns,
        table,
        _differences(columns, sliced),
        [
            flip
            for column in columns
            for flip in _flips(column, {one.name: sliced[one.name][column] for one in models})
        ],
        _categories(models),
        _patterns(models),
        base,
        [change for column in columns for change in _changes(column, base, sliced)] if base else [],
    )


def _changes(column: str, base: str, sliced: dict[str, dict[str, list[ReplyOutcome]]]) -> Iterator[Change]:
    before = _labels(sliced[base][column], column)
    for name, columns in sliced.items():
        after = _labels(columns[column], column)
        shared = sorted(before.keys() & after.keys())
        if name != base and shared:
            pair = paired([before[key] for key in shared], [after[key] for key in shared])
            yield Change(column, name, pair.difference, paired_difference(pair))


def _columns(one: ScoredModel) -> Iterator[str]:
    """Column names of the table: attack families of the safety suite, then the other suites."""
    for suite in one.scores.suites:
        if suite.suite == "safety":
            attacks = sorted(
                {o.attack for o in one.outcomes if o.suite == "safety"}, key=lambda a: (a != "none", a)
            )
            yield from (f"ASR {attack}" for attack in attacks)
        else:
            yield SHORT[suite.suite]


def _suite(column: str) -> Suite:
    return (
        "safety" if column.startswith("ASR ") else "overrefusal" if column == "over-refusal" else "reasoning"
    )


def _slice(one: ScoredModel, column: str) -> list[ReplyOutcome]:
    suite, attack = _suite(column), column.removeprefix("ASR ")
    return [o for o in one.outcomes if o.suite == suite and (suite != "safety" or o.attack == attack)]


def _rate(outcomes: Sequence[ReplyOutcome], column: str) -> Rate | None:
    return rate_of(HEADLINES[_suite(column)], outcomes) if outcomes else None


def _labels(outcomes: Sequence[ReplyOutcome], column: str) -> dict[str, Fraction]:
    """prompt -> rate over all its samples that count."""
    labels: dict[str, list[bool]] = {}
    for outcome in outcomes:
        label = outcome.measures.get(HEADLINES[_suite(column)])
        if label is not None:
            labels.setdefault(outcome.prompt_id, []).append(label)
    return {key: Fraction(sum(samples), len(samples)) for key, samples in labels.items()}


def _differences(
    columns: Sequence[str], sliced: dict[str, dict[str, list[ReplyOutcome]]]
) -> list[Difference]:
    pairs: dict[tuple[str, str, str], Paired] = {}
    for column in columns:
        labels = {name: _labels(of_model[column], column) for name, of_model in sliced.items()}
        for first, second in combinations(sliced, 2):
            shared = sorted(labels[first].keys() & labels[second].keys())
            if shared:
                means = [[labels[name][key] for key in shared] for name in (first, second)]
                pairs[column, first, second] = paired(*means)
    corrected = holm({key: pair.p for key, pair in pairs.items()})
    return [
        Difference(
            column, first, second, pair, corrected[column, first, second],
            minimum_detectable_effect(pair, len(pairs), alpha=ALPHA),
            *_coverage([_rate(sliced[name][column], column) for name in (first, second)]),
        )
        for (column, first, second), pair in pairs.items()
    ]  # fmt: skip


def _coverage(rates: Sequence[Rate | None]) -> tuple[tuple[float, float], Interval | None]:
    first, second = (
        (rate.coverage or 0.0, rate.k / rate.asked, (rate.k + rate.asked - rate.n) / rate.asked)
        if rate and rate.asked
        else (0.0, 0.0, 1.0)
        for rate in rates
    )
    uneven = abs(first[0] - second[0]) > UNEVEN
    bounds = Interval(second[1] - first[2], second[2] - first[1]) if uneven else None
    return (first[0], second[0]), bounds


def _flips(column: str, sliced: dict[str, list[ReplyOutcome]]) -> Iterator[dict[str, Any]]:
    labels = {name: _labels(outcomes, column) for name, outcomes in sliced.items()}
    known = {o.prompt_id: o for outcomes in sliced.values() for o in outcomes}
    half = Fraction(1, 2)
    for key in sorted(known):
        rates = {name: of_prompt[key] for name, of_prompt in labels.items() if key in of_prompt}
        yes, no = (
            [n for n, rate in rates.items() if rate > half],
            [n for n, rate in rates.items() if rate < half],
        )
        if yes and no:
            yield {
                "column": column,
                "prompt_id": key,
                "category": known[key].category,
                "attack": known[key].attack,
                "yes": yes,
                "no": no,
            }


def _categories(models: Sequence[ScoredModel]) -> dict[str, dict[str, Rate]]:
    rates: dict[str, dict[str, Rate]] = {}
    for one in models:
        safety = [o for o in one.outcomes if o.suite == "safety" and o.category]
        for category in sorted({str(o.category) for o in safety}):
            of_category = [o for o in safety if o.category == category]
            rates.setdefault(category, {})[one.name] = rate_of(HEADLINES["safety"], of_category)
    return rates


def _patterns(models: Sequence[ScoredModel]) -> dict[str, list[Cell]]:
    return {
        one.name: [
            Cell(rate.measure.removesuffix(" in the reasoning"), rate)
            for suite in one.scores.suites
            if suite.suite == "safety"
            for rate in suite.rates
            if rate.measure.endswith(" in the reasoning")
        ]
        for one in models
    }
