"""What a comparison consists of: columns, cells, tested differences, and what must stand under the table."""

from collections.abc import Collection, Mapping, Sequence
from statistics import stdev
from types import MappingProxyType
from typing import Any, NamedTuple

from curation.page import percent
from schemas import showing
from sft.scoring.rates import BestOfN
from sft.scoring.scores import Scores
from sft.scoring.statistics import Interval, Paired
from sft.scoring.suites import Rate, ReplyOutcome

ALPHA = 0.05


class Column(NamedTuple):
    """A column of the table."""

    name: str
    suite: str
    attack: str | None
    """Null: of every attack."""
    measure: str
    judge: str
    kind: str
    """attack, refusal or accuracy; aside for what stands beside a headline and is not tested."""

    def of(self, outcomes: Sequence[ReplyOutcome]) -> list[ReplyOutcome]:
        """The replies that belong to it."""
        return [o for o in outcomes if o.suite == self.suite and self.attack in (None, o.attack)]


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


class JointResult(NamedTuple):
    """A model on a joint suite."""

    cells: list[Cell]
    """Answer unchanged or changed, reasoning harmed or not; null rates where nobody judged the reasoning."""
    effects: list[str]
    """What the attack changed, in words."""


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
    details: dict[str, Column]
    """The columns by name: what is measured, and who judged it."""
    failed: Mapping[str, str] = MappingProxyType({})
    """Models that have no row, and why."""
    spread: Mapping[str, Mapping[str, list[float]]] = MappingProxyType({})
    """Model -> column -> the rate of each of several seeds."""
    joint: Mapping[str, Mapping[str, JointResult]] = MappingProxyType({})
    """Joint suites by title, and their results by model."""
    shared: Sequence[str] = ()
    """Where several judges decided a column, how many replies each."""
    unread: Mapping[str, Collection[str]] = MappingProxyType({})
    """Column -> models of which the refusal classifier of the others can read no reply: another judge's rate is not set against theirs."""
    best_of: Mapping[str, Mapping[str, list[BestOfN]]] = MappingProxyType({})
    """Model -> suite with several samples, by title -> attack success at n."""

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

    @property
    def notes(self) -> list[str]:
        """What must stand under the table: what each column measures and who judged it, failures, and the spread of seeds."""
        told: dict[tuple[str, str], list[str]] = {}
        for column in self.details.values():
            told.setdefault((column.measure, column.judge), []).append(column.name)
        notes = [
            f"{', '.join(names)}: {measure}" + (f"; judged by {judge}" if judge else "")
            for (measure, judge), names in told.items()
        ] + list(self.shared)
        for model, columns in self.spread.items():
            for name, rates in columns.items():
                listed = ", ".join(f"{100 * rate:.1f}" for rate in rates)
                notes.append(
                    f"{model}, {name}: between seeds {listed} (standard deviation {100 * stdev(rates):.1f})"
                )
        return [*notes, *(f"{model} failed: {reason}" for model, reason in self.failed.items())]
