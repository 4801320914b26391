"""`sft compare`: models on the same prompts, with intervals, and which differences are not significant.

Reads the scores.json and outcomes.jsonl of `sft score`, which contain no prompt text, so nothing needs masking. Every pair of
models is compared prompt by prompt (exact McNemar on the first sample), corrected for the number of pairs (Holm).
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from curation.page import percent
from schemas import showing
from schemas.choices import Suite
from schemas.errors import DataError
from sft.scoring.scores import OUTCOMES, SCORES, Scores
from sft.scoring.statistics import (
    Interval,
    Paired,
    holm,
    mcnemar,
    minimum_detectable_effect,
    paired_difference,
)
from sft.scoring.suites import MEASURES, Rate, ReplyOutcome, rate_of

ALPHA = 0.05
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
        """Rate and interval in percent."""
        if self.rate is None or self.rate.rate is None or self.rate.low is None or self.rate.high is None:
            return "-"
        return f"{100 * self.rate.rate:.1f} [{100 * self.rate.low:.1f}, {100 * self.rate.high:.1f}]"


class Difference(NamedTuple):
    """Two models in one column."""

    column: str
    first: str
    second: str
    pair: Paired
    p: float
    """Corrected for all pairs of the column."""
    rates: tuple[float, float]
    needed: float
    """The minimum detectable effect at this number of prompts."""

    @property
    def conclusion(self) -> str:
        """The result in words."""
        a, b = (percent(rate) for rate in self.rates)
        n = self.pair.both + self.pair.only_first + self.pair.only_second + self.pair.neither
        if self.p < ALPHA:
            return f"{a} against {b} on {n} prompts: significant (p = {self.p:.2g})"
        return f"{a} against {b} on {n} prompts: not significant (p = {self.p:.2g}; minimum detectable effect {percent(self.needed)})"


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
    """Prompts on which two models differ: column, prompt_id, category, attack, and the models on either side."""
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
            scores = Scores.model_validate_json((folder / SCORES).read_bytes())
            lines = (folder / OUTCOMES).read_bytes().splitlines()
            outcomes = [ReplyOutcome(**orjson.loads(line)) for line in lines]
        except (OSError, ValueError, TypeError) as error:
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
        [
            d
            for column in columns
            for d in _differences(column, {one.name: sliced[one.name][column] for one in models})
        ],
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
            pair = mcnemar([before[key] for key in shared], [after[key] for key in shared])
            difference = (pair.only_second - pair.only_first) / len(shared)
            yield Change(column, name, difference, paired_difference(pair))


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
    answered = [o for o in outcomes if o.measures.get(HEADLINES[_suite(column)]) is not None]
    return rate_of(HEADLINES[_suite(column)], answered) if answered else None


def _labels(outcomes: Sequence[ReplyOutcome], column: str) -> dict[str, bool]:
    """prompt -> outcome of its first judged sample."""
    labels: dict[str, bool] = {}
    for outcome in sorted(outcomes, key=lambda o: o.sample):
        label = outcome.measures.get(HEADLINES[_suite(column)])
        if label is not None:
            labels.setdefault(outcome.prompt_id, label)
    return labels


def _differences(column: str, sliced: dict[str, list[ReplyOutcome]]) -> list[Difference]:
    pairs: dict[str, tuple[str, str, Paired, float, float]] = {}
    for first, second in combinations(sliced, 2):
        a, b = _labels(sliced[first], column), _labels(sliced[second], column)
        shared = sorted(a.keys() & b.keys())
        if shared:
            left, right = [a[key] for key in shared], [b[key] for key in shared]
            rates = sum(left) / len(shared), sum(right) / len(shared)
            pairs[f"{first} | {second}"] = (first, second, mcnemar(left, right), *rates)
    corrected = holm({key: pair.p for key, (_, _, pair, _, _) in pairs.items()})
    return [
        Difference(
            column, first, second, pair, corrected[key], (x, y), minimum_detectable_effect(x, _prompts(pair))
        )
        for key, (first, second, pair, x, y) in pairs.items()
    ]


def _prompts(pair: Paired) -> int:
    return pair.both + pair.only_first + pair.only_second + pair.neither


def _flips(column: str, sliced: dict[str, list[ReplyOutcome]]) -> Iterator[dict[str, Any]]:
    labels = {name: _labels(outcomes, column) for name, outcomes in sliced.items()}
    known = {o.prompt_id: o for outcomes in sliced.values() for o in outcomes}
    for key in sorted(known):
        outcomes_of = {name: of_prompt[key] for name, of_prompt in labels.items() if key in of_prompt}
        if len(set(outcomes_of.values())) > 1:
            yield {
                "column": column,
                "prompt_id": key,
                "category": known[key].category,
                "attack": known[key].attack,
                "yes": [name for name, label in outcomes_of.items() if label],
                "no": [name for name, label in outcomes_of.items() if not label],
            }


def _categories(models: Sequence[ScoredModel]) -> dict[str, dict[str, Rate]]:
    rates: dict[str, dict[str, Rate]] = {}
    for one in models:
        safety = [o for o in one.outcomes if o.suite == "safety" and o.category]
        for category in sorted({str(o.category) for o in safety}):
            answered = [
                o
                for o in safety
                if o.category == category and o.measures.get(HEADLINES["safety"]) is not None
            ]
            if answered:
                rates.setdefault(category, {})[one.name] = rate_of(HEADLINES["safety"], answered)
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
