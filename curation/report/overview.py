"""The first look at a corpus, for the report: what it comes to in a sentence, and risky traces by category, source and length."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from annotators.statistics.intervals import Interval, wilson
from curation import charts
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, select
from curation.page import percent

MOST = 40
"""Lines of a breakdown; what comes after is one line."""
TOKENS = "coalesce(reasoning_tokens, (strlen(reasoning) + 3) // 4)"
"""Length of a reasoning: recorded, else UTF-8 bytes / 4."""
SHORTEST = 6
"""The first length has less than two to this many tokens; each that follows is twice as long."""
LENGTH = "length of the reasoning"
VIEWS = {
    "category": "category",
    "source": "source",
    LENGTH: f"case when {TOKENS} = 0 then -1 when {TOKENS} > 0 then greatest({SHORTEST - 1}, floor(log2({TOKENS})))::int end",
}
"""What each view groups by, over `candidates`."""


class Share(NamedTuple):
    """k of n with Wilson's 95 % interval; nothing to judge where n is 0."""

    k: int
    n: int

    @property
    def rate(self) -> float | None:
        """Null where n is 0."""
        return self.k / self.n if self.n else None

    @property
    def interval(self) -> Interval:
        """Of all rates where n is 0."""
        return wilson(self.k, self.n) if self.n else Interval(0.0, 1.0)

    @property
    def whisker(self) -> tuple[float, float, float]:
        """Low, rate, high."""
        return self.interval.low, self.rate or 0.0, self.interval.high

    @property
    def told(self) -> str:
        """In words, as a chart shows them."""
        low, high = self.interval
        return (
            f"{percent(self.rate)} [{100 * low:.1f}, {100 * high:.1f}], {self.k} of {self.n}"
            if self.n
            else "-"
        )


class Slice(NamedTuple):
    """The traces with one value of what they are grouped by."""

    name: str
    traces: int
    risky: Share


class Breakdown(NamedTuple):
    """Traces by one property."""

    title: str
    slices: list[Slice]
    axis: charts.Axis
    most: int
    """Traces of the largest slice."""


def breakdowns(connection: Connection) -> list[Breakdown]:
    """Traces and the share with a risky pattern by category, source and length."""
    found = []
    for title, by in VIEWS.items():
        rows = select(connection, sql_file("curation.report", "breakdown.sql", by=by)).to_pylist()
        if title == LENGTH:
            rows = [row | {"value": _length(row["value"])} for row in sorted(rows, key=_by_length)]
        slices = _folded(
            [Slice(_named(row["value"]), row["traces"], Share(row["risky"], row["judged"])) for row in rows]
        )
        found.append(
            Breakdown(
                title,
                slices,
                share_axis([one.risky for one in slices]),
                max((one.traces for one in slices), default=1),
            )
        )
    return found


def share_axis(shares: Sequence[Share]) -> charts.Axis:
    """An axis for some rates and their intervals."""
    return charts.axis((value for share in shares if share.n for value in share.whisker), rate=True)


def overall(connection: Connection, only: str = "") -> Share:
    """The share of the judged traces on harmful prompts that show a risky pattern."""
    row = select(connection, sql_file("curation.report", "overall.sql", only=only)).to_pylist()[0]
    return Share(row["k"], row["n"])


def headline(
    traces: int, sets: Sequence[tuple[str, Share]], found: dict[tuple[str, str], tuple[int, int]]
) -> str:
    """What the corpus comes to: how often traces are risky, before and after filtering, and where most.

    Args:
        traces: of the corpus.
        sets: name and risky share of each set of traces, the whole corpus first.
        found: k of n by (strategy, pattern) of the whole corpus.
    """
    (_, share), *others = sets
    if not share.n:
        return f"{traces:,} traces; none on a harmful prompt has been judged on all risky patterns yet."
    text = f"Of {share.n:,} judged traces on harmful prompts, {percent(share.rate)} [{100 * share.interval.low:.1f}, {100 * share.interval.high:.1f}] show a risky pattern"
    often = max(found.items(), key=lambda one: one[1][0] / one[1][1], default=None)
    if often and often[1][0]:
        (strategy, pattern), (k, n) = often
        text += f"; most often {pattern.replace('_', ' ')} in {strategy} ({k} of {n})"
    left = ", ".join(f"{percent(one.rate)} in {name} ({one.k} of {one.n})" for name, one in others if one.n)
    return f"{text}. After filtering: {left}." if left else f"{text}."


def _folded(slices: list[Slice]) -> list[Slice]:
    head, rest = slices[:MOST], slices[MOST:]
    if not rest:
        return head
    risky = Share(sum(one.risky.k for one in rest), sum(one.risky.n for one in rest))
    return [*head, Slice(f"({len(rest)} others)", sum(one.traces for one in rest), risky)]


def _by_length(row: dict[str, Any]) -> int:
    return -2 if row["value"] is None else int(row["value"])


def _length(power: int | None) -> str:
    if power is None:
        return "(no reasoning)"
    if power < 0:
        return "0"
    first = 1 if power < SHORTEST else 2**power
    return f"{first:,} to {2 ** (power + 1) - 1:,}"


def _named(value: str | None) -> str:
    return "(none)" if value is None else value
