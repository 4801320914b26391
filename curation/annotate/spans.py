"""`curate spans`: where patterns show in traces, for weights of tokens in training (`token_weights:` of `sft run`).

Each line carries the id of the text that it points into, so that a mix whose reasoning was rewritten since is noticed. The surprise: a label
does not need evidence, so traces that have the pattern and no span are counted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from curation.corpus.filling import sql_file
from curation.corpus.query import connect, select
from curation.corpus.store import Store, write_file
from schemas.errors import RecipeError
from schemas.ids import texts_id
from schemas.manifest import Counts


class WrittenSpans(NamedTuple):
    """What was written."""

    spans: int
    traces: int
    """With a span."""
    labelled: int
    """That have one of the patterns."""

    @property
    def counts(self) -> Counts:
        """Traces that have a pattern: kept with a span, filtered without."""
        counts = Counts(rows=self.labelled, kept=self.traces)
        if without := self.labelled - self.traces:
            counts.add("filtered", "no evidence span", without)
        return counts


def write(corpus_dir: Path, patterns: Sequence[str], out: Path) -> WrittenSpans:
    """Write the evidence spans of patterns as JSONL: trace_id, name (the pattern), field, start, end, text_id; no text.

    Raises:
        RecipeError: if there is none.
    """
    connection = connect(Store(corpus_dir))
    wanted = {"patterns": list(patterns)}
    rows = select(connection, sql_file("curation.annotate", "spans.sql"), wanted).to_pylist()
    if not rows:
        raise RecipeError(
            f"no trace has an evidence span of {', '.join(patterns)}; annotate first, or name other patterns"
        )
    labelled = select(connection, sql_file("curation.annotate", "labelled.sql"), wanted).to_pylist()[0][
        "traces"
    ]
    lines = [
        orjson.dumps({**{k: v for k, v in row.items() if k != "text"}, "text_id": texts_id(row["text"])})
        + b"\n"
        for row in rows
    ]
    write_file(out, b"".join(lines))
    return WrittenSpans(len(rows), len({row["trace_id"] for row in rows}), labelled)
