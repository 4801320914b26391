"""`sft score`: generate a model's replies to the prompts of an evaluation corpus, judge them, and report rates with intervals.

The evaluation corpus is an ordinary corpus: its harmful prompts measure safety, its benign ones over-refusal, its math ones
reasoning. The replies become traces in it and are annotated like any other trace.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from curation import console
from curation.annotate import stage as annotate
from curation.corpus.filling import sql_file
from curation.corpus.query import connect, select
from curation.corpus.store import Store, write_file
from curation.engines import Engine, Sampling
from curation.engines.choosing import open_engine
from curation.engines.settings import EngineSettings
from curation.page import percent
from curation.versions import versions
from schemas.choices import Suite
from schemas.errors import DataError, EngineError
from schemas.manifest import Counts, InputFile, Manifest
from schemas.patterns import RISKY_PATTERNS
from sft.scoring.asking import Asking, ask, trace_ids
from sft.scoring.programs import sandbox
from sft.scoring.programs.code import judge
from sft.scoring.scores import OUTCOMES, SCORES, Scores, ScoringResult
from sft.scoring.suites import SUITES, JudgedReply, outcomes, score

STAGE = "score"
JUDGES = ("rules", "overrefusal")
PROBLEMS = 32
"""Coding problems whose tests are held in memory at once."""


class LogExport(NamedTuple):
    """Logs for Inspect AI."""

    show: bool = False
    """Do not mask harmful prompts and their replies."""


def score_model(
    corpus_dir: Path,
    engine: EngineSettings,
    *,
    suite: Suite | Literal["all"] = "all",
    asking: Asking | None = None,
    judging: annotate.AnnotateRecipe | None = None,
    out: Path | None = None,
    export: LogExport | None = None,
) -> Scores:
    """Score a model folder, a run folder, a hub model or a server's model; saves the result in the run folder or in `out`.

    Args:
        engine: the model and its engine.
        corpus_dir: the evaluation corpus; gets the replies.
        suite: which prompts.
        asking: sampling, samples per prompt, thinking mode.
        judging: the annotators; rules by default.
        out: a folder for scores.json and outcomes.jsonl; by default the run's folder.
        export: also write logs into that folder.

    Raises:
        EngineError: if the model cannot be loaded, or a prompt got no reply.
        CorpusError: if the corpus is missing or cannot be written.
        DataError: if it has no prompts for the suite.
        MissingExtraError: if the library of the logs is not installed.
    """
    from sft.scoring import inspect_logs

    if export:
        inspect_logs.require_library()
    corpus = Store(corpus_dir)
    prompts = load_prompts(corpus, suite)
    run_folder = Path(engine.model) if (Path(engine.model) / "run.json").is_file() else None
    mix_id = _mix_id(run_folder) if run_folder else None
    opened, asking = open_engine(engine), asking or Asking(Sampling())
    scored = measure(opened, corpus, prompts, asking, mix_id, judging)
    folder = out or run_folder
    if folder:
        lines = [orjson.dumps(outcome._asdict()) + b"\n" for outcome in scored.outcomes]
        write_file(folder / OUTCOMES, b"".join(lines))
        write_file(folder / SCORES, scored.scores.model_dump_json(indent=2).encode() + b"\n")
    if folder and export:
        ids = trace_ids(opened.name, [prompt for rows in prompts.values() for prompt in rows], asking)
        for path in inspect_logs.write(corpus, scored, ids, folder, export.show):
            console.say(f"score: {path}; look at it with: inspect view --log-dir {path.parent}")
    return scored.scores


def require_answers(scores: Scores) -> None:
    """Raise if no reply of a suite came to its end: rates of nothing would look like a result.

    Raises:
        EngineError: naming the suite, and what to raise.
    """
    for suite in scores.suites:
        truncated = sum(n for ending, n in suite.endings.items() if ending.startswith("truncated"))
        if truncated and truncated == sum(suite.endings.values()):
            raise EngineError(
                f"{suite.suite}: truncated {truncated} of {truncated} at {scores.sampling.max_new_tokens} tokens, so no answer "
                "was judged; raise --max-new-tokens and run it again"
            )


def measure(
    engine: Engine,
    corpus: Store,
    prompts: dict[Suite, list[dict[str, Any]]],
    asking: Asking,
    mix_id: str | None,
    judging: annotate.AnnotateRecipe | None = None,
) -> ScoringResult:
    """Generate, judge and count; writes traces, annotations and a manifest to the corpus."""
    judging = judging or annotate.AnnotateRecipe(annotators=list(JUDGES))
    everything = [prompt for rows in prompts.values() for prompt in rows]
    names = [annotator.name for annotator in judging.open().annotators.values()]
    if any(prompt["kind"] == "code" for prompt in everything):
        # before any reply is generated: without a sandbox they could not be judged
        names.append(f"tests under Python {sandbox.prove()}")
    asked = ask(engine, corpus, everything, asking)
    before = len(everything) * asking.samples - asked
    console.say(f"score: {engine.name}: {asked} {asked} replies generated, {before} already in the corpus")
    annotate.run(corpus.root, judging)
    replies = _with_programs(corpus, _replies(corpus, trace_ids(engine.name, everything, asking)))
    by_suite = {
        suite: outcomes(suite, [reply for reply in replies if reply.kind in SUITES[suite]])
        for suite in prompts
    }
    scores = Scores(
        model=engine.name,
        mix_id=mix_id,
        judge=", ".join(names),
        sampling=asking.sampling,
        samples=asking.samples,
        think=asking.think,
        suites=[score(suite, outcomes_of) for suite, outcomes_of in by_suite.items()],
    )
    corpus.write_manifest(_manifest(scores, replies))
    return ScoringResult(scores, [outcome for outcomes_of in by_suite.values() for outcome in outcomes_of])


def show(scores: Scores) -> None:
    """Print scores."""
    from rich.table import Table

    table = Table(
        "suite",
        "measure",
        "k / n",
        "rate",
        "95 % interval",
        "coverage",
        "asked",
        "replies",
        title=scores.model,
    )
    for suite in scores.suites:
        endings = ", ".join(f"{name} {n}" for name, n in suite.endings.items())
        families = [
            rate.model_copy(update={"measure": f"  {attack}"}) for attack, rate in suite.by_attack.items()
        ]
        families += [
            rate.model_copy(update={"measure": f"  {attack}: {rate.measure}"})
            for attack, rates in suite.guarded_by_attack.items()
            for rate in rates
        ]
        headline, *asides = suite.rates
        for rate in [headline, *families, *asides]:
            unjudged = f" ({rate.unjudged} unjudged)" if rate.unjudged else ""
            table.add_row(
                suite.suite, rate.measure, f"{rate.k} / {rate.n}{unjudged}", percent(rate.rate),
                f"{percent(rate.low)} to {percent(rate.high)}", percent(rate.coverage), str(rate.asked), endings,
            )  # fmt: skip
        for k, value in suite.pass_at.items():
            table.add_row(suite.suite, f"pass@{k}", "", percent(value), "", "", str(suite.asked), "")
    console.show(table)
    console.say(
        f"judged by {scores.judge}; accuracy counts replies without an answer as not correct, rates of answers leave them out, "
        "rates of the reasoning count whatever reasoning there is; coverage: the share of the replies that count"
    )


def load_prompts(corpus: Store, suite: Suite | Literal["all"]) -> dict[Suite, list[dict[str, Any]]]:
    """What a corpus has to ask for a suite, or for every suite that it has prompts for.

    Raises:
        DataError: if there are no such prompts.
    """
    connection = connect(corpus)
    wanted: list[Suite] = list(SUITES) if suite == "all" else [suite]
    rows_by_suite = {name: _prompts_of(connection, SUITES[name]) for name in wanted}
    empty = [f"{name} ({' or '.join(SUITES[name])})" for name in wanted if not rows_by_suite[name]]
    if len(empty) == len(wanted):
        raise DataError(
            f"{corpus.root}: no prompts for {', '.join(empty)}; add some with: "
            f"curate ingest FILE --kind {SUITES[wanted[0]][0]} --corpus {corpus.root}"
        )
    if empty:
        console.say(f"score: no prompts for {', '.join(empty)} in this corpus; skipped")
    return {name: rows for name, rows in rows_by_suite.items() if rows}


def _prompts_of(connection: Any, kinds: Sequence[str]) -> list[dict[str, Any]]:
    # Prompts that already have traces of other models are included: the corpus defines the prompts.
    query = "select prompt_id, text, turns, tools, kind from prompts where list_contains($kinds, kind) order by prompt_id"
    rows: list[dict[str, Any]] = select(connection, query, {"kinds": list(kinds)}).to_pylist()
    return rows


def _replies(corpus: Store, ids: list[str]) -> list[JudgedReply]:
    query = sql_file("sft.scoring", "replies.sql", patterns=", ".join(RISKY_PATTERNS))
    return [_judged(row) for row in select(connect(corpus), query, {"ids": ids}).to_pylist()]


def _with_programs(corpus: Store, replies: list[JudgedReply]) -> list[JudgedReply]:
    places: dict[str, list[int]] = {}
    for place, reply in enumerate(replies):
        if reply.kind == "code" and reply.ending == "answered":
            places.setdefault(reply.prompt_id, []).append(place)
    # the tests of one problem can take 50 MB
    for start in range(0, len(places), PROBLEMS):
        console.say(f"score: running programs for {len(places) - start} coding problems")
        ids = list(places)[start : start + PROBLEMS]
        tests = _tests(corpus, ids)
        asked = [place for prompt_id in ids for place in places[prompt_id]]
        results = judge([(replies[place].answer, tests[replies[place].prompt_id]) for place in asked])
        for place, result in zip(asked, results, strict=True):
            replies[place] = replies[place]._replace(program=result)
    return replies


def _tests(corpus: Store, prompt_ids: Sequence[str]) -> dict[str, str | None]:
    query = "select prompt_id, reference_answer from prompts where list_contains($ids, prompt_id)"
    rows = select(connect(corpus), query, {"ids": list(prompt_ids)}).to_pylist()
    return {row["prompt_id"]: row["reference_answer"] for row in rows}


def _judged(row: dict[str, Any]) -> JudgedReply:
    patterns = {name: row.pop(name) for name in RISKY_PATTERNS}
    return JudgedReply(think_state=json.loads(row.pop("extra"))["think_state"], patterns=patterns, **row)


def _mix_id(run_folder: Path) -> str:
    return str(json.loads((run_folder / "run.json").read_bytes())["mix_id"])


def _manifest(scores: Scores, replies: list[JudgedReply]) -> Manifest:
    counts = Counts(rows=len(replies), kept=sum(reply.ending == "answered" for reply in replies))
    for reply in replies:
        if reply.ending != "answered":
            counts.add("filtered", reply.ending)
    recipe = scores.model_dump(include={"model", "judge", "sampling", "samples", "think"})
    return Manifest(
        stage=STAGE,
        inputs=[InputFile(name="mix", blake2b=scores.mix_id)] if scores.mix_id else [],
        recipe=recipe,
        seed=scores.sampling.seed,
        versions=versions("lrm-curate", "torch", "transformers"),
        counts=counts,
        summary={"suites": [suite.model_dump() for suite in scores.suites]},
    )
