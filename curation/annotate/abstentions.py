"""How often and why an annotator with a model abstained: a judge that finds nothing looks like one that found everything clean.

Verdicts that nobody asked for do not count: a query of a kind that a pattern is not judged on, an empty text.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from annotators.base import UNASKED, Annotator
from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, select
from schemas.errors import EngineError
from schemas.manifest import Manifest

SUMMARY = "abstentions"
MANY = 0.5
"""A larger share is worth a warning."""


class Abstentions(NamedTuple):
    """The verdicts that an annotator was asked for on one pattern."""

    asked: int
    abstained: int
    why: Mapping[str, int]
    """Reason -> verdicts; the most frequent first."""


def count(connection: Connection, annotator: Annotator) -> dict[str, Abstentions]:
    """The abstentions of an annotator by pattern; none for one without a model."""
    if not annotator.questions:
        return {}
    values = {"annotator": annotator.name, "unasked": list(UNASKED)}
    found: dict[str, dict[str | None, int]] = {}
    for row in select(connection, sql_file("curation.annotate", "abstentions.sql"), values).to_pylist():
        found.setdefault(row["pattern"], {})[row["why"]] = row["n"]
    return {
        pattern: Abstentions(sum(ends.values()), sum(why.values()), why)
        for pattern, ends in found.items()
        for why in [{reason: n for reason, n in ends.items() if reason is not None}]
    }


def require_verdicts(manifest: Manifest) -> None:
    """Warn of annotators that abstained on most verdicts of a pattern; raise if one abstained on all it was asked for.

    Raises:
        EngineError: with the reasons.
    """
    told: Any = manifest.summary.get(SUMMARY, {})
    silent = []
    for name, by_pattern in told.items():
        patterns = {pattern: Abstentions(**one) for pattern, one in by_pattern.items()}
        if patterns and all(one.abstained == one.asked for one in patterns.values()):
            silent.append(
                f"{name} abstained on all {sum(one.asked for one in patterns.values()):,} verdicts: {_reasons(patterns)}"
            )
            continue
        for pattern, one in patterns.items():
            if one.abstained > MANY * one.asked:
                console.say(
                    f"annotate: warning: {name} abstained on {one.abstained:,} of {one.asked:,} verdicts of {pattern}: "
                    f"{_reasons({pattern: one})}"
                )
    if silent:
        raise EngineError(
            f"annotate: {'; '.join(silent)}; look at the replies with a stronger model or another judge: null labels say nothing"
        )


def _reasons(patterns: Mapping[str, Abstentions]) -> str:
    total: dict[str, int] = {}
    for one in patterns.values():
        for why, n in one.why.items():
            total[why] = total.get(why, 0) + n
    most = sorted(total.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{why} ({n:,})" for why, n in most)
