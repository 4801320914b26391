"""Annotators without a model, spread over the workers of a Ray cluster."""

from collections.abc import Iterable, Iterator

import orjson
import pyarrow as pa

from annotators import catalog
from curation import cluster
from curation.annotate.judging import Judged, judge
from schemas.errors import EngineError


def judge_on_ray(name: str, batches: Iterable[pa.RecordBatch], workers: int) -> Iterator[Judged]:
    """Judge batches of traces with an annotator of the catalog, in several workers.

    Raises:
        EngineError: if the workers die repeatedly.
    """
    cluster.start()
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    if not tables:
        return
    try:
        for row in cluster.map_tables(tables, Judge, (name,), workers):
            yield Judged(
                _table(row["annotations"]),
                [tuple(pair) for pair in orjson.loads(row["failures"])],
                row["traces"],
            )
    except EngineError as error:
        raise EngineError(f"{name}: {error}") from error


class Judge:
    """One annotator in a worker process."""

    def __init__(self, name: str) -> None:
        self._annotator = catalog.get(name)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Annotate a batch; annotations are returned as one Arrow stream."""
        judged = judge(self._annotator, batch.combine_chunks().to_batches()[0])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, judged.annotations.schema) as writer:
            writer.write_table(judged.annotations)
        return pa.table(
            {
                "annotations": pa.array([sink.getvalue().to_pybytes()], pa.large_binary()),
                "failures": [orjson.dumps(judged.failures).decode()],
                "traces": [judged.traces],
            }
        )


def _table(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
