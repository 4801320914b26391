"""Redaction of mixes: full text, masked harmful prompts, or ids only.

The surprise: reasoning quotes its prompt, so masking only the prompt's field would hide little. `masked` also masks those quotes
(of five words or more); paraphrases remain.
"""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from curation.masking import BLOT, mask
from schemas.choices import Tier

if TYPE_CHECKING:
    import pyarrow as pa

TIERS: tuple[Tier, ...] = get_args(Tier)
TEXTS = ("prompt", "reasoning", "answer", "reference_answer", "turns", "tools")
HARMLESS = ("benign", "math", "code")
"""Kinds whose prompts are not masked; prompts of unknown kind are."""
QUOTE = 5
"""Minimum length of a quote in words."""
_WORD = re.compile(r"\w+")


def redacted(rows: "pa.Table", tier: Tier) -> "pa.Table":
    """The redacted rows of a mix; `ids` has no text columns.

    Ids are hashes of the content, so anyone who has a text can check whether it is in the mix.
    """
    import pyarrow as pa

    if tier == "full":
        return rows
    if tier == "ids":
        return rows.drop_columns([name for name in rows.column_names if name in TEXTS])
    return pa.Table.from_pylist([masked(row) for row in rows.to_pylist()], rows.schema)


def masked(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its prompt and all quotes from it masked, in every turn; rows of harmless kinds are unchanged."""
    if row["kind"] in HARMLESS:
        return row
    turns = row.get("turns") or []
    asked = [turn["content"] for turn in turns if turn["role"] != "assistant"]
    quotes = [_ngrams(text) for text in (row["prompt"], *asked)]
    hidden: dict[str, Any] = {
        "prompt": mask(row["prompt"]),
        **{name: _blotted(row[name], quotes) for name in ("reasoning", "answer")},
    }
    if turns:
        hidden["turns"] = [_masked_turn(turn, quotes) for turn in turns]
    return row | hidden


def _masked_turn(turn: dict[str, Any], quotes: Sequence[frozenset[tuple[str, ...]]]) -> dict[str, Any]:
    if turn["role"] != "assistant":
        return turn | {"content": mask(turn["content"])}
    texts = {name: _blotted(turn[name], quotes) for name in ("content", "reasoning") if turn[name]}
    calls = [{"type": "function", "function": {"name": "masked", "arguments": {}}}]
    return turn | texts | ({"tool_calls": json.dumps(calls)} if turn["tool_calls"] else {})


def _blotted(text: str, quotes: Sequence[frozenset[tuple[str, ...]]]) -> str:
    for of_text in quotes:
        text = _blot(text, of_text)
    return text


def _ngrams(text: str) -> frozenset[tuple[str, ...]]:
    words = [word[0].lower() for word in _WORD.finditer(text)]
    length = min(QUOTE, len(words))
    return (
        frozenset(tuple(words[n : n + length]) for n in range(len(words) - length + 1))
        if words
        else frozenset()
    )


def _blot(text: str, quotes: frozenset[tuple[str, ...]]) -> str:
    if not quotes:
        return text
    length = len(next(iter(quotes)))
    matches = list(_WORD.finditer(text))
    words = [word[0].lower() for word in matches]
    hit = {
        n + m
        for n in range(len(words) - length + 1)
        if tuple(words[n : n + length]) in quotes
        for m in range(length)
    }
    pieces, at = [], 0
    for n in sorted(hit):
        start, end = matches[n].span()
        pieces += [text[at:start], BLOT * (end - start)]
        at = end
    return "".join([*pieces, text[at:]])
