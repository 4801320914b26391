"""What the API gives back to be looked at. What a notebook shows of it is masked; what code gets is not."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from curation.masking import mask_value
from schemas import showing
from schemas.errors import require

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

LINES = 10
"""Rows in a `repr`."""
SHOWN = 20
"""Rows in a notebook."""


class QueryResult:
    """The rows of one query. A notebook shows them with texts masked; `df`, `arrow` and `pl` give them whole."""

    def __init__(self, table: "pa.Table") -> None:
        self._table = table

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self._table.column_names)

    def arrow(self) -> "pa.Table":
        """The rows as an Arrow table."""
        return self._table

    def df(self) -> "pd.DataFrame":
        """The rows as a pandas data frame.

        Raises:
            MissingExtraError: if pandas is not installed.
        """
        require("pandas")
        return self._table.to_pandas()

    def pl(self) -> "pl.DataFrame":
        """The rows as a polars data frame.

        Raises:
            MissingExtraError: if polars is not installed.
        """
        require("polars")
        import polars

        return polars.DataFrame(self._table)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows as dicts."""
        for batch in self._table.to_batches():
            yield from batch.to_pylist()

    def __repr__(self) -> str:
        lines = (str(row) for row in self._masked(LINES))
        return "\n".join([f"<{self._size()}>", *map(showing.clean, lines)])

    def _repr_html_(self) -> str:
        return showing.page(self._size(), {"": self._masked(SHOWN)})

    def _size(self) -> str:
        return f"QueryResult of {len(self):,} rows: {', '.join(self.columns)}"

    def _masked(self, most: int) -> list[dict[str, Any]]:
        return [mask_value(row) for row in self._table.slice(0, most).to_pylist()]


class Explanation(dict[str, Any]):
    """What is known of a row, or of the difference between two mixes: a plain dict that a notebook shows as tables."""

    def _repr_html_(self) -> str:
        return showing.page(
            str(self.get("id") or f"{self.get('a')} and {self.get('b')}"), dict(_tables(self, ""))
        )


def _tables(value: Mapping[str, Any], place: str) -> Iterator[tuple[str, showing.Rows]]:
    """The values of a mapping as one table, and each mapping or list of mappings inside it as tables of their own."""
    plain: dict[str, Any] = {}
    for name, inner in value.items():
        where = f"{place} / {name}" if place else name
        if isinstance(inner, Mapping):
            yield from _tables(inner, where)
        elif isinstance(inner, list) and inner and all(isinstance(row, Mapping) for row in inner):
            yield from _listed(inner, where)
        elif inner not in (None, []):
            plain[name] = _short(inner) if isinstance(inner, list) else inner
    if plain:
        yield place, showing.pairs(plain, "name", "value")


def _listed(rows: list[Mapping[str, Any]], place: str) -> Iterator[tuple[str, showing.Rows]]:
    if any(isinstance(value, Mapping) for row in rows for value in row.values()):
        for number, row in enumerate(rows, 1):
            yield from _tables(row, f"{place} {number}")
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    yield place, [{name: row.get(name) for name in columns} for row in rows]


def _short(values: list[Any]) -> str:
    first = ", ".join(map(str, values[:3]))
    return f"{first}, ... ({len(values):,} in all)" if len(values) > 3 else first
