"""`curate status`: what is in a corpus."""

from pathlib import Path
from typing import Any, NamedTuple

from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, open_tables, select
from curation.corpus.store import Store, conform
from schemas.tables import TABLES

Rows = list[dict[str, Any]]


class Contents(NamedTuple):
    """What is in a corpus."""

    corpus: str
    tables: dict[str, dict[str, int]]
    """Rows, parts and bytes of each table."""
    kinds: Rows
    strategies: Rows
    sources: Rows
    verdicts: Rows
    annotators: Rows
    quarantine: Rows


BREAKDOWNS = Contents._fields[2:]
"""Each is counted by the file of its name in sql/."""


def read(corpus_dir: Path) -> Contents:
    """Counts per table, kind, strategy, source, pattern verdict, annotator and quarantine reason."""
    corpus = Store(corpus_dir)
    connection = open_tables(corpus)
    tables = {
        name: {
            "rows": select(connection, f"select count(*) as n from {name}").to_pylist()[0]["n"],
            "parts": len(corpus.parts(name)),
            "bytes": sum(part.stat().st_size for part in corpus.parts(name)),
        }
        for name in TABLES
    }
    thresholds = sql_file("curation.corpus", "thresholds.sql")
    connection.execute(sql_file("curation.corpus", "status_combinations.sql", thresholds=thresholds))
    on = dict.fromkeys(BREAKDOWNS, connection) | {"verdicts": _of_combinations(connection, corpus)}
    counted = {
        name: select(on[name], sql_file("curation.corpus", f"status_{name}.sql")).to_pylist()
        for name in BREAKDOWNS
    }
    return Contents(str(corpus_dir), tables, **counted)


def _of_combinations(connection: Connection, corpus: Store) -> Connection:
    """A connection whose traces stand for the combinations of judgements, and its table `combinations` with the traces that have each."""
    said = conform(select(connection, "from said"), TABLES["annotations"])
    rows = {table: select(connection, f"from {table}") for table in ("calibrations", "codebooks")}
    consensus = connect(corpus, rows={"annotations": said, **rows})
    counts = select(connection, "select combination::varchar as trace_id, traces from combinations")
    consensus.register("combinations", counts)
    return consensus


def show(contents: Contents) -> None:
    """Print the status for a person."""
    console.result(f"corpus {contents.corpus}")
    rows = [{"table": name, **counts} for name, counts in contents.tables.items()]
    console.show_rows(["table", "rows", "parts", "bytes"], rows)
    for name in BREAKDOWNS:
        if counted := getattr(contents, name):
            console.show_rows(list(counted[0]), counted)
