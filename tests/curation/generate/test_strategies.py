"""Strategies: shipped ones, and files of one's own."""

from pathlib import Path

import pytest

from curation.generate.strategies import NAMES, choose, listed, read, shipped, source, thinking
from schemas.errors import RecipeError

OWN = "---\nversion: 3\nsummary: Mine.\ninstruction: before_query\nmodel: reasoning\n---\nBe kind.\n"


def test_six_strategies_are_shipped_and_each_says_what_it_is_for() -> None:
    assert [entry["name"] for entry in listed()] == list(NAMES)
    assert {shipped(name).header.model for name in NAMES} == {"reasoning", "ordinary", "none"}


def test_the_default_strategy_sends_the_bare_query() -> None:
    assert shipped("default").messages("Q?") == [{"role": "user", "content": "Q?"}]


@pytest.mark.parametrize("name", ["realsafe", "improved"])
def test_instructions_for_reasoning_models_stand_before_the_query(name: str) -> None:
    (message,) = shipped(name).messages("Q?")
    assert message["content"] == f"{shipped(name).text}\n\nQ?"
    assert shipped(name).system is None


@pytest.mark.parametrize("name", ["short", "template"])
def test_instructions_for_ordinary_models_are_system_messages(name: str) -> None:
    system, user = shipped(name).messages("Q?")
    assert (system["role"], user["content"]) == ("system", "Q?")
    assert "<think>" in system["content"] and "\\boxed{}" in system["content"]


def test_the_template_strategy_names_eight_categories_and_shows_one_example() -> None:
    text = shipped("template").text
    assert all(f"{number}. " in text for number in range(1, 9))
    assert text.count("</think>") == 2  # one in the instruction, one in the example


def test_nocot_takes_harmful_prompts_only() -> None:
    assert shipped("nocot").takes("harmful")
    assert not shipped("nocot").takes("benign")
    assert not shipped("nocot").takes(None)


def test_a_printed_strategy_is_a_strategy_file(tmp_path: Path) -> None:
    file = tmp_path / "improved.md"
    file.write_text(source("improved"), encoding="utf-8")
    assert read(file) == shipped("improved")


def test_a_changed_text_is_another_version_though_its_number_stayed(tmp_path: Path) -> None:
    file = tmp_path / "mine.md"
    file.write_text(OWN, encoding="utf-8")
    before = read(file)
    file.write_text(OWN.replace("kind", "stern"), encoding="utf-8")
    assert before.version != read(file).version
    assert before.version.startswith("3.")


def test_an_own_instruction_may_say_where_the_query_goes(tmp_path: Path) -> None:
    file = tmp_path / "mine.md"
    file.write_text(OWN.replace("Be kind.", "Be kind.\n<q>{query}</q>\nThink."), encoding="utf-8")
    assert read(file).messages("Q?")[0]["content"] == "Be kind.\n<q>Q?</q>\nThink."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Be kind.", "no front matter"),
        (OWN.replace("version: 3\n", ""), "version"),
        (OWN.replace("before_query", "behind"), "mine.md:4: instruction"),
        (OWN.replace("summary", "sumary"), "sumary"),
        (OWN.replace("Be kind.", ""), "a text below the front matter"),
        (OWN.replace("before_query", "none"), "a text below the front matter"),
    ],
)
def test_a_wrong_strategy_file_is_named_with_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "mine.md"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=fault):
        read(file)


def test_every_unknown_and_doubled_strategy_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        choose(["default", "default", "nope"], [tmp_path / "absent.md"])
    assert all(part in str(caught.value) for part in ("'nope'", "'default' is given twice", "absent.md"))


def test_thinking_is_switched_off_by_an_empty_closed_block() -> None:
    assert thinking("zero") == "<think>\n\n</think>\n\n"
