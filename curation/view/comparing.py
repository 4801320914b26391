"""Two values of a facet beside each other, prompt by prompt: two scored models, two strategies.

Replies to scored suites are traces of the evaluation corpus, so comparing runs is comparing models there. The traces of a prompt are
paired in the order of the index: the first of one side with the first of the other.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curation.view.facets import SINGLE, Facets, Mask, places_of
from curation.view.search import Numbers64
from schemas.errors import DataError


class PatternChange(NamedTuple):
    """How a pattern differs between the two sides, in pairs."""

    pattern: str
    both: int
    left: int
    """Found on the left only."""
    right: int
    neither: int


class Pairing(NamedTuple):
    """The prompts that both sides answered."""

    by: str
    left: str
    right: str
    rows: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    """A row for each pair: left and right; pairs that differ in a pattern come first."""
    changed: int
    """Pairs that differ in a pattern."""
    changes: list[PatternChange]
    alone: tuple[int, int]
    """Traces of each side without a partner."""


def sides(facets: Facets, query: Mapping[str, Sequence[str]]) -> tuple[str, str, str]:
    """The facet and its two values that an address compares; by default the two most frequent models.

    Raises:
        DataError: if it names no facet of single values.
    """
    by = next(iter(query.get("by", ())), "model")
    if by not in SINGLE:
        raise DataError(f"compare by one of {', '.join(SINGLE)}")
    most = [one.value for one in facets.by_name[by].counts(None)]
    given = [next(iter(query.get(side, ())), None) for side in ("left", "right")]
    left = most[0] if given[0] is None and most else given[0] or ""
    others = [value for value in most if value != left]
    right = (others[0] if others else "") if given[1] is None else given[1]
    return by, left, right


def pair(facets: Facets, by: str, left: str, right: str, within: Mask | None) -> Pairing:
    """Pair the traces of two values of a facet by prompt.

    Args:
        facets: of the corpus.
        by: a facet of single values.
        left, right: two of its values.
        within: the rows that count; null is all.
    """
    both = [facets.by_name[by].matches([value]) for value in (left, right)]
    of_side = [places_of(side if within is None else side & within) for side in both]
    keys = [_numbered(facets.prompts[rows]) for rows in of_side]
    _, at_left, at_right = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    rows = np.column_stack([of_side[0][at_left], of_side[1][at_right]])
    found = facets.by_name["pattern"].codes
    differ = found[rows[:, 0]] ^ found[rows[:, 1]] if len(rows) else np.zeros(0, np.int64)
    order = np.argsort(differ == 0, kind="stable")
    changes = [
        _change(pattern, found[rows[:, 0]] >> place & 1, found[rows[:, 1]] >> place & 1)
        for place, pattern in enumerate(facets.by_name["pattern"].values)
    ]
    alone = (len(of_side[0]) - len(rows), len(of_side[1]) - len(rows))
    return Pairing(by, left, right, rows[order], int(np.count_nonzero(differ)), changes, alone)


def _numbered(prompts: Numbers64) -> Numbers64:
    """A key for each trace of one side: its prompt, and how many of the same prompt come before it."""
    order = np.argsort(prompts, kind="stable")
    ordered, places = prompts[order], np.arange(len(prompts))
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(prompts)]
    first = np.maximum.accumulate(np.where(starts, places, 0)) if len(prompts) else places
    keys = np.empty(len(prompts), np.int64)
    keys[order] = (ordered << 24) + places - first
    return keys


def _change(pattern: str, left: Numbers64, right: Numbers64) -> PatternChange:
    both, all_left, all_right = (int(np.count_nonzero(found)) for found in (left & right, left, right))
    only_left, only_right = all_left - both, all_right - both
    return PatternChange(pattern, both, only_left, only_right, len(left) - both - only_left - only_right)
