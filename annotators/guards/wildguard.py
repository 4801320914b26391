"""WildGuard (Ai2): a completion prompt; replies with three yes/no lines on request, refusal and response."""

import re
from collections.abc import Sequence

from annotators.guards.base import Finding, Guard, as_text

LINE = re.compile(
    r"^\s*(Response refusal|Harmful response):\s*(yes|no|N/A)\s*$", re.MULTILINE | re.IGNORECASE
)
MEANS = {"yes": True, "no": False}


def parse(replies: Sequence[str]) -> Finding | None:
    """The line on the response is required; "N/A" gives null."""
    said = {name.lower(): value.lower() for name, value in LINE.findall(replies[0])}
    if "harmful response" not in said:
        return None
    return Finding(MEANS.get(said["harmful response"]), refusal=MEANS.get(said.get("response refusal", "")))


GUARD = Guard(
    "wildguard", ("unsafe", "answer_refusal"), ("reasoning", "answer"), as_text, parse, "wildguard.txt"
)
