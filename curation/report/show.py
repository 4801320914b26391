"""`curate show`: traces to read in a terminal, found patterns first, masked unless requested otherwise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curation import console
from curation.corpus.bounds import bounded
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, select
from curation.corpus.store import Store
from curation.corpus.untrusted import check_condition
from curation.masking import mask_words
from curation.report.found import found_in, print_wrapped, show_found
from curation.view.traces import SeenTrace, provenance
from curation.view.traces import read as read_trace
from schemas.errors import DataError

TEXTS = ("prompt", "reasoning", "answer")
BEGINNING = 320
"""Characters of each text without `--all`: four lines."""


class DrawnTraces(NamedTuple):
    """Traces that are drawn instead of named."""

    where: str
    """SQL condition over `candidates`."""
    sample: int
    seed: int


def read(
    corpus_dir: Path, wanted: Sequence[str] | DrawnTraces, *, show: bool = False
) -> list[dict[str, Any]]:
    """Traces with what was found in them.

    Args:
        corpus_dir: the corpus.
        wanted: ids or their beginnings, or a draw.
        show: do not mask texts.

    Raises:
        DataError: if the beginning of an id fits no trace or several, or no trace meets the condition.
        RecipeError: if the condition is not one SQL expression.
    """
    corpus = Store(corpus_dir)
    connection = connect(corpus)
    ids = (
        _drawn(connection, wanted)
        if isinstance(wanted, DrawnTraces)
        else [_id(connection, one, corpus_dir) for one in wanted]
    )
    seen = [found for trace_id in ids if (found := read_trace(connection, corpus, trace_id))]
    return [_told(one, show) for one in seen]


def print_traces(traces: Sequence[dict[str, Any]], everything: bool = False) -> None:
    """Print the result of `read`; only the beginnings of long texts, and no origin, unless `everything`."""
    for place, trace in enumerate(traces):
        if place:
            console.result("")
        show_found(trace["origin"], trace["found"])
        for name in TEXTS:
            text = trace[name]
            console.result(f"{name} ({len(text):,} characters)")
            for line in (text if everything else text[:BEGINNING]).splitlines():
                print_wrapped(line, "  ")
            if not everything and len(text) > BEGINNING:
                console.result("  …")
        if everything:
            for label in trace["labels"]:
                print_wrapped(": ".join(label), "")
            for name, value in trace["origin"].items():
                print_wrapped(f"{name}: {value}", "")
    if not everything:
        console.result("\n--all shows whole texts, all labels and the origin")


def _told(seen: SeenTrace, show: bool) -> dict[str, Any]:
    texts = {name: seen.row[name] if show else mask_words(seen.row[name]) for name in TEXTS}
    labels = [
        (
            line.pattern,
            ", ".join(
                f"{name} {_word(cell.label)}"
                for name, cell in zip(seen.annotators, line.cells, strict=True)
                if cell
            ),
        )
        for line in seen.labels
    ]
    return {"found": found_in(seen, show), "labels": labels, "origin": provenance(seen, show), **texts}


def _word(label: bool | None) -> str:
    return {True: "present", False: "absent", None: "abstains"}[label]


def _id(connection: Connection, beginning: str, corpus_dir: Path) -> str:
    query = "select trace_id from traces where starts_with(trace_id, $id) order by trace_id limit 6"
    found: list[str] = select(connection, query, {"id": beginning})["trace_id"].to_pylist()
    if beginning in found or (len(found) == 1 and beginning):
        return beginning if beginning in found else found[0]
    if not found:
        raise DataError(
            f"{beginning}: no trace in {corpus_dir} has an id that begins so; `curate why` also finds source ids"
        )
    raise DataError(f"{beginning}: several traces have such an id: {', '.join(found[:5])}; give more of it")


def _drawn(connection: Connection, drawn: DrawnTraces) -> list[str]:
    check_condition(connection, drawn.where)
    query = sql_file("curation.report", "drawn.sql", where=drawn.where)
    values = {"seed": str(drawn.seed), "sample": drawn.sample}
    ids: list[str] = bounded(connection, lambda: select(connection, query, values))["trace_id"].to_pylist()
    if not ids:
        raise DataError(f"no trace meets the condition: {drawn.where}")
    return ids
