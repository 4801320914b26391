"""JSON in the replies of language models: between prose, in a code block, after a draft, or cut off."""

import json
import re
from collections.abc import Iterator
from typing import Any

DECODER = json.JSONDecoder(strict=False)  # some servers emit raw control characters


def last_object(reply: str) -> dict[str, Any] | None:
    """The last JSON object of a reply that is not part of another; null if there is none."""
    found, at = None, reply.find("{")
    while at >= 0:
        value, end = _decoded(reply, at) or (None, at + 1)
        if isinstance(value, dict):
            found = value
        at = reply.find("{", end)
    return found


def values_of(reply: str, name: str) -> Iterator[Any]:
    """Every JSON value that follows this name and a colon, in order; case and spaces of the name do not matter."""
    spelled = re.escape(name).replace("_", r"[_\s-]")
    for key in re.finditer(rf"\b{spelled}[\"'*`]*\s*:\s*", reply, re.IGNORECASE):
        if decoded := _decoded(reply, key.end()):
            yield decoded[0]


def _decoded(text: str, at: int) -> tuple[Any, int] | None:
    """The JSON value at an offset, and where it ends."""
    try:
        return DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
