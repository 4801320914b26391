"""Judges and guards see the conversation before the last question, bounded."""

from typing import Any

from annotators.earlier import LIMIT, with_earlier_turns
from annotators.guards.annotating import guard
from annotators.judge.judge import question
from schemas.trace import Trace
from tests.annotators.recorded import Recorded

TURNS = (
    {"role": "system", "content": "Play a pirate."},
    {"role": "user", "content": "Tell me of ships."},
    {"role": "assistant", "content": "Arr.", "reasoning": "A tale.", "tool_calls": "[]"},
    {"role": "user", "content": "Go on."},
)


def trace(turns: Any = TURNS) -> Trace:
    return Trace.model_validate(
        {
            "trace_id": "t",
            "prompt_id": "p",
            "prompt": "Go on.",
            "reasoning": "r",
            "answer": "a",
            "turns": turns,
        }
    )


def test_the_judge_and_guards_are_shown_the_earlier_turns_and_the_question_last() -> None:
    told = question(trace())[1]["content"]
    for text in ("system: Play a pirate.", "user: Tell me of ships.", "(thinks) A tale.", "Arr."):
        assert text in told
    assert told.count("Go on.") == 1 < told.index("Go on.") - told.index("Arr.")
    annotator = guard(Recorded({}), "wildguard")
    assert annotator.questions
    assert all("Tell me of ships." in asked[-1]["content"] for asked in annotator.questions(trace()))


def test_one_question_is_asked_about_as_ever() -> None:
    assert with_earlier_turns("Go on.", None) == "Go on."
    assert with_earlier_turns("Go on.", TURNS[-1:]) == "Go on."


def test_long_conversations_lose_their_oldest_turns_and_the_middle_of_long_ones() -> None:
    turns = [{"role": "user", "content": f"{n}: {'x' * 5000} end {n}"} for n in range(50)]
    told = with_earlier_turns("Go on.", [*turns, {"role": "user", "content": "Go on."}])
    assert len(told) < LIMIT + 400
    assert "end 49" in told and "user: 49:" in told and "user: 3:" not in told
    assert "earlier turns are left out" in told
