"""Final answers: which one a reply gives, and whether it is the reference."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sft.scoring.answers.letters import chosen_letter
from sft.scoring.answers.mathematics import equal, final_answer

FIXTURES = Path("tests/fixtures")
LETTERS = [json.loads(line) for line in (FIXTURES / "letter_phrasings.jsonl").read_text().splitlines()]
MATH = [json.loads(line) for line in (FIXTURES / "math_answers.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("case", LETTERS, ids=lambda case: case["answer"][:40])
def test_the_letter_of_a_choice_is_the_one_that_is_committed_to(case: dict[str, str]) -> None:
    assert chosen_letter(case["answer"]) == case["letter"]


@pytest.mark.parametrize("case", MATH, ids=lambda case: f"{case['reference']} | {case['answer'][:40]}")
def test_an_answer_is_right_only_if_it_means_the_reference(case: dict[str, Any]) -> None:
    found = final_answer(case["answer"])
    assert found and equal(found, case["reference"]) is case["equal"]


def test_no_wrong_answer_is_credited_if_the_last_digit_of_any_reference_of_math500_changes(
    shared_data: Path,
) -> None:
    lines = (shared_data / "math500.jsonl").read_text(encoding="utf-8").splitlines()
    credited = []
    for gold in {json.loads(line)["answer"] for line in lines}:
        if digits := list(re.finditer(r"\d", gold)):
            place = digits[-1].start()
            changed = f"{gold[:place]}{(int(gold[place]) + 1) % 10}{gold[place + 1 :]}"
            for right, wrong in ((gold, changed), (changed, gold)):
                found = final_answer(f"So the answer is $\\boxed{{{wrong}}}$.")
                credited += [(right, wrong)] if found and equal(found, right) else []
    assert credited == []


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("So it is \\boxed{12}. Not 13.", "12"),
        ("\\boxed{\\frac{1}{2}}", "0.5"),
        ("There are 3 boxes with 5 eggs, so 15 eggs.", "15"),
        ("It costs 1,250.50 in all.", "1250.5"),
        ("\\boxed{x+1}", "1 + x"),
        ("$\\boxed{10\\,080}$", "10080"),
        ("\\boxed{\\dfrac{3}{4}}", "3/4"),
        ("\\boxed{\\sqrt{12}}", "2\\sqrt{3}"),
    ],
)
def test_an_answer_that_means_the_same_is_right(answer: str, reference: str) -> None:
    found = final_answer(answer)
    assert found and equal(found, reference) is True


@pytest.mark.parametrize(
    ("answer", "reference"), [("\\boxed{14}", "15"), ("\\boxed{-3}", "3"), ("\\boxed{x}", "y")]
)
def test_another_answer_is_wrong(answer: str, reference: str) -> None:
    found = final_answer(answer)
    assert found and equal(found, reference) is False


@pytest.mark.parametrize("answer", ["I cannot say.", "\\boxed{unclosed", "", "The answer isn't 14."])
def test_no_answer_is_not_a_wrong_one(answer: str) -> None:
    assert final_answer(answer) is None


def test_an_answer_that_would_take_for_ever_is_unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    from sft.scoring.answers import mathematics

    monkeypatch.setattr(mathematics, "SECONDS", 1)
    found = final_answer("\\boxed{9^{9^{9^{9^9}}}}")
    assert found is None or equal(found, "3") is None


def test_every_gold_answer_of_math500_is_accepted_and_every_other_one_rejected(shared_data: Path) -> None:
    lines = (shared_data / "math500.jsonl").read_text(encoding="utf-8").splitlines()
    gold = [json.loads(line)["answer"] for line in lines]
    parsed = [final_answer(f"So the answer is $\\boxed{{{answer}}}$.") for answer in gold]
    assert all(found and equal(found, answer) for found, answer in zip(parsed, gold, strict=True))
    others = [*range(1, len(gold)), 0]
    accepted = [
        (answer, gold[other])
        for answer, other in zip(gold, others, strict=True)
        if answer != gold[other] and (said := parsed[other]) and equal(said, answer)
    ]
    assert accepted == [("5", "x=5")]  # an assignment stands for its value
