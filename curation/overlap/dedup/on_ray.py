"""Reading and sketching parts on a Ray cluster, several parts at once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from curation import cluster
from curation.corpus.memory import Array
from curation.overlap.dedup import texts
from curation.overlap.dedup.texts import KeyedTexts, NgramCounts, Work


def count_on_ray(parts: Sequence[Path], workers: int) -> Iterator[NgramCounts]:
    """`dedup.texts.count`, in several workers; raises as `cluster.part_by_part` does."""
    return cluster.part_by_part(lambda part: next(texts.count([part])), parts, workers)


def make_on_ray(parts: Sequence[Path], work: Work, common: Array, workers: int) -> Iterator[KeyedTexts]:
    """`dedup.texts.make`, in several workers; raises as `cluster.part_by_part` does."""

    def make(part: Path) -> KeyedTexts:
        made = [*texts.make([part], work, common)]
        return KeyedTexts(*(np.concatenate(column) for column in zip(*made, strict=True)))

    return cluster.part_by_part(make, parts, workers)
