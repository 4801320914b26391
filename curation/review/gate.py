"""The agreement gate: a mix can require a minimum agreement of people on patterns or entries before it uses their labels.

Agreement is Krippendorff's alpha over the traces that two or more people judged; of an entry with levels or numbers it compares their
values. If all labels are equal, alpha is undefined and the gate fails: reviews of traces with the other label are missing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from annotators.statistics.agreement import Agreement, agreement, by_unit
from curation.corpus.filling import quoted, sql_file
from curation.recipe import Recipe
from schemas.errors import UsageError
from schemas.patterns import RISKY_PATTERNS

if TYPE_CHECKING:  # so that `curate recipes`, which only needs the wish, loads no DuckDB
    from curation.corpus.query import Connection

WantedName = Annotated[str, Field(min_length=1)]


class AgreementWish(Recipe):
    """Minimum agreement for each pattern or entry."""

    alpha_min: Annotated[float, Field(ge=-1, le=1)] = 0.67
    """Minimum alpha; Krippendorff calls 0.667 the lowest that allows tentative conclusions."""
    n_min: Annotated[int, Field(ge=1)] = 50
    """Minimum number of traces labelled by two or more people."""
    patterns: Annotated[tuple[WantedName, ...], Field(min_length=1)] = RISKY_PATTERNS
    """The patterns, properties and entries it applies to; a codebook's name stands for all of its entries. The five patterns by default."""


class AgreementMet(NamedTuple):
    """What people agree on, beside what is wanted."""

    traces: int
    """Traces that two or more people judged."""
    alpha: float | None
    low: float | None
    high: float | None
    wanted: float
    """Minimum alpha."""
    traces_wanted: int
    fault: str | None
    """What is missing; null if the wish is met."""


def check(connection: "Connection", wish: AgreementWish) -> list[str]:
    """What is missing, one fault per pattern; none if the wish is met."""
    return [met.fault for met in measured(connection, wish).values() if met.fault]


def measured(connection: "Connection", wish: AgreementWish) -> dict[str, AgreementMet]:
    """How far people agree on each entry that a wish names; empty if it names none that the corpus knows (see `unknown`)."""
    if unknown(connection, wish):
        return {}
    found = agreements(connection, _wanted(connection, wish))
    return {
        name: AgreementMet(
            one.units, one.alpha, one.low, one.high, wish.alpha_min, wish.n_min, _fault(name, one, wish)
        )
        for name, one in found.items()
    }


def unknown(connection: "Connection", wish: AgreementWish) -> str | None:
    """Which name of a wish the corpus does not know, in words."""
    try:
        _wanted(connection, wish)
    except UsageError as error:
        return str(error)
    return None


def agreements(connection: "Connection", patterns: Sequence[str] = RISKY_PATTERNS) -> dict[str, Agreement]:
    """Agreement of people on each pattern or entry in this corpus."""
    from curation.corpus.query import known_entries

    entries = known_entries(connection).entries
    names = "(" + ", ".join(quoted(pattern) for pattern in patterns) + ")"
    rows = connection.execute(sql_file("curation.review", "reviewer_labels.sql", patterns=names)).fetchall()
    said: dict[str, list[tuple[str, bool | float]]] = {pattern: [] for pattern in patterns}
    for trace_id, pattern, _, label, _, score in rows:
        said[pattern].append((trace_id, score if entries[pattern].graded and score is not None else label))
    return {
        pattern: agreement(by_unit(values), ordered=entries[pattern].graded)
        for pattern, values in said.items()
    }


def _wanted(connection: "Connection", wish: AgreementWish) -> list[str]:
    from curation.corpus.query import known_entries

    return known_entries(connection).wanted(wish.patterns)


def _fault(pattern: str, agreement: Agreement, wish: AgreementWish) -> str | None:
    if agreement.units < wish.n_min:
        missing = wish.n_min - agreement.units
        return (
            f"{pattern}: {agreement.units} traces judged by two or more people, {wish.n_min} wanted: {missing} more needed; "
            "see `curate review push` and `curate review status`"
        )
    if agreement.alpha is None:
        return (
            f"{pattern}: alpha is undefined, since all {agreement.units} traces have the same label; "
            "have traces of both kinds reviewed"
        )
    if agreement.alpha < wish.alpha_min:
        return (
            f"{pattern}: alpha {agreement.alpha:.2f} [{agreement.low:.2f}, {agreement.high:.2f}] over {agreement.units} traces, "
            f"{wish.alpha_min:.2f} wanted; sharpen the codebook's definition with the reviewers and review again"
        )
    return None
