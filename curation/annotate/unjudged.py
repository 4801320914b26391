"""Which traces an annotator has not labelled yet, and their columns in batches."""

from collections.abc import Collection, Iterator
from typing import Any

import orjson
import pyarrow as pa

from annotators.base import Annotator
from curation.corpus import memory
from curation.corpus.filling import sql_file
from curation.corpus.known_ids import KnownIds
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from schemas.trace import Trace

BATCH_TRACES = 512


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
    query = connect(corpus).sql(
        sql_file("curation.annotate", "unjudged.sql"), params={"annotator": annotator.name}
    )
    for batch in query.to_arrow_reader(8192):
        yield from (i for i in batch.column(0).to_pylist() if only is None or i in only)


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
    """prompt_id -> the query that an attack wraps, for prompts that have it (`query` of `extra`)."""
    rows = select(
        connect(corpus), "select prompt_id, extra from prompts where attack is not null and extra is not null"
    )
    queries = {row["prompt_id"]: orjson.loads(row["extra"]).get("query") for row in rows.to_pylist()}
    return {key: query for key, query in queries.items() if isinstance(query, str)}


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
