"""Which traces an annotator has not labelled yet, and their columns in batches."""

from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from annotators.base import Annotator
from curation.corpus import memory
from curation.corpus.filling import sql_file
from curation.corpus.known_ids import KnownIds
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from schemas.trace import Trace

BATCH_TRACES = 512
ROWS = 8192
"""Read at once of a table's ids."""


def missing(corpus: Store, annotator: Annotator, only: Collection[str] | None = None) -> KnownIds:
    """The traces that an annotator has not labelled.

    Args:
        corpus: the corpus.
        annotator: whose labels are looked for.
        only: the traces that it is asked about; all of them by default.
    """
    known = KnownIds(corpus.root, memory.limit() // 8)
    for trace_id in unjudged(corpus, annotator, only):
        known.setdefault(trace_id, 0)
    return known


def unjudged(corpus: Store, annotator: Annotator, only: Collection[str] | None = None) -> Iterator[str]:
    """The ids of these traces, as they come; arguments as of `missing`."""
    if only is not None:  # reading three columns takes a tenth of opening the corpus for queries
        yield from sorted(
            _among("traces", corpus, only) - _among("annotations", corpus, only, annotator.name)
        )
        return
    query = open_tables(corpus).sql(
        sql_file("curation.annotate", "unjudged.sql"), params={"annotator": annotator.name}
    )
    for batch in query.to_arrow_reader(8192):
        yield from batch.column(0).to_pylist()


def _among(table: str, corpus: Store, ids: Collection[str], annotator: str | None = None) -> set[str]:
    """Which of some traces have a row in a table, of one annotator if it is named."""
    wanted, found = pa.array(list(ids), pa.string()), set[str]()
    columns = ["trace_id"] if annotator is None else ["trace_id", "annotator"]
    for batch in corpus.scan(table, columns, ROWS):
        if annotator is not None:
            batch = batch.filter(pc.equal(batch["annotator"], annotator))
        keys = batch["trace_id"]
        found.update(keys.filter(pc.is_in(keys, value_set=wanted)).to_pylist())
    return found


def batches(corpus: Store, annotator: Annotator, wanted_ids: KnownIds) -> Iterator[pa.RecordBatch]:
    """The traces of these ids, in batches; with the query inside an attack as prompt, for annotators that judge by it."""
    if not wanted_ids:
        return
    wrapped = _wrapped_queries(corpus) if annotator.plain_query else {}
    for batch in corpus.scan("traces", tuple(Trace.model_fields), min(BATCH_TRACES, annotator.batch_traces)):
        wanted = [trace_id in wanted_ids for trace_id in batch["trace_id"].to_pylist()]
        if any(wanted):
            yield _unwrapped(batch.filter(pa.array(wanted)), wrapped)


def _wrapped_queries(corpus: Store) -> dict[str, str]:
    """prompt_id -> the query that an attack wraps, for prompts that have it."""
    rows = select(open_tables(corpus), sql_file("curation.annotate", "wrapped_queries.sql"))
    return {row["prompt_id"]: row["query"] for row in rows.to_pylist()}


def _unwrapped(batch: pa.RecordBatch, queries: dict[str, str]) -> pa.RecordBatch:
    if not queries:
        return batch
    keys = batch["prompt_id"].to_pylist()
    asked = zip(keys, batch["prompt"].to_pylist(), strict=True)
    batch = _with_column(batch, "prompt", [queries.get(key, prompt) for key, prompt in asked])
    if "turns" not in batch.schema.names or batch["turns"].null_count == batch.num_rows:
        return batch
    talks = zip(keys, batch["turns"].to_pylist(), strict=True)
    return _with_column(batch, "turns", [None if key in queries else turns for key, turns in talks])


def _with_column(batch: pa.RecordBatch, name: str, values: list[Any]) -> pa.RecordBatch:
    field = batch.schema.field(name)
    return batch.set_column(batch.schema.get_field_index(name), field, pa.array(values, field.type))
