"""Where a response is cut, and what is not cut but set aside."""

import json
import random
from pathlib import Path

import pytest

from schemas.response import LOOP_PERIOD, Fault, Split, loop_length, separate, split


def reason(found: Split | Fault) -> str | None:
    return found.reason if isinstance(found, Fault) else None


def prose(words: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    bank = [
        "the",
        "a",
        "user",
        "asks",
        "whether",
        "paint",
        "dries",
        "faster",
        "in",
        "sun",
        "or",
        "shade",
        "so",
        "let",
        "me",
        "check",
        "each",
        "case",
        "again",
        "wait",
    ]
    return " ".join(rng.choices(bank, k=words))


def test_splits_a_whole_think_block() -> None:
    assert split("<think>\nLet me see.\n</think>\n\nYes.") == Split("Let me see.", "Yes.")


def test_accepts_text_whose_opening_tag_the_template_prefilled() -> None:
    assert split("Let me see.\n</think>\n\nYes.") == Split("Let me see.", "Yes.")


def test_strips_only_line_breaks_around_the_tags() -> None:
    assert split("\n<think>\r\n  a\n\nb \n</think>\n  c\n") == Split("  a\n\nb ", "  c")


@pytest.mark.parametrize(
    "block", ["<think></think>", "<think>\n\n</think>", "<think> \n </think>", "</think>"]
)
def test_an_empty_reasoning_is_empty_text(block: str) -> None:
    assert split(block + "\n\nI'd rather not.") == Split("", "I'd rather not.")


def test_reads_the_open_thoughts_markers() -> None:
    text = "<|begin_of_thought|>\n\nTwo and two.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nFour.\n\n<|end_of_solution|>"
    assert split(text) == Split("Two and two.", "Four.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Just an answer.", "no_think"),
        ("", "empty_answer"),
        ("<think>\nand on and on", "unclosed"),
        ("<think>a</think>b<think>c</think>d", "several"),
        ("<think>a<think>b</think>c", "several"),
        ("a</think>b</think>c", "several"),
        ("<think>a</think>", "empty_answer"),
        ("<think>a</think>\n \n", "empty_answer"),
        ("Sure! <think>a</think>b", "text_before_think"),
    ],
)
def test_names_the_fault_of_a_text_that_cannot_be_split(text: str, expected: str) -> None:
    assert reason(split(text)) == expected


def test_a_quoted_tag_in_a_code_block_counts_like_any_other() -> None:
    assert reason(split("<think>a</think>Write `</think>` at the end.")) == "several"


def test_a_text_that_hit_the_token_limit_is_truncated_even_if_its_tags_are_whole() -> None:
    assert reason(split("<think>a</think>and th", "length")) == "truncated"
    assert reason(separate("a", "and th", "length")) == "truncated"
    assert split("<think>a</think>b", "stop") == Split("a", "b")


def test_separate_fields_get_the_same_checks() -> None:
    assert separate("a", "b") == Split("a", "b")
    assert separate(" \n", "b") == Split("", "b")
    assert reason(separate("a", " ")) == "empty_answer"
    assert reason(separate("<think>a", "b")) == "several"
    assert reason(separate("a", "b</think>")) == "several"


@pytest.mark.parametrize("unit", ["ha", "Wait, let me check this again. ", prose(100)])
@pytest.mark.parametrize("lead", [0, 40])
def test_finds_a_loop_of_any_period_behind_an_ordinary_start(unit: str, lead: int) -> None:
    assert len(unit) < LOOP_PERIOD
    text = prose(lead) + unit * max(8, 600 // len(unit))
    assert loop_length(text) == len(unit)
    assert reason(separate(text, "Done.")) == "loop"
    assert reason(separate("Fine.", text)) == "loop"


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 90), (45, 45), (90, 0), (180, 0)])
def test_finds_a_loop_that_fills_half_the_text_or_ends_it(before: int, after: int) -> None:
    text = prose(before) + "again and again, " * 30 + prose(after, 1)
    assert loop_length(text) == len("again and again, ")


@pytest.mark.parametrize(
    "text",
    [
        "no " * 60,
        "-" * 200 + prose(200),
        prose(5000),
        "\n".join(f"Step {n}: divide {n * 7} by 7 and write down {n}." for n in range(200)),
        prose(300) + "\n| --- | --- | --- | --- |" * 3 + prose(300),
    ],
    ids=["short", "ruler", "small vocabulary", "numbered steps", "table"],
)
def test_ordinary_repetition_is_no_loop(text: str) -> None:
    assert loop_length(text) == 0


def test_real_reasoning_splits_without_a_single_fault(shared_data: Path) -> None:
    rows = json.loads((shared_data / "star1.json").read_bytes())
    assert len(rows) == 840
    assert [row["id"] for row in rows if isinstance(split(row["response"]), Fault)] == []


def test_splitting_and_joining_again_gives_the_text_back() -> None:
    for seed in range(20):
        reasoning, answer = prose(seed, seed), prose(seed + 1, seed + 1)
        assert split(f"<think>\n{reasoning}\n</think>\n\n{answer}") == Split(reasoning, answer)
