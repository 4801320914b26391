"""Finds the rows inside a file that is one JSON object, such as `{"data": [...]}` or a log with its samples."""

import re
from typing import NamedTuple

from curation.ingest.containers.json_array import TOKEN

ROW_KEYS = (
    "data", "rows", "samples", "train", "examples", "items", "records", "instances", "results", "evaluations", "prompts", "questions",
    "jailbreaks", "test", "validation",
)  # fmt: skip
"""Keys that usually hold the rows, the likeliest first; else the only list of objects does."""
TURNS = ("messages", "conversations", "turns", "contents", "tools")
"""Lists of objects that belong to one row."""
LIST_OF_OBJECTS = re.compile(rb"\s*:\s*\[\s*\{")


class FoundRows(NamedTuple):
    """Where the rows are."""

    key: str
    offset: int
    """Byte of the list's opening bracket."""


def find_rows(head: bytes) -> FoundRows | None:
    """The list of objects that holds the rows, among the object's own keys, or null.

    Args:
        head: the file's first bytes; keys that begin behind them are not found.
    """
    found = _lists(head)
    for key in ROW_KEYS:
        if key in found:
            return FoundRows(key, found[key])
    return FoundRows(*next(iter(found.items()))) if len(found) == 1 else None


def _lists(head: bytes) -> dict[str, int]:
    """Key -> offset of every list of objects at the top level."""
    found: dict[str, int] = {}
    depth = 0
    for token in TOKEN.finditer(head):
        mark = token[0]
        if mark == b'"':  # a string that goes on behind the head
            break
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        elif depth == 1 and mark != b"," and (following := LIST_OF_OBJECTS.match(head, token.end())):
            name = mark[1:-1].decode("utf-8", "replace")
            if name in TURNS:
                continue
            found.setdefault(name, head.index(b"[", token.end(), following.end()))
    return found


def opens_over_lines(first: bytes) -> bool:
    """Whether a file's first line begins an object that goes on in the next lines; a broken row does not look so."""
    line = first.strip()
    return line in (b"{", b"{}") or (line.startswith(b"{") and line.endswith((b"[", b"{", b",")))
