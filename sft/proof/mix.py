"""Reading a mix for training: its rows, and the hash that ties a model to exactly these rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curation.mix import folder
from schemas.errors import DataError
from schemas.manifest import Manifest
from schemas.row import Row
from schemas.tables import ROWS


class TrainingMix(NamedTuple):
    """A mix in memory."""

    rows: Sequence[Row]
    manifest: Manifest
    mix_id: str
    """Hash of every row in order, taken from the rows themselves, not from what the manifest says of them."""
    validation: Sequence[Row] = ()
    """The validation split, where the mix has one."""


def read_mix(mix: Path) -> TrainingMix:
    """Read a mix.

    Raises:
        DataError: if the folder is no mix, or its rows cannot be read, are none, or are not those it was built with.
        CorpusError: if a newer version of this toolkit wrote it.
    """
    import pyarrow as pa

    manifest = folder.read_manifest(mix)
    try:
        splits = {
            name: table.select(ROWS.names).cast(ROWS) for name, table in folder.read_splits(mix).items()
        }
        table = splits["train"]
        rows, validation = _rows(table), _rows(splits["validation"]) if "validation" in splits else []
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataError(f"{mix}: its rows cannot be read ({error}); build the mix again") from error
    if not rows:
        raise DataError(f"{mix}: the mix has no rows; look at the counts in its manifest.json")
    found, said = folder.mix_id(table), manifest.summary.get("mix_id")
    if said not in (None, found):
        raise DataError(
            f"{mix}: its rows are not those it was built with ({found}, not {said}); build the mix again"
        )
    return TrainingMix(rows, manifest, found, validation)


def _rows(table: Any) -> list[Row]:
    return [Row.model_validate({**row, "risky": row["risky"] or ()}) for row in table.to_pylist()]
