"""Nearest records by the cosine of their vectors, brute force over a cached matrix.

Exact, and at 20,000 vectors of 128 numbers faster than the request around it. The cache is keyed by how many vectors
there are and when the last one changed, so nobody has to tell it about new ones.
"""

from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from argilla_server.models import Vector
from sqlalchemy import func, select

from embedded.search import database


class Vectors(NamedTuple):
    """All vectors of one vector setting."""

    stamp: tuple[Any, ...]
    ids: list[UUID]
    matrix: Any
    """One row per record, each of length one."""


_cache: dict[UUID, Vectors] = {}


async def load(settings: Any) -> Vectors:
    """The vectors of a setting, from the cache while nothing has changed."""
    mine = Vector.vector_settings_id == settings.id
    stamp = tuple((await database.rows(select(func.count(), func.max(Vector.updated_at)).where(mine)))[0])
    cached = _cache.get(settings.id)
    if cached is None or cached.stamp != stamp:
        rows = await database.rows(select(Vector.record_id, Vector.value).where(mine))
        matrix = np.asarray([value for _, value in rows], dtype=np.float32).reshape(
            len(rows), settings.dimensions
        )
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        cached = Vectors(stamp, [id for id, _ in rows], matrix / np.where(lengths == 0, 1, lengths))
        _cache[settings.id] = cached
    return cached


def ranked(vectors: Vectors, value: list[float], least: bool) -> list[tuple[UUID, float]]:
    """Records by similarity to `value`, best first; the score is (1 + cosine) / 2 as in Elasticsearch."""
    wanted = np.asarray(value, dtype=np.float32)
    wanted = wanted / (np.linalg.norm(wanted) or 1.0)
    scores = (1.0 + vectors.matrix @ (-wanted if least else wanted)) / 2.0
    return [(vectors.ids[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")]
