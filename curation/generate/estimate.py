"""`curate generate --dry-run`: estimates requests and tokens."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.corpus.filling import sql_file
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from curation.generate.output import GenerationTask
from curation.generate.stage import GenerateRecipe, planned_for, without_done
from curation.generate.strategies import Strategy

ENOUGH = 20
"""Traces of a strategy in the corpus from which their mean length is taken."""
CHARACTERS_PER_TOKEN = 4


def estimate(corpus_dir: Path, recipe: GenerateRecipe) -> dict[str, Any]:
    """Traces planned and missing, and tokens per strategy.

    Prompt tokens are UTF-8 bytes / 4; generated tokens are the corpus's mean for the strategy, else the published
    mean, else the token limit. Loads and calls no model.
    """
    corpus = Store(corpus_dir)
    strategies = recipe.chosen()
    planned = planned_for(corpus, recipe, strategies)
    missing = without_done(corpus, planned.tasks)
    lengths = _lengths(corpus)
    per_strategy = {s.name: _one(s, missing, lengths, recipe) for s in strategies}
    prompt = sum(entry["prompt_tokens"] for entry in per_strategy.values())
    generated = sum(entry["generated_tokens"] for entry in per_strategy.values())
    return {
        "planned": len(planned.tasks),
        "done": len(planned.tasks) - len(missing),
        "missing": len(missing),
        "filtered": planned.filtered,
        "prompt_tokens": prompt,
        "generated_tokens": generated,
        "cost": round((prompt * recipe.price_in + generated * recipe.price_out) / 1e6, 4),
        "strategies": per_strategy,
    }


def _one(
    strategy: Strategy,
    missing: Sequence[GenerationTask],
    lengths: dict[str, tuple[int, float]],
    recipe: GenerateRecipe,
) -> dict[str, Any]:
    tasks = [task for task in missing if task.columns["strategy"] == strategy.name]
    sent = sum(len(m["content"].encode()) for task in tasks for m in task.messages)
    limit = recipe.sampling.max_new_tokens
    if strategy.header.model == "none":
        mean, source = 0.0, "asks no model"
    elif lengths[strategy.name][0] >= ENOUGH:
        mean, source = lengths[strategy.name][1], f"mean of {lengths[strategy.name][0]} traces in the corpus"
    elif strategy.header.mean_tokens and recipe.think == "as_is":
        mean, source = min(strategy.header.mean_tokens, limit), "published mean"
    else:
        mean, source = float(limit), "token limit"
    return {
        "missing": len(tasks),
        "prompt_tokens": sent // CHARACTERS_PER_TOKEN,
        "generated_tokens": round(mean * len(tasks)),
        "from": source,
    }


def _lengths(corpus: Store) -> dict[str, tuple[int, float]]:
    rows = select(
        open_tables(corpus),
        sql_file("curation.generate", "lengths.sql"),
    ).to_pylist()
    lengths: dict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    lengths.update({row["strategy"]: (row["n"], row["mean"]) for row in rows})
    return lengths
