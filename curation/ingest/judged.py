"""Ingests data sets that bring traces together with what was judged of them: the terms go to entries of codebooks by their `maps`.

A trace is kept whatever becomes of its judgements: a row whose judgement cannot be read is set aside, and what the others say stays.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from annotators.mapping import Terms, terms_of
from curation.codebook.stage import add
from curation.codebook.stored import known
from curation.corpus.store import Store
from curation.ingest.annotations import StoredAnnotations, StoredResult, stored_result
from curation.ingest.containers.rows import RawRow
from curation.ingest.fields import COLUMNS, BadRow, FieldLines, FieldPath, trace_line
from curation.ingest.formats import Format, sort_out
from curation.ingest.lines import RowState, TableLines
from curation.ingest.parts import LINE_SIZE, PartWriter, weight
from curation.ingest.recipe import IngestRecipe
from curation.ingest.records.judging import JudgedFormat, JudgedGroup, JudgedReading
from curation.ingest.seen import Meeting
from schemas.annotation import Annotation
from schemas.codebooks import Codebook, shipped
from schemas.errors import DataError
from schemas.response import Fault

KEPT: tuple[Meeting, ...] = ("new", "again", "joined")
LISTED = 10
"""Terms without a map that are named."""


TellJudged = Callable[[Meeting | None, list[RowState]], None]
"""Is told what became of rows of one trace, and where the trace is known from: null where none of it is settled with them."""


class JudgedLines(NamedTuple):
    """What the sound rows of one trace come to."""

    rows: list[RawRow]
    lines: TableLines
    annotations: list[Annotation]


class JudgedRows:
    """Writes the traces of one file and what it says of them."""

    def __init__(self, judged: JudgedFormat, terms: Terms, books: list[Codebook], corpus: Store) -> None:
        self._judged, self._terms, self._books = judged, terms, books
        self._annotator = f"{judged.annotator}@{terms.versioned('1')}"
        self._stored = StoredAnnotations(corpus)
        self._unmapped: Counter[str] = Counter()
        self._without_offsets = 0
        self._new = 0

    @property
    def told(self) -> dict[str, Any]:
        """What is said of the file."""
        return {
            "annotator": self._annotator,
            "codebooks": [f"{book.name}@{book.version}" for book in self._books],
            "new_annotations": self._new,
            "unmapped": dict(self._unmapped.most_common(LISTED)),
            "without_offsets": self._without_offsets,
            "note": self._judged.note if self._without_offsets else "",
        }

    def ingest(
        self,
        rows: Iterable[RawRow],
        form: Format,
        place: FieldPath,
        recipe: IngestRecipe,
        writer: PartWriter,
        tell: TellJudged,
    ) -> None:
        """Write the traces of these rows, and tell what became of each."""
        writer.watch(self._stored).meet({self._annotator})
        for group in self._judged.group(rows):
            try:
                if group.faults:
                    raise BadRow(*next(iter(group.faults.values())))
                fields, extra = recipe.with_constants(sort_out(form, group.row))
                line = min(raw.line for raw in group.rows)
                lines = trace_line(fields, extra, place, line)
            except BadRow as bad:
                tell(None, [RowState(raw, bad.fault) for raw in group.rows])
                continue
            faults, judged = self._read(group, lines, line)
            tell(None, [RowState(raw, faults[raw.line]) for raw in group.rows if raw.line in faults])
            size = weight(judged.lines) + LINE_SIZE * len(judged.annotations)
            writer.later(partial(self._settle, judged, place, writer, tell), size)

    def _read(
        self, group: JudgedGroup, lines: FieldLines, line: int
    ) -> tuple[Mapping[int, Fault], JudgedLines]:
        trace = dict(zip(COLUMNS["traces"], lines.trace or (), strict=True))
        reading = self._judged.read(group, trace, self._terms)
        self._unmapped.update(reading.unmapped)
        self._without_offsets += reading.without_offsets
        told = (raw._replace(row=None, text=None) for raw in group.rows)  # light: they wait for the part
        sound = [raw for raw in told if raw.line not in reading.faults]
        annotations = [*self._annotations(trace["trace_id"], reading)]
        return reading.faults, JudgedLines(sound, TableLines.of([(line, lines)]), annotations)

    def _settle(self, judged: JudgedLines, place: FieldPath, writer: PartWriter, tell: TellJudged) -> None:
        (met,) = writer.meet(judged.lines, place)
        why = _filtered(met, [self._say(one, writer) for one in judged.annotations])
        tell(met, [RowState(raw, filtered=why) for raw in judged.rows])

    def _annotations(self, trace_id: str, reading: JudgedReading) -> Iterator[Annotation]:
        for entry, (label, score, spans, rationale) in reading.verdicts.items():
            yield Annotation(
                trace_id=trace_id, pattern=entry, annotator=self._annotator, label=label, score=score, spans=spans, rationale=rationale,
            )  # fmt: skip

    def _say(self, annotation: Annotation, writer: PartWriter) -> str:
        said: StoredResult = stored_result(annotation)
        state = self._stored.say((annotation.trace_id, annotation.pattern, annotation.annotator), said)
        if state == "new":
            writer.annotate(annotation)
            self._new += 1
        return state


def prepare(corpus: Store, judged: JudgedFormat) -> JudgedRows:
    """Find the codebooks that map a data set's terms: those of the corpus, else the shipped one, which is added.

    Raises:
        DataError: if the corpus has an earlier version of the shipped one, without the map.
        RecipeError: if a name of its entries is taken in the corpus.
    """
    there = known(corpus)
    books = [book for book in there.codebooks.values() if judged.source in book.maps]
    if not books and judged.codebook:
        book = shipped(judged.codebook)
        if earlier := there.codebooks.get(book.name):
            raise DataError(
                f"the corpus has {earlier.name}@{earlier.version}, which does not map the terms of {judged.source}; add the shipped "
                f"version with: curate codebook add {book.name}; or write maps: {{{judged.source}: ...}} into yours"
            )
        add(corpus, book)
        books = [book]
    terms = terms_of(books, judged.source, earlier=there.earlier, graded=True)
    return JudgedRows(judged, terms, books, corpus)


def _filtered(met: Meeting, states: list[str]) -> str | None:
    """Why rows bring nothing: their trace was there and so were their judgements."""
    if met in KEPT or "new" in states:
        return None
    if met == "beside" or not states:
        return "duplicate"
    return None if "again" in states else "already_annotated"
