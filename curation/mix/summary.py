"""The manifest's summary of a mix: the sources, the state of every trace, statistics of the rows."""

from collections import Counter
from typing import Any, NamedTuple

from curation.corpus.filling import sql_file
from curation.corpus.query import Connection
from curation.corpus.store import Store
from curation.mix import folder
from curation.reading import read_model
from schemas.manifest import Counts, InputFile, Manifest
from schemas.patterns import RISKY_PATTERNS
from schemas.tables import TABLES


class Snapshot(NamedTuple):
    """A corpus as it was at some time: parts never change, so their names are enough."""

    parts: dict[str, list[str]]
    """Names of the part files of each table."""
    inputs: list[InputFile]
    """The files that had been ingested."""


def snapshot(corpus: Store) -> Snapshot:
    """The corpus as it is now."""
    return Snapshot({table: [part.name for part in corpus.parts(table)] for table in TABLES}, sources(corpus))


def sources(corpus: Store) -> list[InputFile]:
    """The files that were ingested: they name the data without naming the corpus's own part layout."""
    files = {}
    for path in sorted((corpus.root / "manifests").glob("ingest-*.json")):
        for entry in read_model(path, Manifest).inputs:
            files[entry.name, entry.blake2b] = entry
    return [files[key] for key in sorted(files)]


def counts(connection: Connection) -> Counts:
    """Counts of all traces of the corpus by state."""
    counts_of_mix = Counts()
    for state, n in connection.execute(sql_file("curation.mix", "states.sql")).fetchall():
        counts_of_mix.rows += n
        if state == "kept":
            counts_of_mix.kept = n
        else:
            counts_of_mix.filtered[state] = n
    return counts_of_mix


def annotators(connection: Connection) -> dict[str, int]:
    """The annotators of the corpus, with the number of their annotations."""
    return dict(connection.execute(sql_file("curation.mix", "annotators.sql")).fetchall())


def summarise(rows: Any) -> dict[str, Any]:
    """Counts, patterns and lengths of the rows of a mix."""
    import pyarrow.compute as pc

    tokens = rows["tokens"]
    marks = pc.quantile(tokens, [0.5, 0.9, 1.0], interpolation="lower").to_pylist()
    risky = Counter(name for names in rows["risky"].to_pylist() for name in names)
    parts = Counter(zip(rows["part"].to_pylist(), rows["source"].to_pylist(), strict=True))
    return {
        "rows": rows.num_rows,
        "mix_id": folder.mix_id(rows),
        "strategies": _tally(rows["strategy"]),
        "kinds": _tally(rows["kind"]),
        "sources": _tally(rows["source"]),
        "part_sources": [
            {"part": part, "source": source, "rows": n}
            for (part, source), n in sorted(parts.items(), key=lambda item: (item[0][0], str(item[0][1])))
        ],
        "patterns": {name: risky.get(name, 0) for name in RISKY_PATTERNS},
        "tokens": {
            "total": pc.sum(tokens).as_py(),
            "mean": round(pc.mean(tokens).as_py(), 1),
            **dict(zip(("p50", "p90", "max"), marks, strict=True)),
        },
    }


def _tally(column: Any) -> dict[str, int]:
    return dict(sorted(Counter(str(value) for value in column.to_pylist()).items()))
