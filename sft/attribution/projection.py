"""Gradients as short vectors: a count sketch with a fixed seed, or the exact products with a few directions.

Both are linear maps of a gradient. The count sketch (Charikar et al. 2002; feature hashing, arXiv 0902.2206) adds every number with a random
sign to one of `size` random places: products of sketches are unbiased estimates of products of gradients, with a standard error of at
most |x| |y| sqrt(2 / size), that of a dense random projection, without its cost or its matrix.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from schemas.ids import content_id

Gradient = Mapping[str, torch.Tensor]
"""The gradient of each trained parameter by name, float32."""
Projection = Callable[[Gradient], torch.Tensor]
"""A linear map of a gradient to a vector on the CPU, float32."""
KEPT = 200_000_000
"""Numbers whose places are kept in memory (4 bytes each); those of larger models are drawn anew for every gradient."""


class CountSketch:
    """A random projection."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self._seed = size, seed
        self._places: dict[str, torch.Tensor] = {}

    def __call__(self, gradient: Gradient) -> torch.Tensor:
        keep = sum(one.numel() for one in gradient.values()) <= KEPT
        device = next(iter(gradient.values())).device
        found = torch.zeros(2 * self.size, device=device)
        for name, values in gradient.items():
            places = self._places.get(name)
            if places is None:
                places = self._drawn(name, values)
            if keep:
                self._places[name] = places
            found.index_add_(0, places, values.reshape(-1))
        return (found[: self.size] - found[self.size :]).cpu()  # the second half has the sign -1

    def _drawn(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """The place of each number of a parameter, drawn on the CPU, so that it is the same on every device."""
        seed = int(content_id([self._seed, self.size, name])[:15], 16)
        made = torch.Generator().manual_seed(seed)
        places = torch.randint(0, 2 * self.size, (values.numel(),), generator=made, dtype=torch.int32)
        return places.to(values.device)


class ExactProducts:
    """The exact products of a gradient with some others."""

    def __init__(self, directions: Sequence[Gradient]) -> None:
        self._directions = directions

    def __call__(self, gradient: Gradient) -> torch.Tensor:
        return torch.stack([product(gradient, one) for one in self._directions]).float().cpu()


def product(one: Gradient, other: Gradient) -> torch.Tensor:
    """The inner product of two gradients, summed in float64."""
    return sum(
        ((values * other[name]).sum(dtype=torch.float64) for name, values in one.items()),
        start=torch.zeros((), dtype=torch.float64, device=next(iter(one.values())).device),
    )


def norm(gradient: Gradient) -> float:
    """The Euclidean norm of a gradient."""
    return float(product(gradient, gradient).sqrt())


def places_bytes(parameters: int) -> int:
    """Memory that the places of a sketch take."""
    return 4 * parameters if parameters <= KEPT else 0


def as_any(vector: torch.Tensor) -> Any:
    """A vector as numpy's."""
    return vector.numpy()
