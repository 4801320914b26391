"""What generation yielded: traces, quarantined replies, accepted traces and tokens of a set of planned traces."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from curation.corpus.filling import sql_file
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.generate.output import GenerationTask
from curation.generate.stage import GenerateRecipe


class StrategyTally(NamedTuple):
    """Counts over some planned traces."""

    generated: int
    """Replies, quarantined ones included."""
    quarantined: int
    accepted: int
    unjudged: int
    """Traces for which the condition is unknown: an annotator abstained, or has not seen them."""
    prompt_tokens: int
    new_tokens: int


def tallies(
    corpus: Store, groups: Mapping[str, Sequence[GenerationTask]], accept: str
) -> dict[str, StrategyTally]:
    """A tally of each group of tasks, under a condition over `candidates`."""
    query = sql_file("curation.generate", "accepted.sql", accept=accept)
    traces = {row["trace_id"]: row for row in select(connect(corpus), query).to_pylist()}
    bad = _quarantined(corpus)
    return {name: _tally([task.trace_id for task in tasks], traces, bad) for name, tasks in groups.items()}


def cost_of(tally: StrategyTally, recipe: GenerateRecipe) -> dict[str, Any]:
    """Yield, and tokens and money per accepted trace; null where none was accepted."""
    cost = (tally.prompt_tokens * recipe.price_in + tally.new_tokens * recipe.price_out) / 1e6
    accepted = tally.accepted
    return {
        "yield": round(accepted / tally.generated, 4) if tally.generated else None,
        "tokens_per_accepted": round(tally.new_tokens / accepted, 1) if accepted else None,
        "cost": round(cost, 6),
        "cost_per_accepted": round(cost / accepted, 6) if accepted else None,
    }


def _tally(
    ids: Sequence[str], traces: dict[str, dict[str, Any]], bad: dict[str, tuple[int, int]]
) -> StrategyTally:
    good = [traces[key] for key in ids if key in traces]
    poor = [bad[key] for key in ids if key in bad and key not in traces]
    return StrategyTally(
        generated=len(good) + len(poor),
        quarantined=len(poor),
        accepted=sum(row["accepted"] is True for row in good),
        unjudged=sum(row["accepted"] is None for row in good),
        prompt_tokens=sum(row["sent"] for row in good) + sum(sent for sent, _ in poor),
        new_tokens=sum(row["written"] for row in good) + sum(written for _, written in poor),
    )


def _quarantined(corpus: Store) -> dict[str, tuple[int, int]]:
    by_strategy = {}
    for batch in corpus.scan("quarantine", ["quarantine_id", "stage", "row"]):
        for key, stage, row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if stage in ("generate", "repair"):
                by_strategy[key] = _tokens(row)
    return by_strategy


def _tokens(row: str) -> tuple[int, int]:
    try:
        columns = json.loads(row)
    except ValueError:  # text that JSON cannot hold was kept in another form
        return 0, 0
    return columns["prompt_tokens"], columns["reasoning_tokens"] + columns["answer_tokens"]
