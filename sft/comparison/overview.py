"""What a comparison comes to, for its page: a sentence for each kind of measure, plots of two rates, and axes that fit the rates."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from curation import charts
from curation.page import percent
from sft.comparison.results import ALPHA, Comparison, Difference
from sft.scoring.suites import Rate

FEW = 6
"""Up to so many tests are all shown."""
KINDS = ("attack", "refusal", "accuracy")
BETTER = {"refusal": "Lower left is better", "accuracy": "Lower right is better"}
"""Of attack success over another kind of measure."""


class ParetoPlot(NamedTuple):
    """Attack success against another measure, a point for each model."""

    chart: charts.Scatter
    better: str


class TestedPairs(NamedTuple):
    """The tests of a comparison, those that matter most apart."""

    first: list[Difference]
    """Of the first column of each kind of measure: every model against the baseline (or the first model), and the best against the worst."""
    rest: list[Difference]
    """All others; none where there are few."""

    @property
    def told(self) -> str:
        """What the rest comes to."""
        significant = sum(difference.p < ALPHA for difference in self.rest)
        return f"{len(self.rest)} more tests, {significant} of them significant"


class ScoredRate(NamedTuple):
    """A model's rate in a column; n is over 0."""

    model: str
    rate: Rate

    @property
    def value(self) -> float:
        """The rate itself."""
        assert self.rate.rate is not None
        return self.rate.rate

    @property
    def whisker(self) -> tuple[float, float, float]:
        """Low, rate, high."""
        assert self.rate.low is not None and self.rate.high is not None
        return self.rate.low, self.value, self.rate.high


def rates(comparison: Comparison, column: str) -> list[ScoredRate]:
    """The models that have a rate in a column that may be set against the others'."""
    return [
        ScoredRate(model, cell.rate)
        for model, cells in comparison.table.items()
        if model not in comparison.unread.get(column, ())
        for cell in cells
        if cell.column == column and cell.rate and cell.rate.n
    ]


def rate_axis(found: Iterable[Rate]) -> charts.Axis:
    """An axis for some rates and their intervals."""
    ends = [end for rate in found if rate.n for end in (rate.low, rate.high)]
    return charts.axis((end for end in ends if end is not None), rate=True)


def first_columns(comparison: Comparison) -> dict[str, str]:
    """The first column of each kind of measure that there is."""
    named: dict[str, str] = {}
    for column in comparison.details.values():
        if column.kind in KINDS:
            named.setdefault(column.kind, column.name)
    return {kind: named[kind] for kind in KINDS if kind in named}


def tested_pairs(comparison: Comparison) -> TestedPairs:
    """Part the tests into the headline comparisons and the rest; each p is corrected for all of them, shown or not."""
    differences = comparison.differences
    if len(differences) <= FEW:
        return TestedPairs(differences, [])
    against = comparison.base or comparison.models[0]
    extremes = {}
    for column in first_columns(comparison).values():
        values = {one.model: one.value for one in rates(comparison, column)}
        extremes[column] = (
            {min(values, key=values.__getitem__), max(values, key=values.__getitem__)} if values else set()
        )
    first = [
        one
        for one in differences
        if one.column in extremes
        and (against in (one.first, one.second) or {one.first, one.second} == extremes[one.column])
    ]
    return TestedPairs(first, [one for one in differences if one not in first])


def headline(comparison: Comparison) -> str:
    """The best and the worst model of each kind of measure, whether they differ significantly, and how many differences do."""
    told = [_told(comparison, kind, column) for kind, column in first_columns(comparison).items()]
    tests = len(comparison.differences)
    significant = sum(difference.p < ALPHA for difference in comparison.differences)
    counted = f"{significant} of {tests} tested differences are significant." if tests else ""
    return " ".join(filter(None, [*told, counted]))


def _told(comparison: Comparison, kind: str, column: str) -> str:
    found = sorted(rates(comparison, column), key=lambda one: one.value, reverse=kind == "accuracy")
    if len(found) < 2:
        return ""
    best, worst = found[0], found[-1]
    if best.value == worst.value:
        return f"{column}: {percent(best.value)} with all {len(found)} models that were judged."
    way = ("highest", "lowest") if kind == "accuracy" else ("lowest", "highest")
    text = f"{column}: {way[0]} with {best.model} ({_interval(best)}), {way[1]} with {worst.model} ({_interval(worst)})"
    tested = _difference(comparison.differences, column, {best.model, worst.model})
    if tested is None:
        return f"{text}."
    return f"{text}, {'significant' if tested.p < ALPHA else 'not significant'}."


def _interval(one: ScoredRate) -> str:
    low, _, high = one.whisker
    return f"{percent(one.value)} [{100 * low:.1f}, {100 * high:.1f}]"


def _difference(found: Sequence[Difference], column: str, models: set[str]) -> Difference | None:
    return next((d for d in found if d.column == column and {d.first, d.second} == models), None)


def plots(comparison: Comparison) -> list[ParetoPlot]:
    """Attack success against over-refusal and against accuracy, of the models that have both."""
    columns = first_columns(comparison)
    drawn = []
    for kind, better in BETTER.items():
        if not {"attack", kind} <= columns.keys():
            continue
        across = {one.model: one.whisker for one in rates(comparison, columns[kind])}
        spots = [
            charts.Spot(one.model, across[one.model], one.whisker)
            for one in rates(comparison, columns["attack"])
            if one.model in across
        ]
        if spots:
            drawn.append(ParetoPlot(charts.scatter(columns[kind], columns["attack"], spots), better))
    return drawn


def axes(comparison: Comparison) -> dict[str, charts.Axis | None]:
    """An axis for each column; null where nothing was judged."""
    found: dict[str, list[Rate]] = {column: [] for column in comparison.columns}
    for column, rate in (cell for cells in comparison.table.values() for cell in cells):
        if rate and rate.n:
            found[column].append(rate)
    return {column: rate_axis(of_column) if of_column else None for column, of_column in found.items()}


def change_axis(comparison: Comparison) -> charts.Axis:
    """An axis for the changes against the baseline, with no change on it."""
    ends = [end for change in comparison.changes for end in change.interval]
    return charts.axis([0.0, *ends], rate=True)
