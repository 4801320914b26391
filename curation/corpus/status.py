"""`curate status`: what is in a corpus."""

from pathlib import Path
from typing import Any

from curation import console
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from schemas.tables import TABLES

BREAKDOWNS = {
    "kinds": "select coalesce(kind, '(none)') as kind, count(*) as prompts from prompts group by all order by all",
    "strategies": "select coalesce(strategy, '(none)') as strategy, count(*) as traces from traces group by all order by all",
    "sources": "select coalesce(source, '(none)') as source, count(*) as traces from traces group by all order by all",
    "verdicts": """select pattern, count_if(label) as present, count_if(not label) as absent,
        count_if(label is null) as abstained from verdicts group by all order by all""",
    "annotators": """select annotator, count(distinct trace_id) as traces, count_if(label) as present,
        count_if(label is null) as abstained from annotations group by all order by all""",
    "quarantine": "select reason, source_file, count(*) as rows from quarantine group by all order by all",
}


def run(corpus_dir: Path) -> dict[str, Any]:
    """Counts per table, kind, strategy, source, pattern, annotator and quarantine reason."""
    corpus = Store(corpus_dir)
    connection = connect(corpus)
    tables = {
        name: {
            "rows": select(connection, f"select count(*) as n from {name}").to_pylist()[0]["n"],
            "parts": len(corpus.parts(name)),
            "bytes": sum(part.stat().st_size for part in corpus.parts(name)),
        }
        for name in TABLES
    }
    broken_down = {name: select(connection, query).to_pylist() for name, query in BREAKDOWNS.items()}
    return {"corpus": str(corpus_dir), "tables": tables, **broken_down}


def show(status: dict[str, Any]) -> None:
    """Print the status."""
    console.result(f"corpus {status['corpus']}")
    rows = [{"table": name, **counts} for name, counts in status["tables"].items()]
    console.show_rows(["table", "rows", "parts", "bytes"], rows)
    for name in BREAKDOWNS:
        if status[name]:
            console.show_rows(list(status[name][0]), status[name])
