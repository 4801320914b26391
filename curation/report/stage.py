"""`curate report`: one HTML page about a corpus and the mixes made of it; self-contained, and without scripts from data.

Texts are masked: examples show only common words (`curation.masking`), unless requested otherwise.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from annotators.statistics.agreement import Agreement
from curation import charts, console
from curation.corpus.filling import quoted, sql_file
from curation.corpus.query import Connection, connect, select
from curation.corpus.store import Store, write_file
from curation.masking import mask, mask_words
from curation.mix.folder import read_manifest, read_rows
from curation.page import render
from curation.reading import read_model
from curation.report import overview
from curation.report.codebooks import codebook_reports
from curation.report.influential import TOP, attributed
from curation.review import gate
from schemas.manifest import Manifest
from schemas.patterns import CODEBOOK, RISKY_PATTERNS
from schemas.tables import TABLES

EXAMPLES = 3
"""Number of examples per pattern."""
AROUND = 160
"""Code points shown on each side of the evidence."""
UNITS = 5000
"""Maximum traces per pattern for the agreement, which bootstraps over them a thousand times."""

KEEPS = "no page was written; run the same command again"


class TextPiece(NamedTuple):
    """A piece of an example's text."""

    text: str
    marked: bool


class Rates(NamedTuple):
    """What was found in a set of traces."""

    name: str
    found: dict[tuple[str, str], tuple[int, int]]
    """k of n for each (strategy, pattern)."""
    risky: overview.Share
    """With any risky pattern."""


def write_page(corpus_dir: Path, mixes: Sequence[Path] = (), *, out: Path, show: bool = False) -> Path:
    """Write the page; returns where it is.

    Args:
        corpus_dir: the corpus.
        mixes: mixes made of it; each is set beside the corpus.
        out: the HTML file.
        show: give texts in full.

    Raises:
        CorpusError: if the folder is not a corpus or the page cannot be written.
        DataError: if a folder is not a mix.
    """
    corpus = Store(corpus_dir)
    connection = connect(corpus)
    with console.progress("report", 4, "sections", KEEPS) as advance:
        # the consensus is used eight times below and is the most expensive part, so it is computed once
        connection.execute("create temp table settled as from verdicts")
        connection.execute("create temp view verdicts as from settled")
        advance()
        manifests = {mix.name: read_manifest(mix) for mix in mixes}
        strategies = _rows(connection, sql_file("curation.report", "strategies.sql"))
        rates, views = pattern_rates(connection, mixes), overview.breakdowns(connection)
        advance()
        people, machines = gate.agreements(connection), _machine_agreement(connection)
        advance()
        found = {pattern: examples(connection, pattern, show) for pattern in RISKY_PATTERNS}
        codebooks = codebook_reports(connection, UNITS)
        influential = attributed(connection, show)
        advance()
    tables = {name: _count(connection, name) for name in TABLES}
    shares = {key: overview.Share(*kn) for key, kn in rates[0].found.items()}
    page = render(
        "curation.report",
        "report.html",
        title=f"Corpus {corpus_dir.resolve().name}",
        headline=overview.headline(tables["traces"], [(r.name, r.risky) for r in rates], rates[0].found),
        tables=tables,
        views=views,
        heat=shares,
        heat_strategies=sorted({strategy for strategy, _ in shares}),
        hottest=max((share.rate or 0.0 for share in shares.values()), default=0.0),
        share=overview.Share,
        rate_axis=overview.share_axis([overview.Share(*kn) for r in rates for kn in r.found.values()]),
        lengths=charts.axis(n for row in strategies for n in row["reasoning_tokens"] or ()),
        stages=[m for m in _manifests(corpus) if m.counts.rows],
        patterns=RISKY_PATTERNS,
        rates=rates,
        strategies=strategies,
        people=people,
        machines=machines,
        mixes=manifests,
        codebook={entry.name: entry for entry in CODEBOOK},
        codebooks=codebooks,
        examples=found,
        influential=influential,
        top=TOP,
        shown=show,
        units=UNITS,
    )
    write_file(out, page.encode("utf-8"))
    return out


def pattern_rates(connection: Connection, mixes: Sequence[Path]) -> list[Rates]:
    """Rates before and after filtering: the corpus, traces that a guard calls safe (if there is one), and each mix."""
    import pyarrow as pa

    rates = [_rates(connection, "all traces", "")]
    guarded = sql_file("curation.report", "guarded.sql")
    if select(connection, f"{guarded} limit 1").num_rows:
        rates.append(_rates(connection, "guard-filtered", f"and trace_id in ({guarded})"))
    for mix in mixes:
        connection.register("mixed", pa.table({"trace_id": read_rows(mix, ["trace_id"])["trace_id"]}))
        rates.append(_rates(connection, mix.name, "and trace_id in (select trace_id from mixed)"))
    return rates


def examples(connection: Connection, pattern: str, show: bool) -> list[dict[str, Any]]:
    """Traces with a pattern, cut to the context of the evidence."""
    query = sql_file("curation.report", "examples.sql", pattern=quoted(pattern), limit=str(EXAMPLES))
    rows = _rows(connection, query)
    for row in rows:
        spans = row.pop("spans") or []
        row["prompt"] = row["prompt"] if show else mask(row["prompt"])
        for field in ("reasoning", "answer"):
            text = row[field] if show else mask_words(row[field])
            row[field] = pieces(text, [(s["start"], s["end"]) for s in spans if s["field"] == field], show)
    return rows


def pieces(text: str, spans: Sequence[tuple[int, int]], whole: bool) -> list[TextPiece]:
    """Cut a text into marked and unmarked pieces; unless `whole`, only what is near a mark, or the beginning."""
    marked = _merged(spans, len(text))
    first, last = (marked[0][0], marked[-1][1]) if marked else (0, AROUND)
    begin, end = (0, len(text)) if whole else (max(0, first - AROUND), min(len(text), last + AROUND))
    pieces_of_text, at = [TextPiece("… ", False)] if begin else [], begin
    for start, stop in marked:
        pieces_of_text += [TextPiece(text[at:start], False), TextPiece(text[start:stop], True)]
        at = stop
    pieces_of_text.append(TextPiece(text[at:end] + (" …" if end < len(text) else ""), False))
    return [piece for piece in pieces_of_text if piece.text]


def _merged(spans: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted((max(0, start), min(end, length)) for start, end in spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def _rates(connection: Connection, name: str, only: str) -> Rates:
    patterns = "(" + ", ".join(map(quoted, RISKY_PATTERNS)) + ")"
    query = sql_file("curation.report", "patterns.sql", patterns=patterns, only=only)
    found = {(row["strategy"], row["pattern"]): (row["k"], row["n"]) for row in _rows(connection, query)}
    return Rates(name, found, overview.overall(connection, only))


def _machine_agreement(connection: Connection) -> dict[str, Agreement]:
    """Agreement of all current annotators, including people, by pattern."""
    from annotators.statistics.agreement import agreement, by_unit

    patterns = "(" + ", ".join(map(quoted, RISKY_PATTERNS)) + ")"
    query = sql_file("curation.report", "agreement.sql", patterns=patterns, limit=str(UNITS))
    rows = connection.execute(query).fetchall()
    return {
        wanted: agreement(by_unit((trace, label) for trace, pattern, label, _ in rows if pattern == wanted))
        for wanted in RISKY_PATTERNS
    }


def _manifests(corpus: Store) -> list[Manifest]:
    paths = sorted((corpus.root / "manifests").glob("*.json"))
    return [read_model(path, Manifest) for path in paths]


def _count(connection: Connection, table: str) -> int:
    return int(select(connection, f"select count(*) as n from {table}")["n"][0].as_py())


def _rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    return list(select(connection, query).to_pylist())
