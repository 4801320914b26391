"""`sft score`: ask a model the prompts of an evaluation corpus, judge its replies, and count, with intervals.

The evaluation corpus is an ordinary corpus: its harmful prompts measure safety, its benign ones over-refusal, its math
ones reasoning. The replies become traces in it and are judged like any other trace.
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from annotators import catalog
from curation import annotate, console
from curation.engines import Engine, Sampling
from curation.page import percent
from curation.query import connect, quoted, select
from curation.store import Corpus, write_file
from curation.versions import versions
from schemas.errors import DataError
from schemas.ids import content_id
from schemas.manifest import Counts, InputFile, Manifest
from sft.score.asking import ask, trace_ids
from sft.score.suites import ANSWERED, SUITES, Judged, Suite, SuiteScore, score

STAGE = "score"
JUDGE = "rules"
SCORES = "scores.json"


class Scores(BaseModel):
    """How one model did."""

    model_config = ConfigDict(extra="forbid")

    model: str
    """"name@fingerprint" of its weights."""
    mix_id: str | None
    """The mix it was trained on, for a run of `sft run`."""
    judge: str
    sampling: Sampling
    suites: list[SuiteScore]


def run(
    model: str,
    corpus_dir: Path,
    suite: Suite | Literal["all"] = "all",
    sampling: Sampling | None = None,
    revision: str | None = None,
) -> Scores:
    """Score a model folder, a run folder or a hub model; a run folder also keeps the result as scores.json.

    Raises:
        EngineError: if the model cannot be loaded.
        CorpusError: if the corpus is missing or cannot be written.
        DataError: if it has no prompts for the suite.
    """
    corpus = Corpus(corpus_dir)
    prompts = _prompts(corpus, suite)
    from curation.engines.transformers import TransformersEngine

    run_folder = Path(model) if (Path(model) / "run.json").is_file() else None
    mix_id = _mix_id(run_folder) if run_folder else None
    scores = measure(
        TransformersEngine.load(model, revision), corpus, prompts, sampling or Sampling(), mix_id
    )
    if run_folder:
        write_file(run_folder / SCORES, scores.model_dump_json(indent=2).encode() + b"\n")
    return scores


def measure(
    engine: Engine,
    corpus: Corpus,
    prompts: dict[Suite, list[dict[str, Any]]],
    sampling: Sampling,
    mix_id: str | None,
) -> Scores:
    """Ask, judge and count; writes traces, annotations and a manifest to the corpus."""
    everything = [prompt for rows in prompts.values() for prompt in rows]
    asked = ask(engine, corpus, everything, sampling)
    console.say(f"score: {engine.name}: {asked} prompts asked, {len(everything) - asked} answered before")
    annotate.run(corpus.root, annotate.AnnotateRecipe(annotators=[JUDGE]))
    replies = _replies(corpus, trace_ids(engine.name, everything, sampling))
    suites = [score(suite, [reply for reply in replies if reply.kind == SUITES[suite]]) for suite in prompts]
    scores = Scores(
        model=engine.name, mix_id=mix_id, judge=catalog.get(JUDGE).name, sampling=sampling, suites=suites
    )
    corpus.write_manifest(_manifest(scores, replies))
    return scores


def show(scores: Scores) -> None:
    """Print scores for a person."""
    from rich.table import Table

    table = Table(
        "suite", "measure", "k / n", "rate", "95 % interval", "asked", "replies", title=scores.model
    )
    for suite in scores.suites:
        states = ", ".join(f"{state} {n}" for state, n in suite.think_states.items())
        for rate in suite.rates:
            unjudged = f" ({rate.unjudged} unjudged)" if rate.unjudged else ""
            table.add_row(
                suite.suite, rate.measure, f"{rate.k} / {rate.n}{unjudged}", percent(rate.rate),
                f"{percent(rate.low)} to {percent(rate.high)}", str(suite.asked), states,
            )  # fmt: skip
    console.show(table)
    console.say(f"judged by {scores.judge}; only replies that ended with an answer enter a rate")


def _prompts(corpus: Corpus, suite: Suite | Literal["all"]) -> dict[Suite, list[dict[str, Any]]]:
    connection = connect(corpus)
    wanted: list[Suite] = list(SUITES) if suite == "all" else [suite]
    found = {name: _prompts_of(connection, SUITES[name]) for name in wanted}
    empty = [f"{name} ({SUITES[name]})" for name in wanted if not found[name]]
    if len(empty) == len(wanted):
        raise DataError(
            f"{corpus.root}: no prompts for {', '.join(empty)}; add some with: "
            f"curate ingest FILE --kind {SUITES[wanted[0]]} --corpus {corpus.root}"
        )
    if empty:
        console.say(f"score: no prompts for {', '.join(empty)} in this corpus; left out")
    return {name: rows for name, rows in found.items() if rows}


def _prompts_of(connection: Any, kind: str) -> list[dict[str, Any]]:
    # Prompts that somebody's trace answers already are asked as well: the corpus says what to ask, nothing else.
    query = f"select prompt_id, text, kind from prompts where kind = {quoted(kind)} order by prompt_id"
    rows: list[dict[str, Any]] = select(connection, query).to_pylist()
    return rows


def _replies(corpus: Corpus, ids: list[str]) -> list[Judged]:
    listed = ", ".join(quoted(i) for i in ids)
    rows = select(
        connect(corpus),
        "select kind, extra, answer, reference_answer, answer_refusal, reasoning_refusal, harmful_additions"
        f" from candidates where trace_id in ({listed}) order by trace_id",
    ).to_pylist()
    return [Judged(think_state=json.loads(row.pop("extra"))["think_state"], **row) for row in rows]


def _mix_id(run_folder: Path) -> str:
    return str(json.loads((run_folder / "run.json").read_bytes())["mix_id"])


def _manifest(scores: Scores, replies: list[Judged]) -> Manifest:
    counts = Counts(rows=len(replies), kept=sum(reply.think_state in ANSWERED for reply in replies))
    for reply in replies:
        if reply.think_state not in ANSWERED:
            counts.add("filtered", reply.think_state)
    recipe = {"model": scores.model, "judge": scores.judge, "sampling": scores.sampling.model_dump()}
    return Manifest(
        stage=STAGE,
        inputs=[InputFile(name="mix", blake2b=scores.mix_id)] if scores.mix_id else [],
        recipe=recipe,
        recipe_id=content_id(recipe),
        seed=scores.sampling.seed,
        versions=versions("lrm-curate", "torch", "transformers"),
        counts=counts,
        summary={"suites": [suite.model_dump() for suite in scores.suites]},
    )
