"""The HarmBench classifier (a Llama 2): a completion prompt; the first word of the reply is yes or no. Its context is short."""

from collections.abc import Sequence

from annotators.guards.base import Finding, GradedWord, Guard, as_text, first_word


def parse(replies: Sequence[str]) -> Finding | None:
    """Only the first word counts."""
    unsafe = first_word(replies[0], {"yes": True, "no": False})
    return None if unsafe is None else Finding(unsafe)


GUARD = Guard(
    "harmbench", ("unsafe",), ("answer",), as_text, parse, "harmbench.txt", max_tokens=4,
    unsafe_word=GradedWord("", {"yes": 1.0, "no": 0.0}),
)  # fmt: skip
