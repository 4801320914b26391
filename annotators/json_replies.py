"""JSON in the replies of language models: between prose, in a code block, after a draft, or cut off."""

import json
import re
from collections.abc import Iterator
from typing import Any

SLIP = re.compile(
    r""" "(?:[^"\\]|\\.)*" | '((?:[^'\\]|\\.)*)' | //[^\n]* | \#[^\n]* | /\*.*?\*/ | ,(?=\s*[}\]]) | \b(?:True|False|None)\b """,
    re.DOTALL | re.VERBOSE,
)
"""What models write that is not JSON: single quotes, comments, a comma too many, Python's constants. Whole strings match, so that nothing in one does."""
CONSTANTS = {"True": "true", "False": "false", "None": "null"}
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
    """Every JSON value that follows this name and a colon, in order; case and spaces of the name do not matter.

    A name without quotation marks begins its line, and its value ends one, since text also says "name: false alarm". An object
    or list that cannot be read is null: what was said before it is not the last word.
    """
    spelled = re.escape(name).replace("_", r"[_\s-]")
    before = r"(?:\d|[^\w\"'\n])*"  # "1. name", "- **name"
    keys = rf"(?:[\"']{before}{spelled}[\s*]*[\"']|(?P<bare>^{before}{spelled}[*`]*))\s*:[\s*]*"
    for key in re.finditer(keys, reply, re.IGNORECASE | re.MULTILINE):
        begun = reply[key.end() : key.end() + 1] in ("{", "[")
        decoded = _decoded(reply, key.end()) or (_decoded(_mended(reply[key.end() :]), 0) if begun else None)
        if decoded is None and begun:
            yield None
        elif decoded and (begun or not key["bare"] or re.match(r"\W*$", reply[decoded[1] :], re.MULTILINE)):
            yield decoded[0]


def _mended(text: str) -> str:
    """A text that begins with an object or a list, with the usual slips as JSON; its length may change."""
    return SLIP.sub(_as_json, text)


def _as_json(slip: re.Match[str]) -> str:
    if slip[1] is not None:
        return '"' + slip[1].replace("\\'", "'").replace('"', '\\"') + '"'
    return slip[0] if slip[0].startswith('"') else CONSTANTS.get(slip[0], "")


def _decoded(text: str, at: int) -> tuple[Any, int] | None:
    """The JSON value at an offset, and where it ends."""
    try:
        return DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
