"""Collects lines for the prompts, traces and quarantine tables and writes them as parts in the background.

Arrow and disk writes release the GIL, so one part is written while the next is read; at most two parts are in memory. A part's prompts and quarantine are on disk before its traces are: a trace without its prompt cannot be seen.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from curation.corpus import memory
from curation.corpus.buffer import PartBuffer
from curation.corpus.known_ids import KnownIds
from curation.corpus.store import Store
from curation.ingest.fields import COLUMNS, FieldLines
from curation.ingest.rows import RawRow
from schemas.annotation import Annotation
from schemas.conversation import size
from schemas.ids import content_id
from schemas.response import Fault
from schemas.tables import KEYS, TABLES

PART_SIZE = 32_000_000
"""Code points of text after which a part is written."""
LINE_SIZE = 500
"""What a line costs besides its text, in the same unit."""
KEPT_TEXT = 100_000
"""Code points of a bad row that the quarantine keeps."""
REASONING, ANSWER = COLUMNS["traces"].index("reasoning"), COLUMNS["traces"].index("answer")
TURNS = COLUMNS["prompts"].index("turns")
SHARE = 8
"""Each table of ids may take so much of the memory."""
LINE_BITS = 40
ORDER = ("prompts", "quarantine", "traces", "annotations")


class RowState(NamedTuple):
    """The state of a source row; kept by default."""

    raw: RawRow
    fault: Fault | None = None
    """Why it is quarantined."""
    filtered: str | None = None
    """Why it is filtered."""


class Seen:
    """The ids of a table and their sources."""

    def __init__(self, corpus: Store, table: str) -> None:
        self._places = KnownIds(corpus.root, memory.limit() // SHARE)
        self._files: dict[str | None, int] = {}
        columns = [*KEYS[table], "source_file", "source_line"]
        for batch in corpus.scan(table, columns, batch_rows=8192):
            for key, file, line in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                self._places.setdefault(key, self._place(file, line or 0))

    def meet(self, key: str, file: str, line: int) -> Literal["new", "again", "elsewhere"]:
        """Whether an id is new, known from this very line, or known from somewhere else; it is known from now on."""
        place = self._place(file, line)
        known = self._places.setdefault(key, place)
        if known is None:
            return "new"
        return "again" if known == place else "elsewhere"

    def _place(self, file: str | None, line: int) -> int:
        return self._files.setdefault(file, len(self._files)) << LINE_BITS | line


class PartWriter:
    """Writes what it is given into the corpus, a part at a time; use it in a `with` block.

    Raises (from any method):
        CorpusError: if a part cannot be written. Written parts are kept; a rerun resumes from there.
    """

    def __init__(self, corpus: Store, stage: str) -> None:
        self._corpus = corpus
        self._stage = stage
        self._quarantine = KnownIds(corpus.root, memory.limit() // SHARE)
        for batch in corpus.scan("quarantine", KEYS["quarantine"], batch_rows=8192):
            for key in batch.column(0).to_pylist():
                self._quarantine.setdefault(key, 0)
        self._buffer = PartBuffer[tuple[str, tuple[Any, ...]]](self._write, PART_SIZE)
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None
        self.new = dict.fromkeys(ORDER, 0)
        """Lines that were not in the corpus before, by table."""

    @cached_property
    def _prompts(self) -> Seen:
        return Seen(self._corpus, "prompts")

    @cached_property
    def _traces(self) -> Seen:
        return Seen(self._corpus, "traces")

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.drain()
        finally:
            self._thread.shutdown()

    def add(self, lines: FieldLines, file: str, line: int) -> bool:
        """Add a valid row's lines; False if the corpus has the same content from another source."""
        prompt, trace = lines
        asked = len(prompt[1]) + size(prompt[TURNS])
        if trace is None:
            state = self._prompts.meet(prompt[0], file, line)
            if state == "new":
                self._append("prompts", prompt, asked)
            return state != "elsewhere"
        state = self._traces.meet(trace[0], file, line)
        if state == "new":
            if self._prompts.meet(prompt[0], file, line) == "new":
                self._append("prompts", prompt, asked)
            self._append("traces", trace, asked + len(trace[REASONING]) + len(trace[ANSWER]))
        return state != "elsewhere"

    def annotate(self, annotation: Annotation) -> None:
        """Add an annotation with a new key."""
        spans = [(span.field, span.start, span.end) for span in annotation.spans]
        values = annotation.model_copy(update={"spans": spans})
        self._append("annotations", tuple(getattr(values, name) for name in COLUMNS["annotations"]), 0)

    def set_aside(self, fault: Fault, text: str, file: str, line: int, source_id: str | None) -> None:
        """Quarantine an invalid row, with its truncated text."""
        detail = fault.detail
        if len(text) > KEPT_TEXT:
            detail += f"; only the first {KEPT_TEXT} of its {len(text)} characters are kept here"
            text = text[:KEPT_TEXT]
        key = content_id([self._stage, file, line, fault.reason, text])
        if self._quarantine.setdefault(key, 0) is None:
            row = (key, self._stage, file, line, source_id, fault.reason, detail, text)
            self._append("quarantine", row, len(text))

    def drain(self) -> None:
        """Write the buffer, and wait until it is on disk."""
        self._buffer.flush()
        self._wait()

    def _append(self, table: str, line: tuple[Any, ...], size: int) -> None:
        self._buffer.add((table, line), size + LINE_SIZE)

    def _write(self, part: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._wait()
        lines: dict[str, list[tuple[Any, ...]]] = {table: [] for table in ORDER}
        for table, line in part:
            lines[table].append(line)
            self.new[table] += 1
        self._pending = self._thread.submit(write_lines, self._corpus, lines)

    def _wait(self) -> None:
        if self._pending:
            self._pending.result()


def write_lines(corpus: Store, lines: dict[str, list[tuple[Any, ...]]]) -> None:
    """Write one part per table, in the order of `lines`."""
    for table, rows in lines.items():
        if rows:
            columns = dict(zip(COLUMNS[table], zip(*rows, strict=True), strict=True))
            arrays = [
                pa.array(columns[field.name], field.type)
                if field.name in columns
                else pa.nulls(len(rows), field.type)
                for field in TABLES[table]
            ]
            corpus.append(table, pa.Table.from_arrays(arrays, schema=TABLES[table]))
