"""A property: whatever structure a file may declare, what is printed is parsed to the same, and parsed is printed to the same."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from annotators.structure import Structure
from annotators.structure.grammar import parse, printed

WORD = st.text(st.characters(exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=6)
MARK = st.lists(WORD, min_size=1, max_size=3).map(lambda words: " ".join(words) + ":")
BODY = st.text(st.sampled_from("abc :*-#1.\n\t\r\u2028é😀{}[]\"'"), min_size=1, max_size=60)


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    marks = draw(st.lists(MARK, min_size=1, max_size=5, unique_by=str.casefold))
    parts = [{"name": f"p{n}", "mark": mark, "ask": "a", "body": "b"} for n, mark in enumerate(marks)]
    try:
        return Structure.model_validate({"name": "x", "version": 1, "description": "d", "parts": parts})
    except ValidationError:
        assume(False)  # a mark that no file may have
        raise


@given(structures(), st.data())
def test_printing_and_parsing_are_inverse(structure: Structure, data: st.DataObject) -> None:
    bodies = {part.name: data.draw(BODY).strip() for part in structure.parts}
    assume(all(bodies.values()))
    # a body in which a line begins with a mark is no body of this structure
    assume(not any(parse(structure, body).parts for body in bodies.values()))
    text = printed(structure, bodies)
    read = parse(structure, text)
    assert {name: one.text for name, one in read.parts.items()} == bodies
    assert (read.faults, read.before) == ({}, "")
    assert printed(structure, {name: one.text for name, one in read.parts.items()}) == text


@pytest.mark.parametrize("mark", [" :", "**:", "- :", "1. :", ":"])
def test_a_mark_without_a_letter_is_refused(mark: str) -> None:
    part = {"name": "p", "mark": mark, "ask": "a", "body": "b"}
    with pytest.raises(ValidationError):
        Structure.model_validate({"name": "x", "version": 1, "description": "d", "parts": [part]})
