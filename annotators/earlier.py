"""What judges, guards and people are shown of a prompt that is a conversation: its earlier turns, bounded, and the last question."""

from functools import cache
from importlib.resources import files

from annotators.filling import fill
from schemas.conversation import Turns, shown

LIMIT = 6000
"""Code points of earlier turns: a judge's context is short, and the last ones matter most."""


def with_earlier_turns(prompt: str, turns: Turns | None, limit: int = LIMIT) -> str:
    """A prompt with its earlier turns before it; the prompt alone where there are none."""
    earlier = shown(turns, limit)
    return fill(_frame(), turns=earlier, prompt=prompt) if earlier else prompt


@cache
def _frame() -> str:
    return (files("annotators") / "earlier.md").read_text(encoding="utf-8").strip()
