"""Families of prompts, which share a template or most of their wording: no family is on both sides of a split."""

import re
from collections import Counter
from collections.abc import Sequence
from random import Random
from zlib import crc32

from annotators.safety_classifier.model import Decided

RUN = 5
"""Length of the word n-grams that are compared."""
ALIKE = 0.3
"""Minimum Jaccard similarity within a family."""
SHARES = {"train": 0.6, "calibrate": 0.2, "test": 0.2}


def families_of(prompts: Sequence[str]) -> list[int]:
    """A family number per prompt: that of the first prompt with which it shares most of its wording.

    Similarity is the Jaccard index of word n-grams, so two prompts from one template are in one family, and the same
    request in two templates is not.
    """
    runs = [_runs(prompt) for prompt in prompts]
    heads: dict[int, list[int]] = {}
    """The families in which an n-gram occurs."""
    families = []
    for number, own in enumerate(runs):
        shared = Counter(head for run in own for head in heads.get(run, ()))
        likeness = {head: n / (len(own) + len(runs[head]) - n) for head, n in shared.items()}
        family = max(likeness, key=lambda head: likeness[head], default=number)
        if likeness.get(family, 0.0) < ALIKE:
            family = number
            for run in own:
                heads.setdefault(run, []).append(number)
        families.append(family)
    return families


def _runs(prompt: str) -> frozenset[int]:
    words = re.findall(r"\w+", prompt.lower())
    return frozenset(
        crc32(" ".join(words[at : at + RUN]).encode()) for at in range(max(1, len(words) - RUN + 1))
    )


def split(decided: Sequence[Decided], families: Sequence[int], seed: int) -> dict[str, list[Decided]]:
    """Whole families into train, calibrate and test, stratified by kind of family.

    The kinds are refused or answered, of a template or a single prompt. Large families are assigned first, each to the part
    that lacks most of its kind.
    """
    members: dict[int, list[Decided]] = {}
    for one, family in zip(decided, families, strict=True):
        members.setdefault(family, []).append(one)
    order = list(members.values())
    Random(seed).shuffle(order)  # noqa: S311
    order.sort(key=lambda group: -len(group))
    kinds = [(2 * sum(one.refused for one in group) >= len(group), len(group) > 1) for group in order]
    totals: Counter[tuple[bool, bool]] = Counter()
    for group, kind in zip(order, kinds, strict=True):
        totals[kind] += len(group)
    parts: dict[str, list[Decided]] = {part: [] for part in SHARES}
    filled: Counter[tuple[str, tuple[bool, bool]]] = Counter()
    for group, kind in zip(order, kinds, strict=True):
        part = max(SHARES, key=lambda part: SHARES[part] - filled[part, kind] / totals[kind])
        parts[part] += group
        filled[part, kind] += len(group)
    return parts
