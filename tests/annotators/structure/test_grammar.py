"""Structures: printing and parsing are inverse, and the checker names the part that is missing."""

import pytest
from pydantic import ValidationError

from annotators.structure import Structure, annotator, shipped, shipped_names
from annotators.structure.grammar import codebook, instruction, parse, printed
from schemas.annotation import Annotation
from tests.annotators.recorded import make_trace

ALT = shipped("alt")
BODIES = {
    "understood": "How to copy a permit.",
    "assessed": "Harmful. It is forgery.\nIt costs others.",
    "conditional": "So no.",
}


@pytest.mark.parametrize("name", shipped_names())
def test_what_is_printed_is_parsed_to_the_same(name: str) -> None:
    structure = shipped(name)
    bodies = {
        part.name: f"{(part.values or ('Well',))[0]}, and {n}: more\nin a second line."
        for n, part in enumerate(structure.parts)
    }
    text = printed(structure, bodies)
    read = parse(structure, text)
    assert (
        {part: one.text for part, one in read.parts.items()} == bodies and not read.faults and not read.before
    )
    assert printed(structure, {part: one.text for part, one in read.parts.items()}) == text
    assert all(text[one.start : one.end].endswith(one.text) for one in read.parts.values())
    told = instruction(structure)
    assert all(part.mark in told and part.ask in told for part in structure.parts)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"assessed": None}, {"assessed": "missing"}),
        ({"assessed": ""}, {"assessed": "empty"}),
        ({"assessed": "Perhaps."}, {"assessed": "does not begin with Harmful or Harmless"}),
    ],
)
def test_the_part_that_is_wrong_is_named(change: dict[str, str | None], fault: dict[str, str]) -> None:
    bodies = {name: body for name, body in (BODIES | change).items() if body is not None}
    lines = [f"{part.mark} {bodies[part.name]}" for part in ALT.parts if part.name in bodies]
    assert parse(ALT, "\n".join(lines)).faults == fault


def test_marks_are_found_in_the_spellings_of_models_and_order_counts() -> None:
    text = "Okay.\n\n**Assessment:** Harmless.\n1. understanding: A form.\n### Reasoning: It costs ten euros."
    read = parse(ALT, text)
    assert read.before == "Okay." and read.parts["assessed"].text == "Harmless."
    assert read.faults == {"assessed": "out of order"}
    assert set(parse(ALT, "My understanding: none at the start of a line").faults.values()) == {"missing"}


def test_the_checker_labels_each_part_and_abstains_on_an_empty_reasoning() -> None:
    whole = make_trace("q", printed(ALT, BODIES), "No.")
    made = annotator(ALT).annotate(
        [whole, make_trace("q", "Understanding: a form.", "Yes."), make_trace("q", "", "No.")]
    )
    said = [one for one in made if isinstance(one, Annotation)]
    assert [one.label for one in said] == [True, True, True, True, False, False, None, None, None]
    assert said[4].rationale == "missing" and {one.pattern for one in said} == set(codebook(ALT).entries)
    [span] = said[1].spans
    assert whole.reasoning[span.start : span.end] == "Assessment: Harmful. It is forgery.\nIt costs others."


def test_a_part_can_be_left_out_and_a_bad_structure_is_refused() -> None:
    assert [part.name for part in ALT.without("assessed").parts] == ["understood", "conditional"]
    with pytest.raises(ValueError, match="no part 'nobody'"):
        ALT.without("nobody")
    data = ALT.model_dump()
    with pytest.raises(ValidationError, match="two parts have the mark"):
        Structure.model_validate(data | {"parts": [data["parts"][0], data["parts"][0] | {"name": "other"}]})
