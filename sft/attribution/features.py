"""What is known of every row of a mix, as files of a few rows each: a killed command goes on behind the last whole file.

FOLDER/rows-000000.safetensors    vectors (rows, size), norms (rows,), losses (rows,), float32
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from curation.console import Advance
from curation.corpus.store import write_file
from schemas.errors import DataError

BLOCK = 32
"""Rows per file: the most that a kill loses."""


class Feature(NamedTuple):
    """What is known of one row."""

    vector: torch.Tensor
    """(size,), float32."""
    norm: float
    """Of what the vector is a projection of."""
    loss: float
    """Mean per token."""


class Block(NamedTuple):
    """What is known of some consecutive rows."""

    vectors: torch.Tensor
    """(rows, size)."""
    norms: torch.Tensor
    losses: torch.Tensor
    """(rows,)."""


def missing(folder: Path, count: int) -> list[range]:
    """The rows of each file that is not there yet."""
    blocks = (range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))
    return [rows for rows in blocks if not _file(folder, rows.start).is_file()]


def make(folder: Path, count: int, feature: Callable[[int], Feature], advance: Advance) -> None:
    """Write the missing files.

    Args:
        folder: of the cache.
        count: all rows.
        feature: finds out about a row, by its number.
        advance: is told of every row that was looked at.
    """
    for rows in missing(folder, count):
        found = []
        for number in rows:
            found.append(feature(number))
            advance()
        _write(_file(folder, rows.start), found)


def read(folder: Path, count: int) -> Iterator[Block]:
    """The files in order.

    Raises:
        DataError: if one is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for start in range(0, count, BLOCK):
        path = _file(folder, start)
        try:
            held = load_file(path)
            yield Block(held["vectors"], held["norms"], held["losses"])
        except (OSError, SafetensorError, KeyError) as error:
            raise DataError(
                f"{path}: cannot be read ({error}); delete it and run the same command again"
            ) from error


def _write(path: Path, found: list[Feature]) -> None:
    from safetensors.torch import save

    held = {
        "vectors": torch.stack([one.vector for one in found]),
        "norms": torch.tensor([one.norm for one in found]),
        "losses": torch.tensor([one.loss for one in found]),
    }
    write_file(path, save(held))


def _file(folder: Path, start: int) -> Path:
    return folder / f"rows-{start:06}.safetensors"
