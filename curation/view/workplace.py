"""What the pages show: a corpus with its index, the mixes made of it, and the person who looks.

A search works on the snapshot of when the page was started; a trace is always read as it is now.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from curation.corpus.query import Connection, connect, known_entries
from curation.corpus.store import Store
from curation.masking import mask_words
from curation.mix import narrow
from curation.mix.folder import read_manifest, read_rows
from curation.report import influential
from curation.review.form.questions import FIVE, ReviewForm, form_of
from curation.view import comparing, facets, saving, search, traces, where
from curation.view.facets import Chosen, FacetCount, Mask
from curation.view.search import ListedTrace, Numbers64
from schemas.errors import DataError, RecipeError

PAGE = 50
"""Traces of a list page."""
FOLDER = "view"
"""Of the index, beside the other indexes of the corpus."""
READ_MIX = ["row_id", "trace_id", "part"]


class ListedLine(NamedTuple):
    """A line of the list."""

    trace: ListedTrace
    opening: str
    """Masked unless shown."""
    values: dict[str, list[str]]
    """By facet."""


class Selected(NamedTuple):
    """A page of the traces that meet a search and facets."""

    lines: list[ListedLine]
    total: int
    first: int
    """Place of the first line in the selection, from 0."""
    page: int
    """From 1."""
    pages: int
    counts: dict[str, list[FacetCount]]
    chosen: Chosen
    text: str
    fault: str
    """What is wrong with the search; nothing is found then."""


class SelectionRecipe(NamedTuple):
    """A selection as a mix recipe."""

    text: str
    where: str
    total: int
    listed: bool
    """Whether the condition lists the traces."""


class Around(NamedTuple):
    """Where a trace stands in a selection."""

    earlier: str | None
    following: str | None
    position: int
    """From 1; 0 if it is not in the selection."""
    total: int


class Workplace:
    """A corpus, opened to look at.

    Args:
        corpus_dir: the corpus.
        mixes: folders of mixes; the page says which took a trace.
        reviewer: whose labels are saved.
        folder: of the index; in the corpus by default.

    Raises:
        CorpusError: if it is no corpus, or the index cannot be written.
        DataError: if a folder is not a mix, or two have one name.
    """

    def __init__(
        self, corpus_dir: Path, mixes: Sequence[Path] = (), *, reviewer: str, folder: Path | None = None
    ) -> None:
        self.corpus, self.reviewer = Store(corpus_dir), reviewer
        self.name = corpus_dir.resolve().name
        self._turn = threading.Lock()
        folder = folder or corpus_dir / narrow.FOLDER / FOLDER
        self._index = search.update(self.corpus, folder)
        self._connection, self._state = connect(self.corpus), facets.state(self.corpus)
        self.facets = facets.load(self.corpus, self._connection, self._index, folder)
        self._listed = self._state
        self.size = len(self.facets.prompts)
        self.mixes = self._open_mixes(mixes)

    def _open_mixes(self, folders: Sequence[Path]) -> dict[str, Any]:
        mixes = {}
        for folder in folders:
            name = folder.resolve().name
            if name in mixes:
                raise DataError(f"{folder}: another mix has the same name; name one of them")
            read_manifest(folder)
            mixes[name] = read_rows(folder, READ_MIX)
        if mixes:
            members = {name: self._index.rows(rows["trace_id"].to_pylist()) for name, rows in mixes.items()}
            self.facets.add_set("mix", members)
        return mixes

    def stale(self) -> bool:
        """Whether traces or labels were added since the list was made, other than by this page."""
        return facets.state(self.corpus) != self._listed

    def select(self, query: Mapping[str, Sequence[str]]) -> Selected:
        """The page of traces that an address asks for."""
        chosen, text = self._chosen(query), _first(query, "q")
        fault, found = "", None
        try:
            found = self._found(text)
        except RecipeError as error:
            fault, found = str(error), np.zeros(self.size, np.bool_)
        places = self._places(self.facets.rows(chosen, found))
        first, page, pages = page_of(query, len(places))
        lines = self.lines(places[first : first + PAGE].tolist(), query)
        counts = self.facets.counts(chosen, found)
        return Selected(lines, len(places), first, page, pages, counts, chosen, text, fault)

    def pairing(self, query: Mapping[str, Sequence[str]]) -> comparing.Pairing:
        """The comparison that an address asks for, within its selection.

        Raises:
            DataError: if it names nothing that can be compared.
            RecipeError: if its search is none.
        """
        by, left, right = comparing.sides(self.facets, query)
        others = {name: values for name, values in self._chosen(query).items() if name != by}
        within = self.facets.rows(others, self._found(_first(query, "q")))
        return comparing.pair(self.facets, by, left, right, within)

    def recipe(self, query: Mapping[str, Sequence[str]]) -> SelectionRecipe:
        """The selection of an address as a recipe.

        Raises:
            DataError: if it cannot be one.
            RecipeError: if its search is none.
        """
        chosen, found = self._chosen(query), self._found(_first(query, "q"))
        places, listed = self._places(self.facets.rows(chosen, found)), None
        if found is not None or chosen.get("mix"):
            listed = [one.trace_id for one in self._index.listed(places[: where.MOST_IDS + 1].tolist())]
            listed += [""] * (len(places) - len(listed))
        known = known_entries(self._connection).entries
        entries = {name: known[name] for name in self.facets.by_name["pattern"].values if name in known}
        condition = where.condition(chosen, entries, listed)
        return SelectionRecipe(where.recipe(condition), condition, len(places), listed is not None)

    def lines(self, rows: Sequence[int], query: Mapping[str, Sequence[str]]) -> list[ListedLine]:
        """Some rows as lines of a list, masked unless the address says otherwise."""
        shown = "1" in query.get("show", ())
        return [self._line(trace, shown) for trace in self._index.listed(rows)]

    def _places(self, rows: Mask | None) -> Numbers64:
        return np.arange(self.size, dtype=np.int64) if rows is None else facets.places_of(rows)

    def around(self, query: Mapping[str, Sequence[str]], trace_id: str) -> Around:
        """The neighbours of a trace in the selection of an address."""
        row = self._index.row(trace_id)
        try:
            rows = self.facets.rows(self._chosen(query), self._found(_first(query, "q")))
        except RecipeError:
            rows = None
        places = self._places(rows)
        if row is None:
            return Around(None, None, 0, len(places))
        at = int(np.searchsorted(places, row))
        inside = at < len(places) and int(places[at]) == row
        before, after = places[max(0, at - 1) : at], places[at + inside : at + inside + 1]
        ids = {one.row: one.trace_id for one in self._index.listed([*before.tolist(), *after.tolist()])}
        earlier, following = (ids[int(one[0])] if len(one) else None for one in (before, after))
        return Around(earlier, following, at + 1 if inside else 0, len(places))

    def trace(self, trace_id: str) -> traces.SeenTrace:
        """A trace as it is now.

        Raises:
            DataError: if the corpus has no such trace.
        """
        with self._turn:
            seen = traces.read(self._current(), self.corpus, trace_id)
        if seen is None:
            raise DataError(f"{trace_id[:80]}: no trace with this id in {self.corpus.root}")
        return seen

    def influential(self, shown: bool) -> list[influential.Attributed]:
        """The strongest rows of every behaviour as they are now; prompts are masked unless shown."""
        with self._turn:
            return influential.attributed(self._current(), shown)

    def taken_by(self, trace_id: str) -> list[dict[str, str]]:
        """The rows that the mixes made of a trace, with their parts."""
        return [
            {"mix": name, **row}
            for name, rows in self.mixes.items()
            for row in rows.filter(pc.equal(rows["trace_id"], trace_id)).to_pylist()
        ]

    def asked(self, query: Mapping[str, Sequence[str]]) -> ReviewForm:
        """The entries that the page of a trace asks for: the five patterns, or those of the codebook in the address.

        Raises:
            UsageError: if the corpus knows no such codebook.
        """
        with self._turn:
            return form_of(known_entries(self._current()), _first(query, "codebook") or None)

    @property
    def codebooks(self) -> list[str]:
        """The codebooks that were added to the corpus."""
        with self._turn:
            return list(known_entries(self._current()).codebooks)

    def save(self, trace_id: str, form: Mapping[str, Sequence[str]], asked: ReviewForm = FIVE) -> None:
        """Keep what the reviewer says of a trace; the facets follow.

        Raises:
            DataError: if there is no such trace, or the form is not one of the page's.
        """
        row, stale = self._index.row(trace_id), self.stale()
        if row is None or stale:
            self.trace(trace_id)  # one that is not indexed yet, or none
        saving.save(self.corpus, trace_id, self.reviewer, form, asked)
        if row is not None and row < self.size:
            self.facets.set_row(row, self.trace(trace_id).sets)
        if not stale:
            self._listed = facets.state(self.corpus)

    def _current(self) -> Connection:
        state = facets.state(self.corpus)
        if state != self._state:
            self._connection, self._state = connect(self.corpus), state
        return self._connection

    def _chosen(self, query: Mapping[str, Sequence[str]]) -> Chosen:
        return {name: list(query[name]) for name in self.facets.by_name if query.get(name)}

    def _found(self, text: str) -> Mask | None:
        if not text.strip():
            return None
        found = np.zeros(self.size, np.bool_)
        rows = self._index.search(text)
        found[rows[rows < self.size]] = True
        return found

    def _line(self, trace: ListedTrace, shown: bool) -> ListedLine:
        values = {name: facet.of(trace.row) for name, facet in self.facets.by_name.items()}
        return ListedLine(trace, trace.opening if shown else mask_words(trace.opening), values)


def page_of(query: Mapping[str, Sequence[str]], total: int) -> tuple[int, int, int]:
    """Which page of a list an address asks for: the place of its first line, its number from 1, and how many there are."""
    pages = max(1, -(-total // PAGE))
    page = min(max(1, number(_first(query, "page"), 1)), pages)
    return (page - 1) * PAGE, page, pages


def _first(query: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(query.get(name, ())), "")


def number(text: str, otherwise: int) -> int:
    """A number of an address."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise
