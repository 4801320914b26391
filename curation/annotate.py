"""`curate annotate`: let annotators judge the traces they have not judged yet.

Work is handed in as Arrow batches and comes back as Arrow tables, so large corpora are spread over processes without
pickling a single Trace. A killed run keeps its finished parts; the next run reads only what is missing.
"""

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import Field

from annotators import catalog
from annotators.base import Annotator
from curation import console
from curation.query import Connection, connect, select, sql_file
from curation.recipe import Recipe
from curation.store import Corpus
from curation.versions import versions
from schemas.annotation import Annotation
from schemas.ids import content_id
from schemas.manifest import Counts, Manifest
from schemas.tables import ANNOTATIONS
from schemas.trace import Trace

BATCH_TRACES = 512
PART_TRACES = 8192
PART_SECONDS = 20.0
"""A part is written when either is reached: many small parts are slow to open, large ones lose more to a kill."""
PARALLEL_FROM = 20_000
"""Below this many traces a second process costs more to start than it saves."""


class AnnotateRecipe(Recipe):
    """What `curate annotate` may be told."""

    annotators: list[str] = Field(min_length=1)
    """Names from the catalog, judged one after the other."""


class Judged(NamedTuple):
    """What an annotator made of one batch."""

    annotations: pa.Table
    failures: list[tuple[str, str]]
    """trace_id and reason of every trace it raised on."""
    traces: int
    """Size of the batch, failures included."""


def judge(annotator: Annotator, batch: pa.RecordBatch) -> Judged:
    """Judge a batch; a trace the annotator raises on fails alone and the others go on."""
    traces = to_traces(batch)
    try:
        return Judged(to_table(_verdicts(annotator, traces)), [], len(traces))
    except Exception:  # noqa: BLE001  which trace it was is found out one by one
        return _judge_singly(annotator, traces)


def to_traces(batch: pa.RecordBatch) -> list[Trace]:
    """The traces of a batch that has columns named like Trace's fields."""
    return [Trace.model_validate(row) for row in batch.to_pylist()]


def to_table(annotations: Sequence[Annotation]) -> pa.Table:
    """Annotations as rows of the annotations table."""
    spans = [[(span.field, span.start, span.end) for span in a.spans] for a in annotations]
    columns = [
        [a.trace_id for a in annotations],
        [a.pattern for a in annotations],
        [a.annotator for a in annotations],
        [a.label for a in annotations],
        [a.score for a in annotations],
        spans,
        [a.rationale for a in annotations],
    ]
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, ANNOTATIONS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=ANNOTATIONS)


def run(corpus_dir: Path, recipe: AnnotateRecipe, only: set[str] | None = None) -> Manifest:
    """Judge what is not judged yet, and say how the corpus stands afterwards.

    Args:
        corpus_dir: the corpus.
        recipe: who judges.
        only: ids of the traces to judge; all of the corpus where it is not given.

    Raises:
        RecipeError: if an annotator is unknown.
        CorpusError: if the corpus is missing or cannot be written.
    """
    corpus = Corpus(corpus_dir)
    annotators = {name: catalog.get(name) for name in recipe.annotators}
    failed: dict[str, str] = {}
    with corpus.writing("annotations"):
        for name, annotator in annotators.items():
            for trace_id, reason in _annotate_missing(corpus, name, annotator, only):
                failed.setdefault(trace_id, reason)
    manifest = _manifest(corpus, recipe, list(annotators.values()), failed)
    corpus.write_manifest(manifest)
    return manifest


def _judge_singly(annotator: Annotator, traces: Sequence[Trace]) -> Judged:
    good: list[Annotation] = []
    failures = []
    for trace in traces:
        try:
            good += _verdicts(annotator, [trace])
        except Exception as error:  # noqa: BLE001
            failures.append((trace.trace_id, f"{annotator.name}: {type(error).__name__}: {error}"[:200]))
    return Judged(to_table(good), failures, len(traces))


def _verdicts(annotator: Annotator, traces: Sequence[Trace]) -> list[Annotation]:
    found = list(annotator.annotate(traces))
    due = [(trace.trace_id, pattern) for trace in traces for pattern in annotator.patterns]
    if [(a.trace_id, a.pattern) for a in found] != due:
        raise ValueError(
            f"gave {len(found)} annotations, not one per trace and pattern in order ({len(due)})"
        )
    return found


def _annotate_missing(
    corpus: Corpus, name: str, annotator: Annotator, only: set[str] | None
) -> list[tuple[str, str]]:
    missing = set(_rows(connect(corpus), "unjudged.sql", annotator)["trace_id"].to_pylist())
    if only is not None:
        missing &= only
    failures: list[tuple[str, str]] = []
    waiting = _Waiting(corpus)
    with console.progress(f"annotate {annotator.name}", total=len(missing), unit="traces") as advance:
        for judged in _spread(name, annotator, _batches(corpus, missing), len(missing)):
            failures += judged.failures
            waiting.add(judged)
            advance(judged.traces)
    waiting.flush()
    return failures


def _batches(corpus: Corpus, missing: set[str]) -> Iterator[pa.RecordBatch]:
    if not missing:
        return
    for batch in corpus.scan("traces", tuple(Trace.model_fields), BATCH_TRACES):
        wanted = [trace_id in missing for trace_id in batch["trace_id"].to_pylist()]
        if any(wanted):
            yield batch.filter(pa.array(wanted))


def _rows(connection: Connection, file: str, annotator: Annotator) -> pa.Table:
    return connection.sql(sql_file(file), params={"annotator": annotator.name}).to_arrow_table()


class _Waiting:
    """Annotations that wait to be written as one part."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._clear()

    def add(self, judged: Judged) -> None:
        self._tables.append(judged.annotations)
        self._traces += judged.traces
        if self._traces >= PART_TRACES or time.monotonic() - self._since > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._tables:
            self._corpus.append("annotations", pa.concat_tables(self._tables))
        self._clear()

    def _clear(self) -> None:
        self._tables: list[pa.Table] = []
        self._traces = 0
        self._since = time.monotonic()


def _spread(
    name: str, annotator: Annotator, batches: Iterable[pa.RecordBatch], traces: int
) -> Iterator[Judged]:
    """Judge batches here, or in several processes where the annotator allows it and it pays."""
    cores = len(os.sched_getaffinity(0))
    if not annotator.parallel or cores == 1 or traces < PARALLEL_FROM:
        yield from (judge(annotator, batch) for batch in batches)
        return
    # Not forked: the parent runs DuckDB's threads.
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _open_annotator, (name,)) as pool:
        running: deque[Future[Judged]] = deque()
        for batch in batches:
            running.append(pool.submit(_judge_here, batch))
            if len(running) > 3 * cores:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


_here: Annotator


def _open_annotator(name: str) -> None:
    global _here
    _here = catalog.get(name)


def _judge_here(batch: pa.RecordBatch) -> Judged:
    return judge(_here, batch)


def _manifest(
    corpus: Corpus, recipe: AnnotateRecipe, annotators: Sequence[Annotator], failed: dict[str, str]
) -> Manifest:
    connection = connect(corpus)
    counts = Counts(rows=select(connection, "select count(*) as n from traces")["n"][0].as_py())
    for reason in failed.values():
        counts.add("failed", reason)
    counts.kept = counts.rows - len(failed)
    settings = recipe.model_dump()
    return Manifest(
        stage="annotate",
        recipe=settings,
        recipe_id=content_id(settings),
        versions=versions("lrm-curate", "google-re2"),
        counts=counts,
        summary={a.name: _totals(connection, a) for a in annotators},
    )


def _totals(connection: Connection, annotator: Annotator) -> dict[str, dict[str, int]]:
    rows = _rows(connection, "annotator_totals.sql", annotator).to_pylist()
    return {row.pop("pattern"): row for row in rows}
