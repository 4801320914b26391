"""`sft score`: generate a model's replies to the prompts of an evaluation corpus, judge them, and report rates with intervals.

The evaluation corpus is an ordinary corpus; suites (`sft/suites`) say which of its prompts are asked, how, and what is counted. The
replies become traces in it and are annotated like any other trace.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from curation import console
from curation.annotate import stage as annotate
from curation.annotate.codebooks import judged_codebooks
from curation.codebook.stage import find
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, known_entries, select
from curation.corpus.store import Store, write_file
from curation.engines import Engine
from curation.engines.choosing import open_engine
from curation.engines.settings import EngineSettings, require_template
from curation.versions import versions
from schemas.codebooks import Pattern
from schemas.errors import EngineError, RecipeError
from schemas.ids import content_id
from schemas.manifest import Counts, InputFile, Manifest
from schemas.patterns import RISKY_PATTERNS
from sft.scoring.asked import AskedSuite, load_prompts
from sft.scoring.asking import ask, trace_ids
from sft.scoring.joint.replies import paired_replies
from sft.scoring.judging import (
    RULES,
    Verdicts,
    asks_every_kind,
    counted,
    is_classifier,
    is_of_every_kind,
    measured_patterns,
    of_every_kind,
    patterns_of_every_kind,
    recipe,
)
from sft.scoring.measures import JudgedReply, Measure
from sft.scoring.programs import sandbox
from sft.scoring.programs.code import judge
from sft.scoring.scores import OUTCOMES, SCORES, Scores, ScoringResult
from sft.scoring.suite_files import ChosenSuite, SuiteFile, choose
from sft.scoring.suites import (
    NOBODY,
    AskedHow,
    ReplyOutcome,
    SuiteScore,
    headline_of,
    measures_of,
    outcomes,
    score,
)

STAGE = "score"
COMPARED, COMPARED_WITH_PLAIN = "the reference answer", "the answer to the plain question"
"""The judges of accuracy, and of an answer that an attack has not changed."""
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
        judging: the annotators; by default the rules, and for refusals the embedded classifier.
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
        for path in inspect_logs.write(corpus, scored, folder, export.show):
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
    judging = of_every_kind(judging or recipe(), asked)
    opened = judging.open(judged_codebooks(corpus, judging.annotators, added=True))
    entries = {one.suite.name: _entries(corpus, one.suite) for one in asked}
    names = [annotator.name for annotator in opened.annotators.values()]
    tests = ""
    if any(prompt["kind"] == "code" for one in asked for prompt in one.prompts):
        # before any reply is generated: without a sandbox they could not be judged
        tests = f"tests under Python {sandbox.prove()}"
        names.append(tests)
    ids, failed = _ask(engine, corpus, asked)
    annotated = annotate.annotate_missing(corpus, judging, opened, _due(judging, opened, asked, ids, entries))
    connection = connect(
        corpus, counted=counted(opened.annotators.values())
    )  # the only one of all that follows: to open it takes longer than to use it
    annotate.report(corpus, connection, judging, opened, annotated)
    replies = _with_programs(
        connection,
        _replies(
            connection,
            sorted({key for of_suite in ids.values() for key in of_suite}),
            {entry.name: entry for of_suite in entries.values() for entry in of_suite},
        ),
    )
    patterns = {pattern for one in asked for pattern in _labelled(one, entries[one.suite.name])}
    said = Verdicts(connection, list(replies), sorted(patterns))
    found = [
        _scored(said, one, _of_suite(one, replies, ids[one.suite.name]), tests, entries[one.suite.name])
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
) -> tuple[dict[str, dict[str, str | None]], dict[str, str]]:
    """The trace ids of every suite's replies with the way they were asked, and why some suites have not got them all."""
    ids: dict[str, dict[str, str | None]] = {}
    failed = {}
    for one in asked:
        name, made, wanted = one.suite.name, 0, 0
        ids[name] = {}
        try:
            for attack, asking, prompts in one.ways:
                of_way = trace_ids(engine.name, prompts, asking)
                ids[name] |= dict.fromkeys(of_way, attack)
                made += ask(engine, corpus, prompts, asking)
                wanted += len(of_way)
            console.say(
                f"score: {engine.name}: {name}: {made} replies generated, {wanted - made} already in the corpus"
            )
        except EngineError as error:
            failed[name] = str(error)
            console.say(f"score: {engine.name}: {name}: {error}")
    return ids, failed


def _of_suite(
    one: AskedSuite, replies: Mapping[str, JudgedReply], ids: Mapping[str, str | None]
) -> list[JudgedReply]:
    """The replies of a suite, each under the way that it was asked."""
    of_suite = [
        replies[key]._replace(attack=attack) if one.suite.prefill else replies[key]
        for key, attack in ids.items()
        if key in replies
    ]
    return paired_replies(of_suite, one.questions)


def _due(
    judging: annotate.AnnotateRecipe,
    opened: annotate.Opened,
    asked: Sequence[AskedSuite],
    ids: Mapping[str, Iterable[str]],
    entries: dict[str, list[Pattern]],
) -> dict[str, set[str]]:
    """The replies that each annotator judges: a model only those of suites that ask for what it can tell, the usual ones those of
    suites that measure it, and any other all."""
    due = {}
    for name in judging.annotators:
        annotator = opened.annotators.get(name)
        tells = set(annotator.patterns) if annotator else set()
        wanted = None
        if annotator and annotator.questions:
            wanted = {one.suite.name: _told(one.suite, entries[one.suite.name]) for one in asked}
        elif name in RULES or is_classifier(name):
            wanted = {one.suite.name: measured_patterns(one.suite, entries[one.suite.name]) for one in asked}
        due[name] = {
            key
            for one in asked
            if wanted is None or tells & wanted[one.suite.name]
            if not is_of_every_kind(name) or asks_every_kind(one.suite)
            for key in ids[one.suite.name]
        }
    return due


def _told(suite: SuiteFile, entries: list[Pattern]) -> set[str]:
    """What judges label for a suite's headline, for its measures that only guards or patterns tell, and for its codebook."""
    measures = measures_of(suite, entries)
    asked = [
        *(measures[name] for name in suite.headline[:2]),
        *(one for one in measures.values() if one.guarded),
    ]
    scoped = patterns_of_every_kind(suite)
    return {*(name for one in asked for name in one.patterns), *(entry.name for entry in entries), *scoped}


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


def _labelled(asked: AskedSuite, entries: list[Pattern]) -> set[str]:
    """What annotators label for any headline that a suite may have."""
    measures = measures_of(asked.suite, entries)
    return {pattern for name in asked.suite.headline for pattern in measures[name].patterns}


def _scored(
    said: Verdicts, asked: AskedSuite, replies: list[JudgedReply], tests: str, entries: list[Pattern]
) -> tuple[SuiteScore, list[ReplyOutcome]]:
    suite = asked.suite
    found, measures = outcomes(suite, replies, entries), measures_of(suite, entries)
    ids = [reply.trace_id for reply in replies]
    headline = measures[headline_of(suite, found, measures)]
    patterns = list(headline.patterns)
    code = tests if any(reply.kind == "code" for reply in replies) else ""
    against = COMPARED_WITH_PLAIN if headline.of_pair else COMPARED
    compared = against if any(reply.kind != "code" for reply in replies) else ""
    judges = said.judges([one.trace_id for one in found if _counts(one, headline)], patterns)
    judged = ", ".join(judges) if patterns else ", ".join(one for one in (compared, code) if one)
    told = {
        "judge": judged or NOBODY,
        "judges": judges,
        "agreement": said.agreement(ids, patterns),
        "asked_how": _how(asked),
    }
    return score(suite, found, entries).model_copy(update=told), found


def _counts(reply: ReplyOutcome, headline: Measure) -> bool:
    """Whether a judge decided that a reply is in the rate of the headline, and on which side."""
    told = reply.measures.get(headline.title) is not None
    return told and (headline.judged == "reasoning" or reply.ending == "answered")


def _how(asked: AskedSuite) -> AskedHow:
    asking = asked.asking
    told = asking.settings
    given = {name: told[name] for name in ("max_new_tokens", "temperature", "top_p")}
    hashes = {name: told.get(name) for name in ("template", "system", "chat_template_kwargs")}
    prefixes = (
        content_id([asked.suite.prefill.words, dict(asked.reasonings)]) if asked.suite.prefill else None
    )
    return AskedHow(samples=asking.samples, think=asking.think, prefixes=prefixes, **given, **hashes)


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
