"""The cache of what is known of rows: a few rows are in memory at once, however many there are."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import torch

from sft.attribution import features, ranking
from sft.attribution.features import BLOCK, Block, Feature
from sft.attribution.ranking import BehaviourVectors

ROWS = 10 * BLOCK


class Living:
    """Counts how many of the tensors that it was shown are in memory at once."""

    def __init__(self) -> None:
        self.most = 0
        self._seen: list[weakref.ref[torch.Tensor]] = []

    def see(self, tensor: torch.Tensor) -> None:
        self._seen.append(weakref.ref(tensor))
        self.most = max(self.most, sum(one() is not None for one in self._seen))


def test_making_and_comparing_hold_a_block_of_rows_whatever_their_number(tmp_path: Path) -> None:
    made, read = Living(), Living()

    def feature(number: int) -> Feature:
        vector = torch.full((4,), float(number))
        made.see(vector)
        return Feature(vector, 1.0, 0.5)

    def watched(blocks: Iterator[Block]) -> Iterator[Block]:
        for block in blocks:
            read.see(block.vectors)
            yield block

    features.make(tmp_path, ROWS, feature, lambda *_, **__: None)
    toward = BehaviourVectors(torch.ones(1, 4), torch.ones(1))
    scores = ranking.products(watched(features.read(tmp_path, ROWS)), toward)
    assert scores[:, 0].tolist() == [4.0 * number for number in range(ROWS)]
    assert made.most <= BLOCK + 1 and read.most <= 2
