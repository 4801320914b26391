"""Runs one annotator on one batch of traces: annotations as an Arrow table, and failures that affect only their own trace."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa

from annotators import catalog
from annotators.base import Annotator, Failure
from schemas.annotation import Annotation
from schemas.errors import CurateError, EngineError
from schemas.hiding import hide
from schemas.tables import ANNOTATIONS
from schemas.trace import Trace


class Judged(NamedTuple):
    """An annotator's results for one batch."""

    annotations: pa.Table
    failures: list[tuple[str, str]]
    """trace_id and reason of every failed trace."""
    traces: int
    """Size of the batch, including failures."""
    stopped: str | None = None
    """The error that prevents further batches, if any."""


def judge(annotator: Annotator, batch: pa.RecordBatch) -> Judged:
    """Annotate a batch; an exception fails only its own trace."""
    traces = to_traces(batch)
    try:
        return _verdicts(annotator, traces)
    except CurateError:
        raise
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


def _judge_singly(annotator: Annotator, traces: Sequence[Trace]) -> Judged:
    good: list[pa.Table] = []
    failures: list[tuple[str, str]] = []
    for trace in traces:
        try:
            judged = _verdicts(annotator, [trace])
            good.append(judged.annotations)
            failures += judged.failures
        except Exception as error:  # noqa: BLE001
            failures.append(
                (trace.trace_id, hide(f"{annotator.name}: {type(error).__name__}: {error}")[:200])
            )
    return Judged(pa.concat_tables([ANNOTATIONS.empty_table(), *good]), failures, len(traces))


def _verdicts(annotator: Annotator, traces: Sequence[Trace]) -> Judged:
    annotations: list[Annotation] = []
    failed: dict[str, str] = {}
    stopped = None
    try:
        for verdict in annotator.annotate(traces):
            if isinstance(verdict, Failure):
                failed[verdict.trace_id] = hide(f"{annotator.name}: {verdict.reason}")[:200]
            else:
                annotations.append(verdict)
    except EngineError as error:
        stopped = str(error)
        given = {annotation.trace_id for annotation in annotations}
        failed |= {
            t.trace_id: f"{annotator.name}: {stopped}"[:200] for t in traces if t.trace_id not in given
        }
    judged = [trace for trace in traces if trace.trace_id not in failed]
    due = [(trace.trace_id, pattern) for trace in judged for pattern in annotator.patterns]
    if [(a.trace_id, a.pattern) for a in annotations] != due:
        raise ValueError(
            f"returned {len(annotations)} annotations, not one per trace and pattern in order ({len(due)})"
        )
    return Judged(to_table(annotations), list(failed.items()), len(traces), stopped)


WAITING = 3
"""Batches in memory for each core."""


def judge_on_cores(name: str, batches: Iterable[pa.RecordBatch], cores: int) -> Iterator[Judged]:
    """Judge batches of traces with an annotator of the catalog, in several processes; in the order of the batches."""
    others = set(multiprocessing.active_children())
    # Spawned, not forked: the parent has DuckDB's threads.
    pool = ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _open_annotator, (name,))
    try:
        running: deque[Future[Judged]] = deque()
        for batch in batches:
            with _deaf_to_ctrl_c():
                running.append(pool.submit(_judge_here, batch))
            if len(running) > WAITING * cores:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BaseException:  # nobody reads any more: what the workers are at would be thrown away
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started here never see Ctrl-C, which reaches every process of a terminal: the first one stops the others."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_here: Annotator


def _open_annotator(name: str) -> None:
    global _here
    _here = catalog.get(name)


def _judge_here(batch: pa.RecordBatch) -> Judged:
    return judge(_here, batch)
