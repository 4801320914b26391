"""Every measure has a meaning on the pages, and what links to it finds it."""

from importlib.resources import files

import yaml

from sft.comparison.glossary import meanings, words
from sft.scoring.measures import MEASURES


def test_every_measure_is_explained_and_nothing_else() -> None:
    told = yaml.safe_load((files("sft.comparison") / "meanings.yaml").read_text("utf-8"))
    assert list(told["measures"]) == list(MEASURES)
    assert words() == told["words"] and "coverage" in words()


def test_meanings_are_found_by_title_and_a_lab_entry_is_left_out() -> None:
    title = MEASURES["leak"].title
    found = meanings([title, "principle_privacy"])
    assert list(found) == [title]
    assert found[title].anchor == "means-leak" and found[title].text.startswith("Share of replies")
