"""Ingests annotations by other people and tools of traces in the corpus.

A row refers to its trace by trace_id or by its id in the source, and to its evidence by offsets or by the quoted text, which is
then located in the trace. Nothing is overwritten: if the table has an annotation with the same trace, pattern and annotator, an
equal one counts as kept and a different one is filtered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import groupby, islice
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from curation.codebook.stored import known
from curation.corpus import memory
from curation.corpus.known_ids import KnownIds
from curation.corpus.store import Store, opened
from curation.ingest.containers.rows import RawRow
from curation.ingest.fields import BadRow
from curation.ingest.lines import RowState
from curation.ingest.parts import LINE_SIZE, PartWriter
from curation.ingest.seen import SHARE, TableReader
from schemas.annotation import Annotation
from schemas.codebooks import Pattern
from schemas.faults import listed
from schemas.response import Fault
from schemas.tables import TABLES
from schemas.trace import FIELDS

BATCH_ROWS = 10_000
"""Rows whose traces' texts are in memory at once."""
GROUP_BITS = 20


Key = tuple[str, str, str]
"""trace_id, pattern, annotator."""

SHOWN = 40
"""Characters that are shown of what is no pattern."""


class ImportedResult(NamedTuple):
    """A row with its annotation or fault."""

    raw: RawRow
    annotation: Annotation | None
    fault: Fault | None


class StoredResult(NamedTuple):
    """An annotation without its key."""

    label: bool | None
    score: float | None
    spans: tuple[tuple[str, int, int], ...]
    rationale: str | None


class TraceIndex:
    """Finds traces by either id, and their texts."""

    def __init__(self, corpus: Store) -> None:
        self._corpus = corpus
        self.entries: Mapping[str, Pattern] = known(corpus).entries
        """What can be judged in the corpus."""
        self._parts = corpus.parts("traces")
        self._places = KnownIds(corpus.root, memory.limit() // SHARE)
        for number, part in enumerate(self._parts):
            with opened(part) as file:
                for group in range(file.num_row_groups):
                    place = number << GROUP_BITS | group
                    for trace_id in file.read_row_group(group, ["trace_id"])["trace_id"].to_pylist():
                        self._places.setdefault(trace_id, place)

    @cached_property
    def _by_source_id(self) -> dict[str, list[str]]:
        """In memory whole: some 300 bytes a trace, for files that name traces so."""
        trace_ids: dict[str, list[str]] = {}
        for batch in self._corpus.scan("traces", ["trace_id", "source_id"], batch_rows=8192):
            for trace_id, source_id in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if source_id is not None:
                    trace_ids.setdefault(source_id, []).append(trace_id)
        return trace_ids

    def find(self, row: dict[str, Any]) -> str:
        """The trace_id that a row means.

        Raises:
            BadRow: unknown_trace, ambiguous_trace.
        """
        trace_id, source_id = row.get("trace_id"), row.get("source_id")
        if trace_id is not None:
            if not isinstance(trace_id, str) or trace_id not in self._places:
                raise BadRow(
                    "unknown_trace", "no trace in the corpus has this trace_id; ingest the traces first"
                )
            return trace_id
        trace_ids = self._by_source_id.get(str(source_id), [])
        if not trace_ids:
            raise BadRow(
                "unknown_trace", "no trace in the corpus has this source_id; ingest the traces first"
            )
        if len(trace_ids) > 1:
            raise BadRow(
                "ambiguous_trace",
                f"{len(trace_ids)} traces in the corpus have this source_id; give the trace_id",
            )
        return trace_ids[0]

    def texts(self, wanted: set[str]) -> dict[str, dict[str, str]]:
        """Reasoning and answer of some traces, by trace_id."""
        places = sorted({place for key in wanted if (place := self._places.get(key)) is not None})
        keys = pa.array(sorted(wanted), pa.string())
        texts: dict[str, dict[str, str]] = {}
        for number, groups in groupby(places, lambda place: place >> GROUP_BITS):
            with opened(self._parts[number]) as file:
                for place in groups:
                    rows = file.read_row_group(place & (1 << GROUP_BITS) - 1, ["trace_id", *FIELDS])
                    chosen = rows.filter(pc.is_in(rows["trace_id"], keys))
                    texts.update({row["trace_id"]: row for row in chosen.to_pylist()})
        return texts


class StoredAnnotations(TableReader):
    """Hashes of stored annotations; each annotator's are loaded once, at its first row, and what others write of it since."""

    def __init__(self, corpus: Store) -> None:
        super().__init__(corpus, "annotations", TABLES["annotations"].names)
        self._stored_result = KnownIds(corpus.root, memory.limit() // SHARE)
        self._met: set[str] = set()

    def meet(self, annotators: set[str]) -> None:
        """Load the annotations of new annotators."""
        new = annotators - self._met
        if not new:
            return
        if not self._met:
            self.pass_over()  # they are loaded now
        self._met |= new
        for batch in self._corpus.scan(self._table, batch_rows=8192):
            self._learn_of(new, batch)

    def _learn(self, batch: pa.RecordBatch) -> None:
        self._learn_of(self._met, batch)

    def _learn_of(self, annotators: set[str], batch: pa.RecordBatch) -> None:
        names = pa.array(sorted(annotators), pa.string())
        for row in batch.filter(pc.is_in(batch.column("annotator"), names)).to_pylist():
            spans = tuple((span["field"], span["start"], span["end"]) for span in row["spans"] or ())
            key = row["trace_id"], row["pattern"], row["annotator"]
            self.say(key, StoredResult(row["label"], row["score"], spans, row["rationale"]))

    def say(self, key: Key, said: StoredResult) -> Literal["new", "again", "otherwise"]:
        """Whether an annotation is new, stored, or stored with other values; a new one is remembered."""
        number = hash(said) & (1 << 62) - 1
        known = self._stored_result.setdefault("\t".join(key), number)
        if known is None:
            return "new"
        return "again" if known == number else "otherwise"


def ingest_annotations(
    rows: Iterable[RawRow], corpus: Store, writer: PartWriter, tell: Callable[[RowState], None]
) -> None:
    """Write annotations, and tell what became of each row."""
    index, stored, stream = TraceIndex(corpus), writer.watch(StoredAnnotations(corpus)), iter(rows)

    def settle(raw: RawRow, annotation: Annotation) -> None:
        state = stored.say(_key(annotation), stored_result(annotation))
        if state == "new":
            writer.annotate(annotation)
        tell(RowState(raw, filtered="already_annotated" if state == "otherwise" else None))

    while batch := list(islice(stream, BATCH_ROWS)):
        verdicts = read_verdicts(batch, index)
        stored.meet({v.annotation.annotator for v in verdicts if v.annotation})
        for raw, annotation, fault in verdicts:
            if fault or not annotation:
                tell(RowState(raw, fault))
            else:
                writer.later(partial(settle, raw._replace(row=None, text=None), annotation), LINE_SIZE)
    writer.drain()


def read_verdicts(batch: Sequence[RawRow], index: TraceIndex) -> list[ImportedResult]:
    """Turn rows into annotations, in order; bad ones come with their fault."""
    wanted = {
        _trace_or_none(raw, index) for raw in batch if isinstance(raw.row, dict) and raw.row.get("spans")
    }
    texts = index.texts({key for key in wanted if key})
    verdicts = []
    for raw in batch:
        try:
            verdicts.append(ImportedResult(raw, read_verdict(raw, index, texts), None))
        except BadRow as bad:
            verdicts.append(ImportedResult(raw, None, bad.fault))
    return verdicts


def read_verdict(raw: RawRow, index: TraceIndex, texts: dict[str, dict[str, str]]) -> Annotation:
    """The annotation of a row.

    Raises:
        BadRow: unknown_trace, ambiguous_trace, unknown_pattern, wrong_value, bad_span, wrong_type, or the row's own fault.
    """
    if raw.fault:
        raise BadRow(*raw.fault)
    row = raw.row
    if not isinstance(row, dict):
        raise BadRow("wrong_type", f"a row must be an object of columns, not {type(row).__name__}")
    entry = index.entries.get(row["pattern"]) if isinstance(row.get("pattern"), str) else None
    if entry is None:
        raise BadRow(
            "unknown_pattern",
            f"pattern {str(row.get('pattern'))[:SHOWN]!r} is none of {', '.join(index.entries)}; "
            "add your codebook with: curate codebook add FILE",
        )
    trace_id = index.find(row)
    spans = [_span(span, entry, texts[trace_id]) for span in row.get("spans") or []]
    values = {
        name: row[name] for name in ("pattern", "annotator", "label", "score", "rationale") if name in row
    }
    values |= _measured(row, entry)
    try:
        return Annotation(trace_id=trace_id, spans=tuple(spans), **values)
    except ValidationError as error:
        raise BadRow("wrong_type", listed(error, Annotation, values)) from error


def _trace_or_none(raw: RawRow, index: TraceIndex) -> str | None:
    try:
        return index.find(raw.row)
    except BadRow:
        return None


def _measured(row: dict[str, Any], entry: Pattern) -> dict[str, Any]:
    """Label and score of a row's `value`: the level or number of an entry that has more than two values."""
    value = row.get("value")
    if value is None:
        if entry.graded and row.get("label") is not None and row.get("score") is None:
            raise BadRow("wrong_value", f"{entry.name} has the values {entry.values}; give one as `value`")
        return {"label": None} if entry.graded and "label" not in row else {}
    try:
        return entry.measured(value)._asdict() if entry.graded else {"label": entry.measured(value).label}
    except (ValueError, TypeError) as error:
        raise BadRow("wrong_value", str(error)) from error


def _span(span: Any, entry: Pattern, texts: dict[str, str]) -> dict[str, Any]:
    if not isinstance(span, dict) or span.get("field") not in FIELDS:
        raise BadRow("bad_span", f"a span needs a field out of {', '.join(FIELDS)}")
    field = span["field"]
    if entry.judged_on not in (field, "both"):
        raise BadRow(
            "bad_span", f"{entry.name} is judged on the {entry.judged_on}; its spans may point only there"
        )
    if "text" in span:
        at = texts[field].find(span["text"]) if isinstance(span["text"], str) and span["text"] else -1
        if at < 0:
            raise BadRow("bad_span", f"the span's text does not occur verbatim in the {field}")
        return {"field": field, "start": at, "end": at + len(span["text"])}
    start: Any = span.get("start")
    end: Any = span.get("end")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(texts[field]):
        raise BadRow(
            "bad_span",
            f"start and end must satisfy 0 <= start < end <= {len(texts[field])}, the {field}'s length",
        )
    return {"field": field, "start": start, "end": end}


def _key(annotation: Annotation) -> Key:
    return annotation.trace_id, annotation.pattern, annotation.annotator


def stored_result(annotation: Annotation) -> StoredResult:
    """The values as the table returns them (scores have 32 bits)."""
    score = None if annotation.score is None else pa.scalar(annotation.score, pa.float32()).as_py()
    spans = tuple((span.field, span.start, span.end) for span in annotation.spans)
    return StoredResult(annotation.label, score, spans, annotation.rationale)
