"""`sft score`: generate a model's replies to the prompts of an evaluation corpus, judge them, and report rates with intervals.

The evaluation corpus is an ordinary corpus; suites (`sft/suites`) say which of its prompts are asked, how, and what is counted. The
replies become traces in it and are annotated like any other trace.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from annotators.statistics.agreement import cohen
from curation import console
from curation.annotate import stage as annotate
from curation.codebook.stage import find
from curation.codebook.stored import known
from curation.corpus.bounds import bounded
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, known_entries, select
from curation.corpus.store import Store, write_file
from curation.corpus.untrusted import check_expression
from curation.engines import Engine
from curation.engines.choosing import open_engine
from curation.engines.settings import EngineSettings, require_template
from curation.versions import versions
from schemas.codebooks import Pattern
from schemas.errors import DataError, EngineError, RecipeError
from schemas.manifest import Counts, InputFile, Manifest
from schemas.patterns import RISKY_PATTERNS
from sft.scoring.asking import Asking, ask, trace_ids
from sft.scoring.measures import JudgedReply
from sft.scoring.programs import sandbox
from sft.scoring.programs.code import judge
from sft.scoring.scores import OUTCOMES, SCORES, Scores, ScoringResult
from sft.scoring.suite_files import AskedSuite, ChosenSuite, SuiteFile, choose
from sft.scoring.suites import (
    NOBODY,
    AskedHow,
    JudgeAgreement,
    ReplyOutcome,
    SuiteScore,
    headline_of,
    measures_of,
    outcomes,
    score,
)

STAGE = "score"
JUDGES = ("rules", "overrefusal")
COMPARED = "the reference answer"
"""The judge of accuracy."""
SOME = 10
"""Of more suites than this, those without prompts are not told one by one."""
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
    suites: Sequence[ChosenSuite] | None = None,
    judging: annotate.AnnotateRecipe | None = None,
    out: Path | None = None,
    export: LogExport | None = None,
    limit: int | None = None,
) -> Scores:
    """Score a model folder, a run folder, a hub model or a server's model; saves the result in the run folder or in `out`.

    Args:
        engine: the model and its engine.
        corpus_dir: the evaluation corpus; gets the replies.
        suites: what is asked, and how; by default every shipped suite that the corpus has prompts for.
        judging: the annotators; rules by default.
        out: a folder for scores.json and outcomes.jsonl; by default the run's folder.
        export: also write logs into that folder.
        limit: ask at most so many prompts of each suite, drawn by hash.

    Raises:
        EngineError: if the model cannot be loaded, or a prompt got no reply; the finished suites are saved.
        CorpusError: if the corpus is missing or cannot be written.
        DataError: if it has no prompts for any suite.
        RecipeError: if a suite's condition is none.
        MissingExtraError: if the library of the logs is not installed.
    """
    from sft.scoring import inspect_logs

    if export:
        inspect_logs.require_library()
    corpus = Store(corpus_dir)
    asked = load_prompts(corpus, suites or choose(), limit)
    run_folder = Path(engine.model) if (Path(engine.model) / "run.json").is_file() else None
    mix_id = _mix_id(run_folder) if run_folder else None
    require_template(engine)
    opened = open_engine(engine)
    scored = measure(opened, corpus, asked, mix_id, judging)
    folder = out or run_folder
    if folder:
        lines = [orjson.dumps(outcome._asdict()) + b"\n" for outcome in scored.outcomes]
        write_file(folder / OUTCOMES, b"".join(lines))
        write_file(folder / SCORES, scored.scores.model_dump_json(indent=2).encode() + b"\n")
    if folder and export:
        for path in inspect_logs.write(corpus, scored, asked, folder, export.show):
            console.say(f"score: {path}; look at it with: inspect view --log-dir {path.parent}")
    if scored.failed:
        told = "\n".join(f"{name}: {reason}" for name, reason in scored.failed.items())
        raise EngineError(
            f"{len(asked) - len(scored.failed)} of {len(asked)} suites are scored; not these:\n{told}"
        )
    return scored.scores


def require_answers(scores: Scores) -> None:
    """Raise if no reply of a suite came to its end: rates of nothing would look like a result.

    Raises:
        EngineError: naming the suite, and what to raise.
    """
    for suite in scores.suites:
        truncated = sum(n for ending, n in suite.endings.items() if ending.startswith("truncated"))
        if truncated and truncated == sum(suite.endings.values()) and suite.asked_how:
            raise EngineError(
                f"{suite.suite}: truncated {truncated} of {truncated} at {suite.asked_how.max_new_tokens} tokens, so no answer "
                "was judged; raise --max-new-tokens and run it again"
            )


def measure(
    engine: Engine,
    corpus: Store,
    asked: Sequence[AskedSuite],
    mix_id: str | None,
    judging: annotate.AnnotateRecipe | None = None,
) -> ScoringResult:
    """Generate, judge and count; writes traces, annotations and a manifest to the corpus.

    A suite whose replies could not all be generated is told as failed and does not stop the others.
    """
    judging = judging or annotate.AnnotateRecipe(annotators=list(JUDGES))
    opened = judging.open(known(corpus).codebooks)
    entries = {one.suite.name: _entries(corpus, one.suite) for one in asked}
    names = [annotator.name for annotator in opened.annotators.values()]
    tests = ""
    if any(prompt["kind"] == "code" for one in asked for prompt in one.prompts):
        # before any reply is generated: without a sandbox they could not be judged
        tests = f"tests under Python {sandbox.prove()}"
        names.append(tests)
    ids, failed = _ask(engine, corpus, asked)
    annotate.run(corpus.root, judging, only=_due(judging, opened, asked, ids, entries))
    connection = connect(corpus)
    replies = _with_programs(
        connection,
        _replies(
            connection,
            sorted({key for of_suite in ids.values() for key in of_suite}),
            {entry.name: entry for of_suite in entries.values() for entry in of_suite},
        ),
    )
    found = [
        _scored(
            connection,
            one,
            [replies[key] for key in ids[one.suite.name] if key in replies],
            tests,
            entries[one.suite.name],
        )
        for one in asked
        if one.suite.name not in failed
    ]
    scores = Scores(
        model=engine.name, mix_id=mix_id, judge=", ".join(names), suites=[suite for suite, _ in found]
    )
    corpus.write_manifest(_manifest(scores, list(replies.values())))
    return ScoringResult(scores, [outcome for _, of_suite in found for outcome in of_suite], failed)


def _ask(
    engine: Engine, corpus: Store, asked: Sequence[AskedSuite]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The trace ids of every suite's replies, and why some suites have not got them all."""
    ids, failed = {}, {}
    for suite, asking, prompts in asked:
        ids[suite.name] = trace_ids(engine.name, prompts, asking)
        try:
            made = ask(engine, corpus, prompts, asking)
            before = len(prompts) * asking.samples - made
            console.say(
                f"score: {engine.name}: {suite.name}: {made} replies generated, {before} already in the corpus"
            )
        except EngineError as error:
            failed[suite.name] = str(error)
            console.say(f"score: {engine.name}: {suite.name}: {error}")
    return ids, failed


def _due(
    judging: annotate.AnnotateRecipe,
    opened: annotate.Opened,
    asked: Sequence[AskedSuite],
    ids: dict[str, list[str]],
    entries: dict[str, list[Pattern]],
) -> dict[str, set[str]]:
    """The replies that each annotator judges: a model only those of suites whose headline it can tell."""
    due = {}
    for name in judging.annotators:
        annotator = opened.annotators.get(name)
        tells = set(annotator.patterns) if annotator and annotator.questions else None
        due[name] = {
            key
            for one in asked
            if tells is None or tells & _told(one.suite, entries[one.suite.name])
            for key in ids[one.suite.name]
        }
    return due


def _told(suite: SuiteFile, entries: list[Pattern]) -> set[str]:
    """What judges label for a suite's headline, and for its codebook."""
    measures = measures_of(suite, entries)
    of_headline = [name for one in suite.headline[:2] for name in measures[one].patterns]
    return {*of_headline, *(entry.name for entry in entries)}


def _entries(corpus: Store, suite: SuiteFile) -> list[Pattern]:
    """The entries of a suite's codebook.

    Raises:
        RecipeError: if there is no such codebook, or the headline is neither a measure nor an entry.
    """
    entries = find(suite.codebook, corpus).entries if suite.codebook else {}
    known_measures = measures_of(suite, entries.values())
    if missing := [name for name in suite.headline if name not in known_measures]:
        raise RecipeError(
            f"suite {suite.name}: headline: {missing[0]} is neither among the measures nor an entry of {suite.codebook}"
        )
    return list(entries.values())


def _scored(
    connection: Connection, asked: AskedSuite, replies: list[JudgedReply], tests: str, entries: list[Pattern]
) -> tuple[SuiteScore, list[ReplyOutcome]]:
    suite, asking, _ = asked
    found, measures = outcomes(suite, replies, entries), measures_of(suite, entries)
    ids = [reply.trace_id for reply in replies]
    patterns = list(measures[headline_of(suite, found, measures)].patterns)
    code = tests if any(reply.kind == "code" for reply in replies) else ""
    compared = COMPARED if any(reply.kind != "code" for reply in replies) else ""
    judged = (
        _judges(connection, ids, patterns) if patterns else ", ".join(one for one in (compared, code) if one)
    )
    told = {"judge": judged or NOBODY, "agreement": _agreement(connection, ids, patterns)}
    return score(suite, found, entries).model_copy(update=told | {"asked_how": _how(asking)}), found


def _how(asking: Asking) -> AskedHow:
    told = asking.settings
    given = {name: told[name] for name in ("max_new_tokens", "temperature", "top_p")}
    hashes = {name: told.get(name) for name in ("template", "system", "chat_template_kwargs")}
    return AskedHow(samples=asking.samples, think=asking.think, **given, **hashes)


def _judges(connection: Connection, ids: list[str], patterns: list[str]) -> str:
    query, values = sql_file("sft.scoring", "judges.sql"), {"ids": ids, "patterns": patterns}
    return ", ".join(row["judge"] for row in select(connection, query, values).to_pylist())


def _agreement(connection: Connection, ids: list[str], patterns: list[str]) -> list[JudgeAgreement]:
    if not patterns:
        return []
    values = {"ids": ids, "patterns": patterns}
    rows = select(connection, sql_file("sft.scoring", "people.sql"), values).to_pylist()
    found = []
    for pattern in patterns:
        pairs = [(row["people"], row["machine"]) for row in rows if row["pattern"] == pattern]
        if pairs:
            kappa, low, high, _ = cohen(pairs)
            same = sum(people == machine for people, machine in pairs)
            found.append(
                JudgeAgreement(pattern=pattern, n=len(pairs), same=same, kappa=kappa, low=low, high=high)
            )
    return found


def load_prompts(corpus: Store, suites: Sequence[ChosenSuite], limit: int | None = None) -> list[AskedSuite]:
    """The suites that a corpus has prompts for.

    Raises:
        DataError: if there are none for any.
        RecipeError: if a condition is none.
    """
    connection = connect(corpus)
    found = {one.suite.name: _prompts_of(connection, one.suite, limit) for one in suites}
    named = {p["prompt_id"] for one in suites if not one.suite.remaining for p in found[one.suite.name]}
    asked = []
    for suite, asking in suites:
        rows = found[suite.name]
        if suite.remaining:
            rows = [row for row in rows if row["prompt_id"] not in named]
        asked.append(AskedSuite(suite, asking, rows[:limit]))
    empty = [one.suite for one in asked if not one.prompts]
    if len(empty) == len(asked):
        told = ", ".join(f"{suite.name} ({' or '.join(suite.sets or suite.kinds)})" for suite in empty)
        raise DataError(
            f"{corpus.root}: no prompts for {told}; add some with: {_adding(empty[0])} --corpus {corpus.root}"
        )
    if empty and len(suites) <= SOME:
        console.say(
            f"score: no prompts for {', '.join(suite.name for suite in empty)} in this corpus; skipped"
        )
    return [one for one in asked if one.prompts]


def _adding(suite: SuiteFile) -> str:
    return (
        f"curate ingest --set {suite.sets[0]}"
        if suite.sets
        else f"curate ingest FILE --kind {suite.kinds[0]}"
    )


def _prompts_of(connection: Connection, suite: SuiteFile, limit: int | None) -> list[dict[str, Any]]:
    try:
        check_expression(connection, suite.where)
        values = {
            "kinds": list(suite.kinds),
            "sets": list(suite.sets),
            "limit": 2**62 if limit is None or suite.remaining else limit,
        }
        rows = bounded(
            connection,
            lambda: select(connection, sql_file("sft.scoring", "prompts.sql", where=suite.where), values),
        )
    except RecipeError as error:
        raise RecipeError(f"suite {suite.name}: where: {error}") from error
    return list(rows.to_pylist())


def _replies(
    connection: Connection, ids: list[str], entries: Mapping[str, Pattern]
) -> dict[str, JudgedReply]:
    there = {name: entry for name, entry in entries.items() if name in known_entries(connection).entries}
    more = [
        f"{n} >= {e.threshold} as {n}" if e.graded else n for n, e in there.items() if n not in RISKY_PATTERNS
    ]
    query = sql_file("sft.scoring", "replies.sql", patterns=", ".join([*RISKY_PATTERNS, *more]))
    names = dict.fromkeys([*RISKY_PATTERNS, *there])
    rows = select(connection, query, {"ids": ids}).to_pylist()
    return {row["trace_id"]: _judged(row, names) for row in rows}


def _with_programs(connection: Connection, replies: dict[str, JudgedReply]) -> dict[str, JudgedReply]:
    places: dict[str, list[str]] = {}
    for key, reply in replies.items():
        if reply.kind == "code" and reply.ending == "answered":
            places.setdefault(reply.prompt_id, []).append(key)
    run: dict[str, JudgedReply] = {}
    # the tests of one problem can take 50 MB
    for start in range(0, len(places), PROBLEMS):
        console.say(f"score: running programs for {len(places) - start} coding problems")
        ids = list(places)[start : start + PROBLEMS]
        tests = _tests(connection, ids)
        keys = [key for prompt_id in ids for key in places[prompt_id]]
        results = judge([(replies[key].answer, tests[replies[key].prompt_id]) for key in keys])
        run |= {key: replies[key]._replace(program=result) for key, result in zip(keys, results, strict=True)}
    return replies | run


def _tests(connection: Connection, prompt_ids: Sequence[str]) -> dict[str, str | None]:
    query = "select prompt_id, reference_answer from prompts where list_contains($ids, prompt_id)"
    rows = select(connection, query, {"ids": list(prompt_ids)}).to_pylist()
    return {row["prompt_id"]: row["reference_answer"] for row in rows}


def _judged(row: dict[str, Any], names: Iterable[str]) -> JudgedReply:
    patterns = {name: row.pop(name) for name in names}
    return JudgedReply(think_state=json.loads(row.pop("extra"))["think_state"], patterns=patterns, **row)


def _mix_id(run_folder: Path) -> str:
    return str(json.loads((run_folder / "run.json").read_bytes())["mix_id"])


def _manifest(scores: Scores, replies: list[JudgedReply]) -> Manifest:
    counts = Counts(rows=len(replies), kept=sum(reply.ending == "answered" for reply in replies))
    for reply in replies:
        if reply.ending != "answered":
            counts.add("filtered", reply.ending)
    asked = {suite.suite: suite.asked_how and suite.asked_how.model_dump() for suite in scores.suites}
    return Manifest(
        stage=STAGE,
        inputs=[InputFile(name="mix", blake2b=scores.mix_id)] if scores.mix_id else [],
        recipe={"model": scores.model, "judge": scores.judge, "suites": asked},
        versions=versions("lrm-curate", "torch", "transformers"),
        counts=counts,
        summary={"suites": [suite.model_dump() for suite in scores.suites]},
    )
