"""How a reply ended: every reply is in exactly one class, and only "answered" ones have an answer that can be judged."""

from collections.abc import Sequence
from typing import Literal, get_args

from schemas.response import CLOSE

Ending = Literal[
    "answered", "truncated in the reasoning", "truncated in the answer", "empty", "blocked", "failed"
]
"""blocked: by the server's filter; failed: malformed, so that reasoning and answer cannot be told apart."""
ENDINGS: tuple[Ending, ...] = get_args(Ending)
ANSWERED = ("closed", "no_think")
"""Think states of replies that have an answer."""
_BLOCKED = ("blocked", "content_filter")


def ending(think_state: str, finish_reason: str | None, reasoning: str, answer: str) -> Ending:
    """The class of a reply.

    Args:
        think_state: "closed", or why the text could not be split into reasoning and answer.
        finish_reason: why generation ended.
        reasoning: the whole text if it could not be split.
        answer: empty if there is none.
    """
    if think_state in _BLOCKED or finish_reason in _BLOCKED:
        return "blocked"
    if think_state == "truncated" or finish_reason == "length":
        return (
            "truncated in the answer"
            if CLOSE in reasoning or answer.strip()
            else "truncated in the reasoning"
        )
    if think_state in ANSWERED:
        return "answered" if answer.strip() else "empty"
    by_state: dict[str, Ending] = {"unclosed": "truncated in the reasoning", "empty_answer": "empty"}
    return by_state.get(think_state, "failed")


def counted(endings: Sequence[Ending]) -> dict[str, int]:
    """The number of replies in each class that occurs."""
    return {name: endings.count(name) for name in ENDINGS if name in endings}
