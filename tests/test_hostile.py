"""Everything that reads what others wrote bears nonsense (`python -m benchmarks hostile` feeds fifty thousand inputs)."""

import json
import time
from pathlib import Path

import pytest

from annotators.rules import annotator
from benchmarks import hostile
from curation.ingest.stage import IngestRecipe, run
from curation.mix.recipe import MixRecipe
from curation.recipe import parse_recipe
from schemas.errors import RecipeError
from schemas.response import Fault, Split, split

NAMES = [
    "ingest",
    "Parquet and Arrow",
    "trace splitter",
    "recipe",
    "judge reply",
    "guard reply",
    "rules",
    "chat template",
    "mix SQL",
]


@pytest.mark.parametrize("name", NAMES)
def test_nonsense_ends_in_a_result_or_a_named_error(name: str, tmp_path: Path) -> None:
    assert hostile.attack(hostile.targets(tmp_path)[name], 150).inputs >= 150


def test_the_attack_would_notice_a_crash_and_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(value: str) -> None:
        if "\0" in value:
            raise KeyError(value)

    with pytest.raises(KeyError):
        hostile.attack(hostile.HostileTarget(hostile.TEXT, crash), 500)
    monkeypatch.setattr(hostile, "SECONDS", 0.01)
    with pytest.raises(AssertionError, match="took"):
        hostile.attack(hostile.HostileTarget(hostile.TEXT, lambda value: sum(range(3_000_000))), 3)


def test_a_line_of_a_hundred_megabytes_is_set_aside_and_the_next_row_goes_on(tmp_path: Path) -> None:
    good = json.dumps({"prompt": "Why?", "reasoning": "Because.", "answer": "So."}).encode()
    with (tmp_path / "rows.jsonl").open("wb") as file:
        file.write(
            good + b"\n" + b'{"prompt": "' + b"x" * 100_000_000 + b'"}\n' + good.replace(b"Why", b"How")
        )
    counts = run(tmp_path / "corpus", [str(tmp_path / "rows.jsonl")], IngestRecipe()).counts
    assert counts.kept == 2 and counts.quarantined == {"too_long": 1}


@pytest.mark.parametrize("text", [b"[" * 1_000_000, b'{"a":' * 1_000_000])
def test_a_million_brackets_are_a_bad_row_or_a_bad_recipe(text: bytes, tmp_path: Path) -> None:
    good = json.dumps({"prompt": "Why?", "reasoning": "Because.", "answer": "So."}).encode()
    (tmp_path / "rows.jsonl").write_bytes(good + b"\n" + text)
    counts = run(tmp_path / "corpus", [str(tmp_path / "rows.jsonl")], IngestRecipe()).counts
    assert counts.kept == 1 and counts.quarantined == {"malformed_json": 1}
    with pytest.raises(RecipeError, match="nested more than"):
        parse_recipe(tmp_path / "r.yaml", text, MixRecipe)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("</think>Hm<think>Yes", None),
        ("<think><think>Hm</think>Yes", None),  # a template may open the tag that the model opens too
        ("<think>Hm</think>Yes</think>No", "several"),
        ("<think>Hm</think>```\n</think>\n```", "several"),
        ("<think>```<think>```</think>Yes", "several"),
        ("before<think>Hm</think>Yes", "text_before_think"),
        ("<think>Hm", "unclosed"),
        ("<think>Hm</think>\u200b\u202e", None),
    ],
)
def test_tags_in_odd_places_never_move_reasoning_into_the_answer(text: str, reason: str | None) -> None:
    found = split(text)
    if reason:
        assert isinstance(found, Fault) and found.reason == reason
    elif isinstance(found, Split):
        assert "Hm" not in found.answer
    else:
        assert found.reason


@pytest.mark.parametrize(
    "unit",
    [
        "I can't ",
        "but maybe I could ",
        "a",
        " \n",
        "\u0301",
        "However, ",
        "((((",
        "it's for a story, ",
        "1. step ",
    ],
)
def test_the_rules_take_time_in_proportion_to_the_text(unit: str) -> None:
    trace = hostile.trace(unit * (300_000 // len(unit)))
    start = time.process_time()
    list(annotator().annotate([trace]))
    assert time.process_time() - start < hostile.SECONDS
