"""How an engine's text becomes a reply."""

import pytest

from curation.engines.base import take_apart


@pytest.mark.parametrize("text", ["<think>\na\0b\n</think>\n\nc", "<think>\na\n</think>\n\nb\0c"])
def test_a_nul_character_in_a_reply_is_a_fault_and_never_an_answer(text: str) -> None:
    reply = take_apart(text, "stop", 1, len)
    assert reply.think_state == "nul_character"
