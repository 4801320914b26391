"""The HarmBench classifier (a Llama 2): a completion prompt; the first word of the reply is yes or no. Its context is short."""

from collections.abc import Sequence

from annotators.guards.base import Finding, Guard, as_text


def parse(replies: Sequence[str]) -> Finding | None:
    """Only the first word counts."""
    word = replies[0].strip().split(maxsplit=1)[0].strip(".,:*'\"").lower() if replies[0].strip() else ""
    return {"yes": Finding(True), "no": Finding(False)}.get(word)


GUARD = Guard("harmbench", ("unsafe",), ("answer",), as_text, parse, "harmbench.txt", max_tokens=4)
