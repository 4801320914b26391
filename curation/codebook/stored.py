"""The codebooks that a corpus keeps, read without SQL."""

from curation.codebook.known import Known
from curation.corpus.store import Store


def known(corpus: Store) -> Known:
    """What a corpus knows now."""
    rows = [
        row
        for batch in corpus.scan("codebooks", ["codebook", "version", "text"])
        for row in batch.to_pylist()
    ]
    ordered = sorted(rows, key=lambda row: (row["codebook"], row["version"]))
    return Known.of_texts((row["text"],) for row in ordered)
