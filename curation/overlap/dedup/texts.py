"""Keys of the texts of a field, part by part; equal keys make two texts a candidate pair.

Parts are independent (except for the templates that prompts share, which are counted first), so they can be processed one
after the other, or by Ray's workers.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.corpus.store import scan_part
from curation.overlap.dedup import queries, sketches
from curation.overlap.dedup.meaning import signatures, with_operators
from curation.overlap.words import Words, hash_words
from schemas.choices import DedupMethod

RUN = {"query": 3, "response": 5}
"""Length of the n-grams of each field; queries are short."""
BATCH_ROWS = 2048


class Work(NamedTuple):
    """One field by one method."""

    field: str
    method: DedupMethod

    @property
    def table(self) -> str:
        """The table of the texts."""
        return "traces" if self.field == "response" else "prompts"

    @property
    def id_column(self) -> str:
        """Its id column."""
        return "trace_id" if self.field == "response" else "prompt_id"


class KeyedTexts(NamedTuple):
    """Keys and sketches of some texts, in the order of their part."""

    keys: "np.ndarray[Any, np.dtype[np.uint64]]"
    """(texts, BANDS) or, for the exact method, (texts, 1); 0 for a text without words."""
    bytes: "np.ndarray[Any, np.dtype[np.uint8]]"
    """(texts, NUMBERS), or (texts, 0)."""


class NgramCounts(NamedTuple):
    """Document frequencies of n-grams in one part."""

    slots: "np.ndarray[Any, np.dtype[np.int64]]"
    times: "np.ndarray[Any, np.dtype[np.uint32]]"


def read(part: Path, field: str) -> Iterator[pa.Array]:
    """The texts of a part, a batch at a time: of a conversation all turns, as a query all that the user says.

    The last question alone would make duplicates of all that end in "Go on.".
    """
    columns = ["reasoning", "answer"] if field == "response" else ["text", "turns"]
    for batch in scan_part(part, columns, BATCH_ROWS):
        if field == "response":
            yield pc.binary_join_element_wise(*batch.columns, "\n")
        elif "turns" not in batch.schema.names or batch["turns"].null_count == batch.num_rows:
            yield batch["text"]
        else:
            rows = zip(batch["text"].to_pylist(), batch["turns"].to_pylist(), strict=True)
            yield pa.array([_said(text, turns, field) for text, turns in rows], pa.string())


def _said(text: str, turns: list[dict[str, Any]] | None, field: str) -> str:
    if not turns:
        return text
    told = [turn for turn in turns if field == "prompt" or turn["role"] == "user"]
    return "\n".join(turn["content"] for turn in told)


def count(parts: Sequence[Path]) -> Iterator[NgramCounts]:
    """Count the n-grams of each part's prompts."""
    for part in parts:
        yield NgramCounts(
            *queries.count_part(hash_words(with_operators(texts)) for texts in read(part, "prompt"))
        )


def common_ngrams(
    counted: Iterable[NgramCounts], template_from: int
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The n-grams that belong to templates."""
    counts = np.zeros(queries.COUNTERS, dtype=np.uint32)
    for slots, times in counted:
        counts[slots] += times
    return np.flatnonzero(counts >= template_from)


def make(
    parts: Sequence[Path], work: Work, common: "np.ndarray[Any, np.dtype[np.int64]]"
) -> Iterator[KeyedTexts]:
    """Keys and sketches of the texts of some parts.

    Args:
        parts: of the table of the field.
        work: the field and the method.
        common: what `common_runs` found; used for queries.
    """
    template = queries.template_mask(common) if work.field == "query" else None
    for part in parts:
        for texts in read(part, work.field):
            texts = with_operators(texts)
            words = hash_words(texts)
            if template is None:
                yield _made(words, work)
                continue
            kept = queries.only(words, queries.outside(words, template))
            made = _made(kept, work)
            whole = np.diff(kept.offsets) == np.diff(words.offsets)
            signs = np.where(whole, signatures(texts.to_pylist()), np.uint64(0))
            # a blank text keeps its key 0; a query differs from one with other numbers, operators or negations
            yield made._replace(keys=np.where(made.keys == 0, made.keys, made.keys ^ signs[:, None]))


def _made(words: Words, work: Work) -> KeyedTexts:
    if work.method == "exact":
        keys = sketches.fingerprints(words)
        return KeyedTexts(keys[:, None], np.zeros((len(keys), 0), np.uint8))
    made = sketches.sketch(words, RUN[work.field])
    return KeyedTexts(np.where(made.blank[:, None], np.uint64(0), made.bands), made.bytes)
