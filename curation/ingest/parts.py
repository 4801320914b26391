"""Collects lines for the prompts, traces and quarantine tables and writes them as parts in the background.

Arrow and disk writes release the GIL, so one part is written while the next is read; at most two parts are in memory. A part's prompts and quarantine are on disk before its traces are: a trace without its prompt cannot be seen.
"""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from curation.corpus import memory
from curation.corpus.buffer import PartBuffer
from curation.corpus.known_ids import KnownIds
from curation.corpus.store import Store
from curation.ingest import evaluation_sets
from curation.ingest.claims import Claims, said
from curation.ingest.containers.rows import RawRow
from curation.ingest.fields import COLUMNS, FieldLines, FieldPath
from schemas.annotation import Annotation
from schemas.conversation import size
from schemas.ids import content_id
from schemas.prompt import set_prompt_id
from schemas.response import Fault
from schemas.tables import AMENDABLE, KEYS, TABLES
from schemas.trace import ingested_trace_id

PART_SIZE = 32_000_000
"""Code points of text after which a part is written."""
LINE_SIZE = 500
"""What a line costs besides its text, in the same unit."""
KEPT_TEXT = 100_000
"""Code points of a bad row that the quarantine keeps."""
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


Meeting = Literal["new", "again", "beside", "elsewhere"]
"""An id is new, known from this very line, from another line of this file, or from another file."""


class Seen:
    """The ids of a table and where they come from."""

    def __init__(self, corpus: Store, table: str) -> None:
        self._places = KnownIds(corpus.root, memory.limit() // SHARE)
        self._origins: dict[tuple[str | None, str | None], int] = {}
        self._named: list[tuple[str | None, str | None]] = []
        columns = [*KEYS[table], "source_file", "source_line", "source"]
        for batch in corpus.scan(table, columns, batch_rows=8192):
            for key, file, line, source in zip(
                *(column.to_pylist() for column in batch.columns), strict=True
            ):
                self._places.setdefault(key, self._place(file, source, line or 0))
        self.files = {file for file, _ in self._named if file}
        """The files that were there before."""

    def meet(self, key: str, file: str, line: int, source: str | None = None) -> Meeting:
        """Where an id is known from; it is known from now on."""
        known = self._places.setdefault(key, self._place(file, source, line))
        if known is None:
            return "new"
        if self._named[known >> LINE_BITS][0] != file:
            return "elsewhere"
        return "again" if known & ((1 << LINE_BITS) - 1) == line else "beside"

    def source(self, key: str) -> str | None:
        """The data set that a known id comes from."""
        known = self._places.get(key)
        return None if known is None else self._named[known >> LINE_BITS][1]

    def _place(self, file: str | None, source: str | None, line: int) -> int:
        number = self._origins.setdefault((file, source), len(self._origins))
        if number == len(self._named):
            self._named.append((file, source))
        return number << LINE_BITS | line


class Responses:
    """The responses of some files' lines that are in the corpus, whatever strategy and model they were ingested under."""

    def __init__(self, corpus: Store, files: Collection[str]) -> None:
        self._known = KnownIds(corpus.root, memory.limit() // SHARE)
        columns = ["source_file", "source_line", "prompt_id", "reasoning", "answer"]
        for batch in corpus.scan("traces", columns):
            for file, line, *texts in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if file in files:
                    self._known.setdefault(_response(file, line, *texts), 0)

    def has(self, file: str, line: int, prompt_id: str, reasoning: str, answer: str) -> bool:
        """Whether a line's response is in the corpus."""
        return _response(file, line, prompt_id, reasoning, answer) in self._known


def _response(file: str, line: int, prompt_id: str, reasoning: str, answer: str) -> str:
    return content_id([file, line, ingested_trace_id(prompt_id, None, None, reasoning, answer)])


class PartWriter:
    """Writes what it is given into the corpus, a part at a time; use it in a `with` block.

    Raises (from any method):
        CorpusError: if a part cannot be written. Written parts are kept; a rerun resumes from there.
    """

    def __init__(self, corpus: Store, stage: str, claims: Claims, files: Collection[str] = ()) -> None:
        self._corpus = corpus
        self._stage = stage
        self._claims = claims
        self._read = files
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

    @cached_property
    def _responses(self) -> Responses:
        return Responses(self._corpus, self._traces.files & set(self._read))

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

    def add(self, lines: FieldLines, place: FieldPath, line: int) -> Meeting:
        """Add a valid row's lines unless the corpus has them; then what they say is a claim.

        Returns:
            Where the row's content is known from.
        """
        prompt, trace = lines
        if trace is None:
            prompt = self._of_its_set(prompt, place)
            return self._add_prompt(prompt, place, line)
        file, named = place.file, dict(zip(COLUMNS["traces"], trace, strict=True))
        key, response = named["trace_id"], (named["prompt_id"], named["reasoning"], named["answer"])
        state = self._traces.meet(key, file, line)
        if state == "new" and file in self._traces.files and self._responses.has(file, line, *response):
            self._claim("traces", None, named, place, line, prompt_id=response[0], said=said(*response[1:]))
            self._add_prompt(prompt, place, line)
            return "again"
        if state == "new":
            if self._prompts.meet(prompt[0], file, line, prompt[3]) == "new":
                self._append("prompts", prompt, _size(prompt))
            self._append("traces", trace, _size(prompt) + _size(trace))
        elif state != "beside":
            self._claim("traces", key, named, place, line)
            self._add_prompt(prompt, place, line)
        return state

    def _add_prompt(self, prompt: tuple[Any, ...], place: FieldPath, line: int) -> Meeting:
        state = self._prompts.meet(prompt[0], place.file, line, prompt[3])
        if state == "new":
            self._append("prompts", prompt, _size(prompt))
        elif state != "beside":
            named = dict(zip(COLUMNS["prompts"], prompt, strict=True))
            self._claim("prompts", prompt[0], named, place, line)
        return state

    def _of_its_set(self, prompt: tuple[Any, ...], place: FieldPath) -> tuple[Any, ...]:
        """A prompt of an evaluation set that another set has as well is the set's own, so that each is scored whole."""
        other = self._prompts.source(prompt[0]) if place.evaluation_set else None
        if other is None or other == place.evaluation_set or other not in evaluation_sets.known():
            return prompt
        return (set_prompt_id(prompt[0], str(place.evaluation_set)), *prompt[1:])

    def _claim(
        self, subject: str, key: str | None, named: dict[str, Any], place: FieldPath, line: int, **where: str
    ) -> None:
        told = {field: named[field] for field in AMENDABLE[subject]}
        if told["source"] == place.source and not place.source_named:
            told["source"] = None  # a file's name is no claim about where its rows come from
        self._claims.add(subject, key, told, (place.file, line), **where)

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


def _size(line: tuple[Any, ...]) -> int:
    """The text of a line: a row's other columns may be longer than its answer."""
    return sum(
        len(value) if isinstance(value, str) else size(value)
        for value in line
        if isinstance(value, str | list)
    )


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
