"""What the measures and words of the pages mean, in plain English (meanings.yaml), so that every number links to its meaning."""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from sft.scoring.measures import BY_TITLE, MEASURES


class Meaning(NamedTuple):
    """What a measure or a word means."""

    anchor: str
    """Its place on the page."""
    text: str


def meanings(titles: Iterable[str]) -> dict[str, Meaning]:
    """What some measures mean, by title; those of a lab's own codebook are explained there and left out here.

    Args:
        titles: of measures, as they stand in tables.
    """
    known, wanted = _texts()["measures"], list(titles)
    return {
        measure.title: Meaning(f"means-{name}", known[name])
        for name, measure in MEASURES.items()
        if measure.title in wanted and BY_TITLE[measure.title] is measure
    }


def words() -> dict[str, str]:
    """What the words of the tables mean."""
    return _texts()["words"]


@cache
def _texts() -> dict[str, dict[str, str]]:
    found: Any = yaml.safe_load((files("sft.comparison") / "meanings.yaml").read_text("utf-8"))
    return dict(found)
