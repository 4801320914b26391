"""What generation yielded by strategy, and what to do where it yielded next to nothing.

A reply that ran into the limit before any think tag came says something else than one that was cut inside a thought: more tokens
would not help it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from curation import console
from curation.generate.strategies import Strategy
from schemas.errors import EngineError
from schemas.manifest import Manifest

HARDLY = 0.1
"""A smaller share of kept replies is worth a warning."""
TRUNCATED = "truncated"
NEVER_OPENED = "truncated_no_think"
"""Why a reply is quarantined that the limit cut before any think tag came."""
UNTHINKING = ("no_think", NEVER_OPENED)
FIXES = {
    TRUNCATED: "raise --max-new-tokens",
    "cut": "look at what the server gives as finish reason",
    "blocked": "use a server without a filter behind its model",
    "unclosed": "use a model that closes its think block, or raise --max-new-tokens",
    "empty_answer": "use a model that answers after its thought",
    "loop": "raise --temperature",
}
"""What to do about a reason that most replies share."""
FIX = 'look at some with `curate sql "select reason, detail, row from quarantine"`'
WITHOUT = "or --think zero, if answers without reasoning will do"
TOLD = f"this model does not follow the instruction to think in <think> tags; use a stronger one, a reasoning model with --strategies default, {WITHOUT}"
UNAIDED = f"this model writes no think block by itself; use a reasoning model, --strategies short,template for an ordinary one, {WITHOUT}"


class StrategyYield(NamedTuple):
    """Where the replies of one strategy ended."""

    replies: int
    kept: int
    quarantined: Mapping[str, int]
    """Replies by reason."""


def yields(ended: Iterable[tuple[str, str | None]]) -> dict[str, StrategyYield]:
    """Count the ends by strategy.

    Args:
        ended: strategy and end of every reply: a reason, or null for one that is kept.
    """
    found: dict[str, Counter[str | None]] = {}
    for strategy, reason in ended:
        found.setdefault(strategy, Counter())[reason] += 1
    return {
        strategy: StrategyYield(
            ends.total(), ends[None], {reason: n for reason, n in sorted(ends.items(), key=str) if reason}
        )
        for strategy, ends in found.items()
    }


def advice(strategy: Strategy | None, told: StrategyYield) -> str:
    """How much of a strategy's replies was kept, the likely cause of the loss, and what to do."""
    reason, n = max(told.quarantined.items(), key=lambda item: item[1])
    unthinking = sum(told.quarantined.get(name, 0) for name in UNTHINKING)
    if 2 * unthinking > sum(told.quarantined.values()):
        reason, n = "no think block ever opened", unthinking
        fix = TOLD if strategy and strategy.header.model == "ordinary" else UNAIDED
    else:
        fix = FIXES.get(reason, FIX)
    return f"kept {told.kept:,} of {told.replies:,} replies; {reason} {n:,} of them, which are quarantined: {fix}"


def require_yield(manifest: Manifest, strategies: Sequence[Strategy]) -> None:
    """Warn of every strategy of which hardly a reply was kept; raise if no reply was kept at all.

    Raises:
        EngineError: saying the likely cause, and what to do.
    """
    by_name = {strategy.name: strategy for strategy in strategies}
    told: Any = manifest.summary.get("yield", {})
    found = {name: StrategyYield(**one) for name, one in told.items()}
    poor = {name: one for name, one in found.items() if one.kept < HARDLY * one.replies}
    lines = [f"{name}: {advice(by_name.get(name), one)}" for name, one in poor.items()]
    if lines and not manifest.counts.kept:
        raise EngineError("; ".join(lines))
    for line in lines:
        console.say(f"generate: warning: {line}")
