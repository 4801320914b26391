"""Collects lines for the prompts, traces and quarantine tables, in columns, and writes them as parts in the background.

What is new is settled a part at a time, when its tables are locked and what other processes wrote has been read: they stay locked
until the part is on disk, no longer. Arrow and disk writes release the GIL, so one part is written while the next is read; at most two
parts are in memory. A part's prompts and quarantine are on disk before its traces are: a trace without its prompt cannot be seen.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property, partial
from itertools import compress
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from curation.corpus.store import Store
from curation.ingest.claims import Claims, said
from curation.ingest.columns import Values
from curation.ingest.fields import COLUMNS, FieldPath
from curation.ingest.lines import TableLines
from curation.ingest.seen import Meeting, Memberships, Responses, Seen, SetAside, TableReader
from schemas.annotation import Annotation
from schemas.conversation import size
from schemas.ids import content_id
from schemas.prompt import set_prompt_id
from schemas.response import Fault
from schemas.tables import AMENDABLE, TABLES

PART_SIZE = 32_000_000
"""Code points of text after which a part is written."""
LINE_SIZE = 500
"""What a line costs besides its text, in the same unit."""
KEPT_TEXT = 100_000
"""Code points of a bad row that the quarantine keeps."""
PROMPT_ID, PROMPT_SOURCE, ATTACK = (
    COLUMNS["prompts"].index(name) for name in ("prompt_id", "source", "attack")
)
TRACE_ID, RESPONSE = COLUMNS["traces"].index("trace_id"), slice(1, 4)
"""Where a trace's line has its id, and the prompt's id, the reasoning and the answer."""
Watched = TypeVar("Watched", bound=TableReader)
Tell = Callable[[TableLines, list[Meeting]], None]
"""Is told of some lines where each row's content is known from."""
ORDER = ("prompts", "quarantine", "memberships", "traces", "annotations")


class PartWriter:
    """Writes what it is given into the corpus, a part at a time; use it in a `with` block.

    Args:
        corpus: the corpus.
        stage: whose quarantine it is.
        claims: what is said of rows that are there.
        tables: those that are written.
        files: those that are read.

    Raises (from any method):
        CorpusError: if a part cannot be written. Written parts are kept; a rerun resumes from there.
    """

    def __init__(
        self, corpus: Store, stage: str, claims: Claims, tables: Collection[str], files: Collection[str] = ()
    ) -> None:
        self._corpus = corpus
        self._stage = stage
        self._claims = claims
        self._tables = tables
        self._files = files
        self._readers: list[TableReader] = []
        self._quarantine = self.watch(SetAside(corpus))
        self._seen = {
            table: self.watch(Seen(corpus, table)) for table in ("prompts", "traces") if table in tables
        }
        self._clear()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None
        self.new = dict.fromkeys(ORDER, 0)
        """Lines that were not in the corpus before, by table."""

    def watch(self, reader: Watched) -> Watched:
        """Let something read on in its table before each part is settled."""
        self._readers.append(reader)
        return reader

    @cached_property
    def _memberships(self) -> Memberships:
        return self.watch(Memberships(self._corpus))

    @cached_property
    def _responses(self) -> Responses:
        return self.watch(Responses(self._corpus, {*self._files}))

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

    def add(self, lines: TableLines, place: FieldPath, tell: Tell) -> None:
        """Add valid rows' lines unless the corpus has them when their part is settled; then what they say is a claim.

        Args:
            lines: the rows'.
            place: their source.
            tell: told what became of them.
        """
        ends = np.cumsum(_weights(lines))
        first, before = 0, 0
        while len(ends) and self._size + int(ends[-1]) - before >= PART_SIZE:
            last = int(np.searchsorted(ends, PART_SIZE - self._size + before)) + 1
            self.later(partial(self._add, lines.part(first, last), place, tell), int(ends[last - 1]) - before)
            first, before = last, int(ends[last - 1])
        if first < len(lines.numbers):
            rest = lines.part(first, len(lines.numbers)) if first else lines
            self.later(partial(self._add, rest, place, tell), int(ends[-1]) - before)

    def later(self, work: Callable[[], object], size: int) -> None:
        """Do something when the part is settled, which is at once if it is large enough then.

        Args:
            work: the tables are locked meanwhile, and what the corpus has is known.
            size: what it adds to the part.
        """
        self._waiting.append(work)
        self._size += size
        if self._size >= PART_SIZE:
            self._settle()

    def _add(self, lines: TableLines, place: FieldPath, tell: Tell) -> None:
        tell(lines, self.meet(lines, place))

    def meet(self, lines: TableLines, place: FieldPath) -> list[Meeting]:
        """Add lines of a part that is being settled, and return where each row's content is known from."""
        if lines.traces is not None:
            return self._add_traces(lines, lines.traces, place)
        if place.evaluation_set is None:
            return self._add_prompts(lines, place)
        return [self._add_to_set(lines.part(n, n + 1), place) for n in range(len(lines.numbers))]

    def _add_traces(self, lines: TableLines, traces: Sequence[Values], place: FieldPath) -> list[Meeting]:
        met = self._seen["traces"].meet(
            traces[TRACE_ID], place.file, lines.numbers, [None] * len(lines.numbers)
        )
        new = [state == "new" for state in met]
        if place.file in self._seen["traces"].files:
            responses = zip(lines.numbers, *traces[RESPONSE], strict=True)
            new = [
                one and not self._responses.has(place.file, *told)
                for one, told in zip(new, responses, strict=True)
            ]
        asked = [n for n, state in enumerate(met) if state != "beside"]
        met_prompts = self._meet_prompts(lines, asked, place)
        fresh = [state == "new" for state in met_prompts]
        self._extend("prompts", lines.prompts, fresh)
        self._extend("traces", traces, new)
        for n in asked if not all(new) else ():
            if not new[n]:
                self._claim_trace(lines, n, place, met[n])
                self._claim_prompt(lines, n, place, met_prompts[n])
                met[n] = "again" if met[n] == "new" else met[n]
        return met

    def _meet_prompts(self, lines: TableLines, asked: Sequence[int], place: FieldPath) -> list[Meeting]:
        """Where the prompts of some rows are known from; "beside" for the others."""
        numbers, keys, sources = lines.numbers, lines.prompts[PROMPT_ID], lines.prompts[PROMPT_SOURCE]
        if len(asked) == len(numbers):
            return self._seen["prompts"].meet(keys, place.file, numbers, sources)
        met = self._seen["prompts"].meet(
            [keys[n] for n in asked], place.file, [numbers[n] for n in asked], [sources[n] for n in asked]
        )
        found: list[Meeting] = ["beside"] * len(numbers)
        for n, state in zip(asked, met, strict=True):
            found[n] = state
        return found

    def _add_prompts(self, lines: TableLines, place: FieldPath) -> list[Meeting]:
        met = self._meet_prompts(lines, range(len(lines.numbers)), place)
        self._extend("prompts", lines.prompts, [state == "new" for state in met])
        for n, state in enumerate(met):
            self._claim_prompt(lines, n, place, state)
        return met

    def _add_to_set(self, line: TableLines, place: FieldPath) -> Meeting:
        """Add one prompt of an evaluation set.

        In corpora of earlier versions a set had a copy of every prompt that it shares with another set.
        """
        copy = set_prompt_id(line.prompts[PROMPT_ID][0], str(place.evaluation_set))
        if self._seen["prompts"].source(copy) is not None:
            line = line._replace(prompts=[[copy], *line.prompts[1:]])
        (state,) = self._add_prompts(line, place)
        joined = self._join([column[0] for column in line.prompts], place, line.numbers[0], line.queries[0])
        return state if state == "new" else joined or state

    def _join(self, prompt: Values, place: FieldPath, line: int, query: str | None) -> Meeting | None:
        """Let a prompt of another source belong to the row's evaluation set as well; null where there is nothing to join."""
        if place.evaluation_set == self._seen["prompts"].source(prompt[PROMPT_ID]):
            return None
        key, here = (prompt[PROMPT_ID], str(place.evaluation_set)), (place.file, line)
        if (there := self._memberships.setdefault(key, here)) is not here:
            return "again" if there == here else "beside"
        self._append("memberships", (*key, prompt[ATTACK], query, *here))
        return "joined"

    def _claim_trace(self, lines: TableLines, n: int, place: FieldPath, state: Meeting) -> None:
        line = [column[n] for column in lines.traces or ()]
        key: str | None = line[TRACE_ID]
        where = {}
        if state == "new":  # only its strategy or model differ from what this line said before
            prompt, *texts = line[RESPONSE]
            key, where = None, {"prompt_id": prompt, "said": said(*texts)}
        self._claim(
            "traces", key, dict(zip(COLUMNS["traces"], line, strict=True)), place, lines.numbers[n], **where
        )

    def _claim_prompt(self, lines: TableLines, n: int, place: FieldPath, state: Meeting) -> None:
        if state in ("again", "elsewhere"):
            line = [column[n] for column in lines.prompts]
            named = dict(zip(COLUMNS["prompts"], line, strict=True))
            self._claim("prompts", line[PROMPT_ID], named, place, lines.numbers[n])

    def _claim(
        self, subject: str, key: str | None, named: dict[str, Any], place: FieldPath, line: int, **where: str
    ) -> None:
        told = {field: named[field] for field in AMENDABLE[subject]}
        if told["source"] == place.source and not place.source_named:
            told["source"] = None  # a file's name is no claim about where its rows come from
        if place.evaluation_set:
            told["source"] = told["attack"] = None  # these are its membership's
        self._claims.add(subject, key, told, (place.file, line), **where)

    def annotate(self, annotation: Annotation) -> None:
        """Add an annotation with a new key, of a part that is being settled."""
        spans = [(span.field, span.start, span.end) for span in annotation.spans]
        values = annotation.model_copy(update={"spans": spans})
        self._append("annotations", tuple(getattr(values, name) for name in COLUMNS["annotations"]))

    def set_aside(self, fault: Fault, text: str, file: str, line: int, source_id: str | None) -> None:
        """Quarantine an invalid row, with its truncated text."""
        detail = fault.detail
        if len(text) > KEPT_TEXT:
            detail += f"; only the first {KEPT_TEXT} of its {len(text)} characters are kept here"
            text = text[:KEPT_TEXT]
        key = content_id([self._stage, file, line, fault.reason, text])
        row = (key, self._stage, file, line, source_id, fault.reason, detail, text)
        self.later(partial(self._set_aside, row), len(text) + LINE_SIZE)

    def _set_aside(self, row: Sequence[Any]) -> None:
        if self._quarantine.is_new(row[0]):
            self._append("quarantine", row)

    def drain(self) -> None:
        """Write what waits, and wait until it is on disk."""
        self._settle()
        self._wait()

    def _extend(self, table: str, columns: Sequence[Values], new: Sequence[bool]) -> None:
        whole = all(new)
        for told, column in zip(self._part[table], columns, strict=True):
            told += column if whole else compress(column, new)

    def _append(self, table: str, line: Sequence[Any]) -> None:
        for told, value in zip(self._part[table], line, strict=True):
            told.append(value)

    def _clear(self) -> None:
        self._waiting: list[Callable[[], object]] = []
        self._part: dict[str, list[list[Any]]] = {table: [[] for _ in COLUMNS[table]] for table in ORDER}
        self._size = 0

    def _settle(self) -> None:
        """Do what waits for this part, with its tables locked until it is written."""
        if not self._waiting:
            return
        self._wait()
        with ExitStack() as locked:
            locked.enter_context(self._corpus.writing(*self._tables))
            for reader in self._readers:
                reader.look()
            for work in self._waiting:
                work()
            part = self._part
            self._clear()
            if any(columns[0] for columns in part.values()):
                for table, columns in part.items():
                    self.new[table] += len(columns[0])
                self._pending = self._thread.submit(self._write, part, locked.pop_all())

    def _write(self, part: dict[str, list[list[Any]]], locked: ExitStack) -> None:
        with locked:
            write_columns(self._corpus, part)
            for reader in self._readers:
                reader.pass_over()

    def _wait(self) -> None:
        if self._pending:
            self._pending.result()


def weight(lines: TableLines) -> int:
    """What lines add to a part."""
    return int(sum(_weights(lines)))


def _weights(lines: TableLines) -> Any:
    """The text of each row in all tables, and what its lines cost besides."""
    tables = [lines.prompts] if lines.traces is None else [lines.prompts, lines.traces]
    return sum(_sizes(columns) + LINE_SIZE for columns in tables)


def _sizes(columns: Sequence[Values]) -> Any:
    """The text of each line: a row's other columns may be longer than its answer."""
    different = {id(column): column for column in columns}
    sizes = {key: _column_sizes(column) for key, column in different.items()}
    return sum((sizes[id(column)] for column in columns), np.zeros(len(columns[0]), np.int64))


def _column_sizes(column: Values) -> Any:
    kinds = {*map(type, column)}
    if kinds == {str}:
        return np.fromiter(map(len, column), np.int64, len(column))
    if kinds <= {int, type(None)}:
        return 0
    return np.array(
        [size(v) if type(v) is list else len(v) if type(v) is str else 0 for v in column], np.int64
    )


def write_columns(corpus: Store, part: dict[str, list[list[Any]]]) -> None:
    """Write one part per table, in the order of `part`; columns that it does not have are null."""
    for table, columns in part.items():
        rows = len(columns[0])
        if rows:
            told = dict(zip(COLUMNS[table], columns, strict=True))
            arrays = [
                pa.array(told[field.name], field.type) if field.name in told else pa.nulls(rows, field.type)
                for field in TABLES[table]
            ]
            corpus.append(table, pa.Table.from_arrays(arrays, schema=TABLES[table]))
