"""A selection of the page as the condition of a recipe, over `candidates`.

What SQL over the corpus says of it follows the corpus: traces that come later and meet it are selected too. A search and the rows of a
mix are no such condition, so they become the list of the traces.
"""

from collections.abc import Mapping, Sequence

import yaml

from curation.corpus.filling import identifier, quoted, sql_file
from curation.view.facets import SETS, SINGLE, Chosen, present
from schemas.codebooks import Pattern
from schemas.errors import DataError

MOST_IDS = 500
"""Traces that a condition may list; SQL of recipes has at most 20,000 characters."""
Entries = Mapping[str, Pattern]


def condition(chosen: Chosen, entries: Entries, trace_ids: Sequence[str] | None = None) -> str:
    """The condition that selects what facets select.

    Args:
        chosen: values by facet.
        entries: those of the facet of patterns.
        trace_ids: the traces themselves, where facets do not say it all.

    Raises:
        DataError: if there are too many traces to list.
    """
    if trace_ids is not None and len(trace_ids) > MOST_IDS:
        raise DataError(
            f"a search or a mix becomes a list of traces in a recipe, at most {MOST_IDS}; these are {len(trace_ids):,}: "
            "choose more facets, or take the search away"
        )
    if trace_ids is not None:
        return f"trace_id in ({', '.join(map(quoted, trace_ids))})" if trace_ids else "false"
    clauses = [
        _clause(name, values, entries)
        for name, values in chosen.items()
        if values and name in (*SINGLE, *SETS)
    ]
    return " and ".join(clauses) or "true"


def recipe(where: str) -> str:
    """A mix recipe with one part that takes all of it."""
    text: str = yaml.safe_dump(
        {"name": "selection", "parts": {"selection": {"where": where}}}, sort_keys=False, allow_unicode=True
    )
    return text


def _clause(facet: str, values: Sequence[str], entries: Entries) -> str:
    named = [value for value in values if value]
    pieces = [] if facet in SINGLE else [_member(facet, value, entries) for value in named]
    if facet in SINGLE and named:
        pieces = [f"{identifier(facet)} in ({', '.join(map(quoted, named))})"]
    if "" in values:
        pieces.append(f"{identifier(facet)} is null" if facet in SINGLE else _none(facet, entries))
    return f"({' or '.join(pieces)})"


def _member(facet: str, value: str, entries: Entries) -> str:
    if facet == "pattern":
        return f"coalesce({present(entries[value])}, false)" if value in entries else "false"
    if facet == "annotator":
        return (
            f"trace_id in (select trace_id from current_annotations where label and name = {quoted(value)})"
        )
    column = {"disputed": "pattern", "verdict": "verdict"}[facet]
    return f"trace_id in ({_traces(facet, f'{column} = {quoted(value)}')})"


def _none(facet: str, entries: Entries) -> str:
    if facet == "pattern":
        return f"not ({' or '.join(_member(facet, name, entries) for name in entries)})"
    if facet == "annotator":
        return "trace_id not in (select trace_id from current_annotations where label)"
    return f"trace_id not in ({_traces(facet, 'true')})"


def _traces(facet: str, only: str) -> str:
    """The query of a facet's file in one line; the condition, which the file ends with, keeps its white space."""
    query = sql_file("curation.view", f"{facet}_traces.sql", only="")
    return f"{' '.join(query.split())} {only}"
