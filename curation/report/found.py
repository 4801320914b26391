"""What was found in a trace, with the words that show it: the first thing that `curate why` and `curate show` tell."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from curation import console
from curation.corpus.query import Connection
from curation.corpus.store import Store
from curation.masking import mask_words
from curation.view.traces import Evidence, SeenTrace, read

WIDTH = 80
QUOTE = 200
"""Characters of a quote."""
HEADING = ("strategy", "model", "kind", "category", "source")


def found_patterns(connection: Connection, corpus: Store, trace_id: str, shown: bool) -> list[dict[str, Any]]:
    """The patterns that the consensus or any annotator sees in a trace; see `found_in`."""
    seen = read(connection, corpus, trace_id)
    return found_in(seen, shown) if seen else []


def found_in(seen: SeenTrace, shown: bool) -> list[dict[str, Any]]:
    """The patterns that the consensus or any annotator sees, those of the consensus first.

    Args:
        seen: the trace.
        shown: give quotes unmasked.

    Returns:
        For each pattern its name, the consensus, and `by`: annotator, score, and quotes (field and words).
    """
    found = []
    for line in seen.labels:
        by = [
            {"annotator": name, "score": cell.score, "quotes": _quotes(seen, name, line.pattern, shown)}
            for name, cell in zip(seen.annotators, line.cells, strict=True)
            if cell and cell.label
        ]
        if by or line.consensus:
            found.append({"pattern": line.pattern, "consensus": line.consensus, "by": by})
    return found


def show_found(trace: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> None:
    """Print what was found in a trace, at most 80 columns wide.

    Args:
        trace: its row.
        found: as `found_in` gives it.
    """
    console.result(f"trace {trace['trace_id']}")
    if about := ", ".join(f"{name} {trace[name]}" for name in HEADING if trace.get(name)):
        print_wrapped(about, "  ")
    if not found:
        console.result("no pattern found")
    for one in found:
        console.result(one["pattern"] + _standing(one["consensus"]))
        for said in one["by"]:
            score = "" if said["score"] is None else f" ({said['score']:.2f})"
            console.result(f"  {said['annotator']}{score}" + ("" if said["quotes"] else ": no words marked"))
            for quote in said["quotes"]:
                print_wrapped(f"{quote['field']}: “{quote['words']}”", "    ")


def print_wrapped(text: str, indent: str) -> None:
    """Print a text in lines of at most 80 columns; its own line breaks become spaces."""
    for line in textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent) or [indent]:
        console.result(line)


def _standing(consensus: bool | None) -> str:
    if consensus:
        return ""
    return " (no consensus)" if consensus is None else " (not by the consensus)"


def _quotes(seen: SeenTrace, annotator: str, pattern: str, shown: bool) -> list[dict[str, str]]:
    return [
        {"field": field, "words": _words(seen.row[field], one, shown)}
        for field, evidence in seen.evidence.items()
        for one in sorted(evidence)
        if (one.name, one.pattern) == (annotator, pattern)
    ]


def _words(text: str, one: Evidence, shown: bool) -> str:
    words = text[one.start : one.end]
    words = words if shown else mask_words(words)
    return words if len(words) <= QUOTE else f"{words[:QUOTE]}… ({len(words):,} characters)"
