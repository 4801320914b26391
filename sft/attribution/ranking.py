"""From features of rows to their influence on behaviours, and the table that says it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch

from schemas.row import Row
from sft.attribution.features import Block

INFLUENCES = pa.schema(
    [
        pa.field("row_id", pa.string(), nullable=False),
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("part", pa.string(), nullable=False),
        pa.field("behaviour", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("influence", pa.float64(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
    ]
)
"""`rank` is 1 for the row that did most for the behaviour; `share` is the rank over the number of rows, so that the top 5 % have at most 0.05."""


class BehaviourVectors(NamedTuple):
    """Where the behaviours lie, as vectors of the same map as the rows'."""

    vectors: torch.Tensor
    """(behaviours, size)."""
    norms: torch.Tensor
    """(behaviours,), of what the vectors are projections of."""


def products(blocks: Iterable[Block], behaviours: BehaviourVectors) -> torch.Tensor:
    """The product of every row with every behaviour, (rows, behaviours), float64."""
    return torch.cat([block.vectors.double() @ behaviours.vectors.double().T for block in blocks])


def cosines(blocks: Iterable[Block], behaviours: BehaviourVectors) -> torch.Tensor:
    """The cosine of every row with every behaviour, (rows, behaviours), float64; 0 where either is 0."""
    toward = behaviours.vectors.double().T / _divisor(behaviours.norms)
    return torch.cat([block.vectors.double() @ toward / _divisor(block.norms)[:, None] for block in blocks])


def _divisor(norms: torch.Tensor) -> torch.Tensor:
    return torch.where(norms > 0, norms, torch.inf).double()


def table(rows: Sequence[Row], names: Sequence[str], method: str, scores: torch.Tensor) -> pa.Table:
    """The influence of every row on every behaviour, strongest first; what a row's sequences add up to.

    Args:
        rows: one for each score; the sequences of a row follow one another.
        names: of the behaviours.
        method: how the scores were found.
        scores: (sequences, behaviours).
    """
    totals: dict[str, torch.Tensor] = {}
    for row, score in zip(rows, scores.double(), strict=True):
        totals[row.row_id] = totals[row.row_id] + score if row.row_id in totals else score
    known = {row.row_id: row for row in rows}
    found = [line for place, name in enumerate(names) for line in _ranked(known, totals, place, name, method)]
    return pa.Table.from_pylist(found, INFLUENCES)


def _ranked(
    rows: Mapping[str, Row], totals: Mapping[str, torch.Tensor], place: int, behaviour: str, method: str
) -> Iterable[dict[str, Any]]:
    ordered = sorted(totals, key=lambda key: (-float(totals[key][place]), key))
    for rank, key in enumerate(ordered, 1):
        yield {
            "row_id": key, "trace_id": rows[key].trace_id, "part": rows[key].part, "behaviour": behaviour,
            "method": method, "influence": float(totals[key][place]), "rank": rank, "share": rank / len(ordered),
        }  # fmt: skip


def read_table(path: Path) -> pa.Table:
    """The influences in a file that `sft attribute` wrote."""
    import pyarrow.parquet as pq

    return pq.read_table(path, schema=INFLUENCES)
