"""Numbers about one update: how large it is, in how many directions it goes, and whether two go the same way."""

import math
from typing import Any, NamedTuple

from sft.update.tensors import LowRank, Matrix, Subtraction, Update, pieces

ROUNDING = {"F64": 2.0**-53, "F32": 2.0**-24, "F16": 2.0**-11, "BF16": 2.0**-8}
"""Largest relative error of a number stored in this type; rounding alone moves a weight by this much."""


class Size(NamedTuple):
    """How large an update is."""

    update: float
    """Frobenius norm of the update."""
    weight: float
    """Frobenius norm of the base's tensor."""
    changed: float | None
    """Share of the numbers that differ at all; null for LoRA, where all do."""


class Directions(NamedTuple):
    """In how many directions an update goes."""

    effective_rank: float
    """exp of the entropy of the normalised singular values (Roy and Vetterli 2007); 1 for one direction; 0 for no update."""
    stable_rank: float
    """Squared Frobenius norm over squared spectral norm; at most the rank."""


def size(update: Update, base: Matrix) -> Size:
    """Norms of an update and of what it was added to, and the share of numbers that moved."""
    if isinstance(update, LowRank):
        return Size(math.sqrt(max(0.0, inner(update, update))), norm(base), None)
    square = weight = 0.0
    moved = total = 0
    for rows, columns in pieces(update):
        before = base.piece(rows, columns)
        difference = update.after.piece(rows, columns) - before
        square += float((difference * difference).sum())
        weight += float((before * before).sum())
        moved += int((difference != 0).sum())
        total += difference.numel()
    return Size(math.sqrt(square), math.sqrt(weight), moved / total if total else 0.0)


def directions(update: Update) -> Directions:
    """Effective and stable rank, from the singular values of the whole update."""
    values = singular_values(update)
    total = float(values.sum())
    if total <= 0:
        return Directions(0.0, 0.0)
    shares = values[values > 0] / total
    entropy = -float((shares * shares.log()).sum())
    return Directions(math.exp(entropy), float((values**2).sum() / values.max() ** 2))


def singular_values(update: Update) -> Any:
    """The singular values as a torch vector of float64, largest last.

    Those of a LoRA update come from its factors. Others come from the eigenvalues of the smaller Gram matrix, which is
    accumulated piece by piece: min(rows, columns) squared numbers are in memory, and values below 1e-7 of the largest count as 0.
    """
    import torch

    if isinstance(update, LowRank):
        return torch.linalg.svdvals(
            torch.linalg.qr(update.left).R @ torch.linalg.qr(update.right.T).R.T
        ).flip(0)
    height, width = update.shape
    gram = torch.zeros((min(height, width),) * 2, dtype=torch.float64)
    for rows, columns in pieces(update):
        piece = update.piece(rows, columns)
        gram += piece.T @ piece if height >= width else piece @ piece.T
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    return torch.where(values < values.max() * 1e-7, torch.zeros_like(values), values)


def inner(first: Update, second: Update) -> float:
    """The inner product of two updates of one shape."""
    if isinstance(first, LowRank) and isinstance(second, LowRank):
        return float(((first.left.T @ second.left) * (first.right @ second.right.T)).sum())
    return sum(float((first.piece(*place) * second.piece(*place)).sum()) for place in pieces(first))


def cosine(first: Update, second: Update) -> float | None:
    """The cosine between two updates; null where one of them is zero."""
    norms = math.sqrt(max(0.0, inner(first, first))) * math.sqrt(max(0.0, inner(second, second)))
    return inner(first, second) / norms if norms else None


def rounding(update: Update) -> float:
    """The relative size that rounding alone can have: 0 unless the run is stored in a coarser type than its base."""
    if isinstance(update, LowRank):
        return 0.0
    return ROUNDING.get(update.after.dtype, 0.0) if _coarser(update) else 0.0


def _coarser(update: Subtraction) -> bool:
    return ROUNDING.get(update.after.dtype, 0.0) > ROUNDING.get(update.before.dtype, 0.0)


def norm(matrix: Matrix) -> float:
    """The Frobenius norm."""
    return math.sqrt(sum(float((matrix.piece(*place) ** 2).sum()) for place in pieces(matrix)))
