"""`curate annotate`: runs annotators on the traces that they have not annotated yet.

Workers get Arrow batches and return Arrow tables, so large corpora are processed in parallel without pickling Trace objects. An
interrupted run keeps its finished parts; the next run processes only missing traces. The table is locked only while a part is written.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import Field

from annotators import catalog
from annotators.base import UNREADABLE, Annotator
from annotators.cascade import Band
from annotators.cascade import cascade as cascade_annotator
from annotators.catalog import JudgeSettings
from curation import console
from curation.annotate import abstentions, cascade
from curation.annotate.asking import EngineModel, estimate
from curation.annotate.cascade import CascadeSettings
from curation.annotate.codebooks import JudgedCodebooks, judged_codebooks
from curation.annotate.judging import Judged, judge, judge_on_cores, to_traces
from curation.annotate.pace import FIRST, FIRST_OF_A_MODEL, FIRST_OF_A_SLOW_MODEL, Pace
from curation.annotate.unjudged import batches, missing, unjudged
from curation.annotate.writing import AnnotationWriter
from curation.codebook.structures import FAMILY, find_structure, is_structure
from curation.corpus.buffer import PartBuffer
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, open_tables, select
from curation.corpus.store import Store
from curation.engines.settings import EngineSettings
from curation.mix import narrow
from curation.reading import read_text
from curation.recipe import Recipe
from curation.versions import versions
from schemas.manifest import Counts, Manifest

PART_TRACES = 8192
PART_SECONDS = 10.0
"""A part is written when either is reached: many small parts are slow to open, large ones lose more on an interruption."""
KEEPS = "what was annotated is saved; the same command goes on with the rest"
MISSING_SAMPLE = 0.2
"""A cascade is not fitted if a larger share of its sample could not be judged."""
PARALLEL_FROM = 20_000
"""Minimum traces for a second process to pay off."""


class AnnotateRecipe(Recipe):
    """What `curate annotate` may be told."""

    annotators: list[str] = Field(min_length=1)
    """Names from the catalog, run one after the other."""
    engine: EngineSettings | None = None
    """The model, for annotators that need one."""
    guard_prompt: Path | None = None
    """File with a guard's published prompt (docs/annotators.md)."""
    samples: int = Field(default=1, ge=1, le=25)
    """Replies of the judge per trace; of several the majority counts, and their share is the score."""
    cascade: CascadeSettings = CascadeSettings()
    """How an annotator "cascade" or "cascade:NAME" decides which traces the judge is asked about."""
    ray_workers: int | None = Field(default=None, ge=1)
    """Number of Ray workers, for annotators without a model."""
    price_in: float = Field(default=0, ge=0)
    """Price per million prompt tokens, in your currency."""
    price_out: float = Field(default=0, ge=0)
    """Price per million generated tokens."""

    def open(self, codebooks: JudgedCodebooks = JudgedCodebooks()) -> "Opened":
        """The annotators and their model, not yet loaded; raises as `catalog.get` and `locate` do.

        Args:
            codebooks: those of the corpus.
        """
        model = EngineModel(self.engine) if self.engine else None
        prompt = read_text(self.guard_prompt, "check --guard-prompt") if self.guard_prompt else None
        structures = {
            name.removeprefix(FAMILY): find_structure(name) for name in self.annotators if is_structure(name)
        }
        settings = JudgeSettings(prompt, self.samples, codebooks.in_force, codebooks.earlier, structures)
        plain = [name for name in self.annotators if not _is_cascade(name)]
        return Opened({name: catalog.get(name, model, settings) for name in plain}, model, settings)


class Opened(NamedTuple):
    """Opened annotators."""

    annotators: dict[str, Annotator]
    """Without cascades, which are fitted first."""
    model: EngineModel | None
    settings: JudgeSettings


def run(
    corpus_dir: Path, recipe: AnnotateRecipe, *, only: Mapping[str, Collection[str]] | None = None
) -> Manifest:
    """Annotate the missing traces, and report the state of the corpus.

    Args:
        corpus_dir: the corpus.
        recipe: the annotators.
        only: the traces that an annotator of this name in the recipe is asked about; all of them if it is not named.

    Raises:
        RecipeError: if an annotator is unknown, or its model is missing.
        EngineError: if the model cannot be found.
        CorpusError: if the corpus is missing or cannot be written.
    """
    corpus = Store(corpus_dir)
    opened = recipe.open(judged_codebooks(corpus, recipe.annotators, added=True))
    failed = annotate_missing(corpus, recipe, opened, only)
    return report(corpus, open_tables(corpus), recipe, opened, failed)


def annotate_missing(
    corpus: Store, recipe: AnnotateRecipe, opened: Opened, only: Mapping[str, Collection[str]] | None = None
) -> dict[str, str]:
    """The first half of `run`: trace_id -> reason of every failed trace."""
    failed: dict[str, str] = {}
    for name in recipe.annotators:
        of_these = None if only is None else only.get(name)
        if _is_cascade(name):
            failures = _run_cascade(corpus, name, recipe, opened, of_these)
        else:
            failures = _annotate(
                corpus,
                name,
                opened.annotators[name],
                recipe.ray_workers,
                of_these,
                model=opened.model,
            )
        for trace_id, reason in failures:
            failed.setdefault(trace_id, reason)
    return failed


def report(
    corpus: Store, connection: Connection, recipe: AnnotateRecipe, opened: Opened, failed: Mapping[str, str]
) -> Manifest:
    """The second half of `run`: the manifest, by a connection that was opened after the first."""
    manifest = _manifest(connection, recipe, opened, failed)
    corpus.write_manifest(manifest)
    _say_cascades(manifest)
    narrow.refresh(connection, corpus)
    return manifest


def estimates(corpus_dir: Path, recipe: AnnotateRecipe) -> dict[str, Any]:
    """Estimate requests, tokens and cost of `run`; loads and calls no model."""
    corpus = Store(corpus_dir)
    by_annotator = {}
    opened = recipe.open(judged_codebooks(corpus, recipe.annotators, added=False))
    cascades = [
        _estimated_cascade(corpus, name, recipe, opened) for name in recipe.annotators if _is_cascade(name)
    ]
    for annotator in (*opened.annotators.values(), *cascades):
        due = missing(corpus, annotator)
        traces = (trace for batch in batches(corpus, annotator, due) for trace in to_traces(batch))
        wanted = estimate(annotator, traces)
        by_annotator[annotator.name] = wanted._asdict() | {
            "cost": _cost(recipe, wanted.prompt_tokens, wanted.generated_tokens)
        }
    return by_annotator


def _is_cascade(name: str) -> bool:
    return name.partition(":")[0] == cascade.FAMILY


def _run_cascade(
    corpus: Store,
    name: str,
    recipe: AnnotateRecipe,
    opened: Opened,
    only: Collection[str] | None,
) -> list[tuple[str, str]]:
    """Fit a cascade where it is not yet, then annotate with it; too few labels of the sample are failures."""
    parts = _cascade_parts(name, recipe, opened)
    bands = cascade.fitted(corpus, parts.title, recipe.cascade)
    if bands is None:
        sample = cascade.sample_ids(open_tables(corpus), recipe.cascade.sample)
        failures = _annotate(corpus, recipe.cascade.first, parts.first, None, sample)
        failures += _annotate(corpus, name, parts.judge, None, sample, opened.model)
        if len(failures) > MISSING_SAMPLE * len(sample):
            return failures
        bands = cascade.fit(
            corpus, open_tables(corpus), parts.title, recipe.cascade, parts.first.name, parts.judge.name
        )
    opened.annotators[name] = parts.together(bands, recipe.cascade.audit)
    return _annotate(corpus, name, opened.annotators[name], None, only, model=opened.model)


class _CascadeParts(NamedTuple):
    """The two annotators of a cascade."""

    title: str
    """"cascade:JUDGE+FIRST", without a version."""
    first: Annotator
    judge: Annotator

    def together(self, bands: tuple[dict[str, Band], int], audit: float) -> Annotator:
        return cascade_annotator(f"{self.title}@{bands[1]}", self.first, self.judge, bands[0], audit)


def _cascade_parts(name: str, recipe: AnnotateRecipe, opened: Opened) -> _CascadeParts:
    first = catalog.get(recipe.cascade.first)
    judge = catalog.get(f"judge{name.removeprefix(cascade.FAMILY)}", opened.model, opened.settings)
    names = [one.name.partition("@")[0].replace(":", "-") for one in (judge, first)]
    return _CascadeParts(f"{cascade.FAMILY}:{names[0].removeprefix('judge-')}+{names[1]}", first, judge)


def _estimated_cascade(corpus: Store, name: str, recipe: AnnotateRecipe, opened: Opened) -> Annotator:
    """The cascade, or its judge if its bands are not fitted yet: what judging everything would cost is then the limit."""
    parts = _cascade_parts(name, recipe, opened)
    bands = cascade.fitted(corpus, parts.title, recipe.cascade)
    return parts.judge if bands is None else parts.together(bands, recipe.cascade.audit)


def _annotate(
    corpus: Store,
    name: str,
    annotator: Annotator,
    ray_workers: int | None,
    only: Collection[str] | None = None,
    model: EngineModel | None = None,
) -> list[tuple[str, str]]:
    writer = AnnotationWriter(corpus, annotator)
    due = missing(corpus, annotator, only)
    failures: list[tuple[str, str]] = []
    stopped = None
    with (
        console.progress(f"annotate {annotator.name}", total=len(due), unit="traces", keeps=KEEPS) as advance,
        PartBuffer[Judged](partial(writer.write, advance), PART_TRACES, PART_SECONDS) as buffer,
    ):
        if model:
            model.on_reply = partial(advance, 0)
        for judged in _spread(name, annotator, batches(corpus, annotator, due), len(due), ray_workers, model):
            failures += judged.failures
            buffer.add(judged, judged.traces)
            advance(judged.traces)
            if stopped := judged.stopped:
                break
    if stopped:
        failures += [
            (i, f"{annotator.name}: {stopped}"[:200]) for i in sorted(unjudged(corpus, annotator, only))
        ]
    return _told_if_most_are_unreadable(failures, f"{annotator.name}: {UNREADABLE}", len(due))


def _told_if_most_are_unreadable(
    failures: list[tuple[str, str]], unreadable: str, asked: int
) -> list[tuple[str, str]]:
    """The failures; if most replies could not be read, their reason says that the model itself is the fault."""
    broken = sum(reason == unreadable for _, reason in failures)
    if 2 * broken <= asked:
        return failures
    told = (
        f"{unreadable}, like most replies of this run: {broken} of {asked}; check that this model follows "
        "instructions, its chat template and its limit of tokens"
    )
    return [(trace_id, told if reason == unreadable else reason) for trace_id, reason in failures]


def _spread(
    name: str,
    annotator: Annotator,
    batches: Iterable[pa.RecordBatch],
    traces: int,
    ray_workers: int | None,
    model: EngineModel | None,
) -> Iterator[Judged]:
    """Annotate batches here, in several processes if the annotator allows it and it pays off, or on Ray if requested."""
    if ray_workers and not annotator.questions:
        from curation.annotate.on_ray import judge_on_ray

        yield from judge_on_ray(name, batches, ray_workers)
        return
    cores = len(os.sched_getaffinity(0))
    if not annotator.parallel or cores == 1 or traces < PARALLEL_FROM:
        pace = Pace(_first(annotator, model), annotator.batch_traces)
        for batch in batches:
            for piece in pace.slices(batch):
                yield pace.timed(partial(judge, annotator, piece))
        return
    yield from judge_on_cores(name, batches, cores)


def _first(annotator: Annotator, model: EngineModel | None) -> int:
    """Traces of the first batch."""
    if not annotator.questions:
        return FIRST
    return FIRST_OF_A_SLOW_MODEL if model and model.on_cpu else FIRST_OF_A_MODEL


def _manifest(
    connection: Connection, recipe: AnnotateRecipe, opened: Opened, failed: Mapping[str, str]
) -> Manifest:
    counts = Counts(rows=select(connection, "select count(*) as n from traces")["n"][0].as_py())
    for reason in failed.values():
        counts.add("failed", reason)
    counts.kept = counts.rows - len(failed)
    settings = _settings(recipe, opened)
    return Manifest(
        stage="annotate",
        recipe=settings,
        versions=versions("lrm-curate", "google-re2"),
        counts=counts,
        summary={a.name: _totals(connection, a) for a in opened.annotators.values()}
        | _abstentions(connection, opened)
        | _cascades(connection, opened)
        | _spent(recipe, opened),
    )


def _abstentions(connection: Connection, opened: Opened) -> dict[str, Any]:
    found = {a.name: abstentions.count(connection, a) for a in opened.annotators.values()}
    told = {name: {pattern: one._asdict() for pattern, one in of.items()} for name, of in found.items() if of}
    return {abstentions.SUMMARY: told} if told else {}


def _cascades(connection: Connection, opened: Opened) -> dict[str, Any]:
    """What each cascade saved, and on its audit sample its agreement with judging everything."""
    found = {
        a.name: cascade.report(connection, a.name) for n, a in opened.annotators.items() if _is_cascade(n)
    }
    return {"cascades": found} if found else {}


def _say_cascades(manifest: Manifest) -> None:
    told: Any = manifest.summary.get("cascades", {})
    for name, one in told.items():
        saved = "-" if one["saved"] is None else f"{100 * one['saved']:.0f} %"
        agreed = [share for share in one["agreement"].values() if share is not None]
        audit = f"; agreement on {one['audited']} audited traces {min(agreed):.2f} at least" if agreed else ""
        console.say(
            f"{name}: judge asked about {one['asked']} of {one['traces']} traces, {saved} saved{audit}"
        )


def _settings(recipe: AnnotateRecipe, opened: Opened) -> dict[str, Any]:
    """The recipe for the manifest: the model by name, without local paths or addresses."""
    names = [annotator.name if "/" in given else given for given, annotator in opened.annotators.items()]
    settings: dict[str, Any] = {"annotators": names}
    if opened.model and recipe.engine:
        settings |= {"model": opened.model.name, "engine": recipe.engine.kind}
        settings |= {"price_in": recipe.price_in, "price_out": recipe.price_out}
    return settings


def _spent(recipe: AnnotateRecipe, opened: Opened) -> dict[str, Any]:
    if opened.model is None:
        return {}
    tokens = opened.model.tokens()
    return {"tokens": tokens | {"cost": _cost(recipe, tokens["prompt"], tokens["generated"])}}


def _cost(recipe: AnnotateRecipe, prompt: int, generated: int) -> float:
    return round((prompt * recipe.price_in + generated * recipe.price_out) / 1e6, 6)


def _totals(connection: Connection, annotator: Annotator) -> dict[str, dict[str, int]]:
    query = sql_file("curation.annotate", "annotator_totals.sql")
    rows = select(connection, query, {"annotator": annotator.name}).to_pylist()
    none = {"true": 0, "false": 0, "abstained": 0}
    return {pattern: dict(none) for pattern in annotator.patterns} | {row.pop("pattern"): row for row in rows}
