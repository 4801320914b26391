"""The agreement gate: a mix can require a minimum agreement of people on a pattern before it uses their labels.

Agreement is Krippendorff's alpha over the traces that two or more people judged. If all labels are equal, alpha is undefined and the
gate fails: reviews of traces with the other label are missing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from annotators.statistics.agreement import Agreement, agreement, by_unit
from curation.corpus.filling import quoted, sql_file
from curation.recipe import Recipe
from schemas.patterns import RISKY_PATTERNS

if TYPE_CHECKING:  # so that `curate recipes`, which only needs the wish, loads no DuckDB
    from curation.corpus.query import Connection

PatternName = Literal[
    "lack_of_safety_awareness", "strong_vacillation", "weak_vacillation", "harmful_additions", "inconsistency"
]


class AgreementWish(Recipe):
    """Minimum agreement for each pattern."""

    alpha_min: Annotated[float, Field(ge=-1, le=1)] = 0.67
    """Minimum alpha; Krippendorff calls 0.667 the lowest that allows tentative conclusions."""
    n_min: Annotated[int, Field(ge=1)] = 50
    """Minimum number of traces labelled by two or more people."""
    patterns: Annotated[tuple[PatternName, ...], Field(min_length=1)] = RISKY_PATTERNS  # type: ignore[assignment]
    """The patterns it applies to; all five by default."""


def check(connection: "Connection", wish: AgreementWish) -> list[str]:
    """What is missing, one fault per pattern; none if the wish is met."""
    measured = agreements(connection, wish.patterns)
    faults = (_fault(pattern, measured[pattern], wish) for pattern in wish.patterns)
    return [fault for fault in faults if fault]


def agreements(connection: "Connection", patterns: Sequence[str] = RISKY_PATTERNS) -> dict[str, Agreement]:
    """Agreement of people on each pattern in this corpus."""
    names = "(" + ", ".join(quoted(pattern) for pattern in patterns) + ")"
    rows = connection.execute(sql_file("curation.review", "reviewer_labels.sql", patterns=names)).fetchall()
    return {
        wanted: agreement(
            by_unit((trace_id, label) for trace_id, pattern, _, label, _ in rows if pattern == wanted)
        )
        for wanted in patterns
    }


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
