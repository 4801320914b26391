"""Writes what an annotator found, part by part, without holding the table in between."""

import pyarrow as pa

from annotators.base import Annotator
from curation import console
from curation.annotate.judging import Judged
from curation.corpus.store import Store, scan_part


class AnnotationWriter:
    """Writes parts of annotations, with the table locked only meanwhile: others may write between two of them.

    Args:
        corpus: the corpus.
        annotator: whose annotations they are.
    """

    def __init__(self, corpus: Store, annotator: Annotator) -> None:
        self._corpus, self._annotator = corpus, annotator
        self._seen = {part.name for part in corpus.parts("annotations")}
        self._saved = 0

    def write(self, advance: console.Advance, judged: list[Judged]) -> None:
        """Write a part, without what another process has annotated since this one began."""
        rows = pa.concat_tables([one.annotations for one in judged])
        with self._corpus.writing("annotations"):
            if theirs := self._annotated_meanwhile():
                ours = [trace_id not in theirs for trace_id in rows["trace_id"].to_pylist()]
                rows = rows.filter(pa.array(ours, pa.bool_()))
            self._corpus.append("annotations", rows)
            self._seen |= {part.name for part in self._corpus.parts("annotations")}
        self._saved += sum(one.traces for one in judged)
        advance(0, f"{self._saved:,} saved")

    def _annotated_meanwhile(self) -> set[str]:
        new = [part for part in self._corpus.parts("annotations") if part.name not in self._seen]
        return {
            row["trace_id"]
            for part in new
            for batch in scan_part(part, ["trace_id", "annotator"])
            for row in batch.to_pylist()
            if row["annotator"] == self._annotator.name
        }
