"""How much of a mix is given away: all of it, all but the prompts, or its ids alone.

Surprise: reasoning quotes the prompt it thinks about, so masking the prompt's own field would hide little. `masked` blots out
those quotes too (runs of five words or more); what the model says in other words stays.
"""

import re
from typing import TYPE_CHECKING, Any, get_args

from curation.masking import BLOT, mask
from schemas.choices import Tier

if TYPE_CHECKING:
    import pyarrow as pa

TIERS: tuple[Tier, ...] = get_args(Tier)
TEXTS = ("prompt", "reasoning", "answer", "reference_answer")
HARMLESS = ("benign", "math", "code")
"""Kinds whose prompts may be read; those of unknown kind are masked."""
QUOTE = 5
"""Words in a row that count as a quote."""
_WORD = re.compile(r"\w+")


def redacted(rows: "pa.Table", tier: Tier) -> "pa.Table":
    """The rows of a mix as a tier gives them away; `ids` has no text columns.

    `ids` are hashes of the content, so whoever has a text can tell whether it is in the mix.
    """
    import pyarrow as pa

    if tier == "full":
        return rows
    if tier == "ids":
        return rows.drop_columns([name for name in rows.column_names if name in TEXTS])
    return pa.Table.from_pylist([masked(row) for row in rows.to_pylist()], rows.schema)


def masked(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose prompt, and every quote of it, cannot be read; rows of harmless kinds stay as they are."""
    if row["kind"] in HARMLESS:
        return row
    quotes = _ngrams(row["prompt"])
    return row | {
        "prompt": mask(row["prompt"]),
        **{name: _blot(row[name], quotes) for name in ("reasoning", "answer")},
    }


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
