"""Codebooks and their entries: values, what is refused, and the shipped files."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.codebooks import Codebook, Pattern, shipped, shipped_names
from schemas.patterns import CODEBOOK, RISKY_PATTERNS
from tests.command_line import curate

LEVELS = Pattern(name="a_b", judged_on="answer", definition="d", levels=("none", "some", "all"))
RANGE = Pattern(name="a_b", judged_on="answer", definition="d", range=(-5, 5), present_from=3)
PLAIN = Pattern(name="a_b", judged_on="answer", definition="d")


@pytest.mark.parametrize(
    ("entry", "value", "label", "score"),
    [
        (LEVELS, "Some", True, 0.5), (LEVELS, 0, False, 0.0), (LEVELS, "2", True, 1.0), (LEVELS, 1.0, True, 0.5),
        (RANGE, -5, False, 0.0), (RANGE, 2.9, False, 0.79), (RANGE, 3, True, 0.8), (PLAIN, True, True, 1.0), (PLAIN, False, False, 0.0),
    ],
)  # fmt: skip
def test_values_become_labels_and_scores(entry: Pattern, value: object, label: bool, score: float) -> None:
    assert entry.measured(value) == (label, score)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["many", 3, -1, 0.5, True, 10**400, float("nan"), float("inf"), [1], None])
def test_a_value_that_the_entry_has_not_is_refused_with_those_it_has(value: object) -> None:
    with pytest.raises(ValueError, match="0 none, 1 some, 2 all"):
        LEVELS.measured(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        {"range": [0, float("inf")]}, {"range": [float("nan"), 1]}, {"range": [1, 1]}, {"levels": ["a"]}, {"levels": ["a", "a"]},
        {"levels": ["a", "b"], "range": [0, 1]}, {"present_from": 1}, {"levels": ["a", "b"], "present_from": 2},
        {"levels": ["a", "b"], "present_from": 0}, {"levels": ["a", "b", "c"], "present_from": 1.5}, {"scope": ["everything"]},
        {"field": "nose"},
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_judged_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Pattern.model_validate({"name": "a_b", "field": "answer", "definition": "d"} | bad)


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_codebooks_are_their_own_plain_data(name: str) -> None:
    book = shipped(name)
    assert Codebook.model_validate(book.plain) == book
    assert Codebook.model_validate(json.loads(json.dumps(book.plain))).codebook_id == book.codebook_id


def test_the_study_and_the_principles_are_whole() -> None:
    assert len(RISKY_PATTERNS) == 5 and len(CODEBOOK) == 16
    assert len(shipped("principles").entries) == 20 and len(shipped("structure").entries) == 3
    assert len(shipped("principles").combined["principles_broken"].of) == 20


def test_the_schema_for_editors_wants_no_name_of_an_entry(tmp_path: Path) -> None:
    schema = json.loads(curate("codebook", "schema", cwd=tmp_path).stdout)
    assert schema["$defs"]["Pattern"]["required"] == ["field", "definition"]
    assert "levels" in schema["$defs"]["Pattern"]["properties"]
