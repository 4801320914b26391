"""What the corpus knows already: ids with the lines that they come from, and the responses of a file's lines."""

from collections.abc import Collection, Sequence
from typing import Literal

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


class Seen:
    """The ids of a table and where they come from."""

    def __init__(self, corpus: Store, table: str) -> None:
        self._places = KnownIds(corpus.root, memory.limit() // SHARE)
        self._origins: dict[tuple[str | None, str | None], int] = {}
        self._named: list[tuple[str | None, str | None]] = []
        columns = [*KEYS[table], "source_file", "source_line", "source"]
        for batch in corpus.scan(table, columns, batch_rows=8192):
            keys, files, lines, sources = (column.to_pylist() for column in batch.columns)
            places = [
                self._origin(file, source) | (line or 0)
                for file, line, source in zip(files, lines, sources, strict=True)
            ]
            self._places.setdefaults(keys, places)
        self.files = {file for file, _ in self._named if file}
        """The files that were there before."""

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
