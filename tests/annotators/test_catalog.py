import pytest

from annotators import catalog
from schemas.errors import RecipeError


def test_rules_are_known_by_name() -> None:
    assert catalog.get("rules").name == "rules@2"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"unknown annotator 'ruels'; available: .*rules"):
        catalog.get("ruels")
