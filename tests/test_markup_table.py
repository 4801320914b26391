"""The table of markups and paths in the docs is what the code does, and every path reads a markup alike."""

from pathlib import Path

import pytest

from benchmarks import markups

DOCS = Path(__file__).resolve().parents[1] / "docs" / "data-format.md"


def test_the_table_in_the_docs_is_what_the_code_does() -> None:
    assert markups.table() in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", markups.cases())
def test_a_response_is_the_same_on_every_path(name: str) -> None:
    text = markups.cases()[name]
    ingested, served = markups.ingested(text), markups.served(text)
    assert served == markups.in_process(text)
    assert served == ingested or (ingested == "no_think" and served.startswith("no_think"))
    assert (markups.scored(text) == "answered") == (served in (markups.RIGHT, "no_think: A alone"))


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "thinking", "reasoning_details"])
def test_a_server_that_splits_gives_the_same_as_one_that_does_not(field: str) -> None:
    assert markups.served("", field) == markups.RIGHT
