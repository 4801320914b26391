"""What the corpus knows already: ids with the lines that they come from, and the responses of a file's lines.

Other processes may write while an ingest runs: before it settles what is new, it reads on in the parts that came since.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Literal

import pyarrow as pa

from curation.corpus import memory
from curation.corpus.known_ids import KnownIds
from curation.corpus.store import Store
from schemas.ids import content_id
from schemas.tables import KEYS
from schemas.trace import ingested_trace_id

SHARE = 8
"""Each table of ids may take so much of the memory."""
LINE_BITS = 40
LINE = (1 << LINE_BITS) - 1
Meeting = Literal["new", "again", "beside", "elsewhere", "joined"]
"""An id is new, known from this very line, from another line of this file, or from another file; joined: it was known, and belongs
to one more evaluation set now."""


class TableReader(ABC):
    """Reads some columns of a table, and later the parts that came since."""

    def __init__(self, corpus: Store, table: str, columns: Sequence[str]) -> None:
        self._corpus, self._table, self._columns = corpus, table, columns
        self._parts: set[str] = set()

    def look(self) -> None:
        """Learn what the table has that was not there before."""
        new = [part for part in self._corpus.parts(self._table) if part.name not in self._parts]
        for batch in self._corpus.scan(self._table, self._columns, 8192, new) if new else ():
            self._learn(batch)
        self._parts.update(part.name for part in new)

    def pass_over(self) -> None:
        """Take the parts that are there as known: the caller wrote the last ones, and still holds their lock."""
        self._parts.update(part.name for part in self._corpus.parts(self._table))

    @abstractmethod
    def _learn(self, batch: pa.RecordBatch) -> None:
        """Remember some rows; learning them again changes nothing."""


class Seen(TableReader):
    """The ids of a table and where they come from."""

    def __init__(self, corpus: Store, table: str) -> None:
        super().__init__(corpus, table, [*KEYS[table], "source_file", "source_line", "source"])
        self._places = KnownIds(corpus.root, memory.limit() // SHARE)
        self._origins: dict[tuple[str | None, str | None], int] = {}
        self._named: list[tuple[str | None, str | None]] = []
        self.files: set[str] = set()
        """The files whose rows were there before, or came from another process."""
        self.look()

    def _learn(self, batch: pa.RecordBatch) -> None:
        keys, files, lines, sources = (column.to_pylist() for column in batch.columns)
        places = [
            self._origin(file, source) | (line or 0)
            for file, line, source in zip(files, lines, sources, strict=True)
        ]
        self._places.setdefaults(keys, places)
        self.files.update(file for file in {*files} if file)

    def meet(
        self, keys: Sequence[str], file: str, lines: Sequence[int], sources: Sequence[str | None]
    ) -> list[Meeting]:
        """Where some ids of a file's lines are known from; they are known from now on."""
        origins = {source: self._origin(file, source) for source in dict.fromkeys(sources)}
        places = [origins[source] | line for source, line in zip(sources, lines, strict=True)]
        known = self._places.setdefaults(keys, places)
        if known.count(None) == len(known):
            return ["new"] * len(known)
        return [self._meeting(place, file, line) for place, line in zip(known, lines, strict=True)]

    def source(self, key: str) -> str | None:
        """The data set that a known id comes from."""
        known = self._places.get(key)
        return None if known is None else self._named[known >> LINE_BITS][1]

    def _meeting(self, place: int | None, file: str, line: int) -> Meeting:
        if place is None:
            return "new"
        if self._named[place >> LINE_BITS][0] != file:
            return "elsewhere"
        return "again" if place & LINE == line else "beside"

    def _origin(self, file: str | None, source: str | None) -> int:
        number = self._origins.setdefault((file, source), len(self._origins))
        if number == len(self._named):
            self._named.append((file, source))
        return number << LINE_BITS


class Responses(TableReader):
    """The responses of some files' lines that are in the corpus, whatever strategy and model they were ingested under."""

    def __init__(self, corpus: Store, files: Collection[str]) -> None:
        super().__init__(corpus, "traces", ["source_file", "source_line", "prompt_id", "reasoning", "answer"])
        self._files = files
        self._known = KnownIds(corpus.root, memory.limit() // SHARE)
        self.look()

    def _learn(self, batch: pa.RecordBatch) -> None:
        for file, line, *texts in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if file in self._files:
                self._known.setdefault(_response(file, line, *texts), 0)

    def has(self, file: str, line: int, prompt_id: str, reasoning: str, answer: str) -> bool:
        """Whether a line's response is in the corpus."""
        return _response(file, line, prompt_id, reasoning, answer) in self._known


class Memberships(TableReader):
    """The line of every membership in an evaluation set that is known."""

    def __init__(self, corpus: Store) -> None:
        super().__init__(corpus, "memberships", ["prompt_id", "evaluation_set", "source_file", "source_line"])
        self._places: dict[tuple[str, str], tuple[str, int]] = {}
        self.look()

    def _learn(self, batch: pa.RecordBatch) -> None:
        for prompt, name, *place in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            self.setdefault((prompt, name), (place[0], place[1]))

    def setdefault(self, membership: tuple[str, str], place: tuple[str, int]) -> tuple[str, int]:
        """The line of a prompt in a set: where it is known from, else this one."""
        return self._places.setdefault(membership, place)


class SetAside(TableReader):
    """The rows that are in quarantine."""

    def __init__(self, corpus: Store) -> None:
        super().__init__(corpus, "quarantine", KEYS["quarantine"])
        self._known = KnownIds(corpus.root, memory.limit() // SHARE)
        self.look()

    def _learn(self, batch: pa.RecordBatch) -> None:
        for key in batch.column(0).to_pylist():
            self.is_new(key)

    def is_new(self, key: str) -> bool:
        """Whether a row was not known; it is from now on."""
        return self._known.setdefault(key, 0) is None


def _response(file: str, line: int, prompt_id: str, reasoning: str, answer: str) -> str:
    return content_id([file, line, ingested_trace_id(prompt_id, None, None, reasoning, answer)])
