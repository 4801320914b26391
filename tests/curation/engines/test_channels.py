"""gpt-oss's channels become reasoning and answer like think tags do."""

import pytest

from curation.engines import take_apart

ANALYSIS, FINAL = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
BETWEEN = "<|end|><|start|>assistant"


@pytest.mark.parametrize(
    ("text", "finish", "parts"),
    [
        (ANALYSIS + "Two." + BETWEEN + FINAL + "It is 4.", "stop", ("Two.", "It is 4.", "closed")),
        (FINAL + "It is 4.", "stop", ("", "It is 4.", "no_think")),
        (ANALYSIS + "Two and", "stop", ("Two and", "", "unclosed")),
        (ANALYSIS + "Two." + BETWEEN + FINAL + "It", "length", ("Two.", "It", "truncated")),
        (ANALYSIS + "Two." + BETWEEN + FINAL, "stop", ("Two.", "", "empty_answer")),
    ],
)  # fmt: skip
def test_a_turn_in_channels_is_taken_apart(text: str, finish: str, parts: tuple[str, str, str]) -> None:
    assert take_apart(text, finish, 1, len)[:3] == parts  # type: ignore[arg-type]


def test_several_messages_before_the_last_are_not_one_chain_of_thought() -> None:
    turn = ANALYSIS + "One." + BETWEEN + "<|channel|>commentary<|message|>Hm." + BETWEEN + FINAL + "It is 4."
    assert take_apart(turn, "stop", 1, len)[1:3] == ("", "several")


def test_an_answer_that_speaks_of_channels_stays_as_it_is() -> None:
    text = "<think>\nHm.\n</think>\n\nIt writes <|channel|>final<|message|> first."
    assert take_apart(text, "stop", 1, len).answer == "It writes <|channel|>final<|message|> first."
