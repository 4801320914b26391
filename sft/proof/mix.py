"""Reads a mix, or preference pairs, for training: the rows, and the hash that identifies them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curation.mix import folder
from curation.pairs import folder as pairs_folder
from curation.pairs.folder import Pair
from schemas.errors import DataError
from schemas.manifest import Manifest
from schemas.row import Row


class TrainingMix(NamedTuple):
    """A mix in memory."""

    rows: Sequence[Row]
    manifest: Manifest
    mix_id: str
    """Hash of all rows in order, computed from the rows and not taken from the manifest."""
    validation: Sequence[Row] = ()
    """The validation split, if the mix has one."""
    pairs: Sequence[Pair] = ()
    """Which row's trace is preferred over which, for DPO; `rows` then has each trace once."""


def read_mix(mix: Path) -> TrainingMix:
    """Read a mix, or a folder of `curate build-pairs`.

    Raises:
        DataError: if the folder is not a mix, or its rows cannot be read, are missing, or were changed after the build.
        CorpusError: if a newer version of this toolkit wrote it.
    """
    import pyarrow as pa

    if pairs_folder.is_pairs(mix):
        built = pairs_folder.read(mix)
        return TrainingMix(_rows(built.traces), built.manifest, built.pairs_id, (), built.pairs)

    manifest = folder.read_manifest(mix)
    try:
        splits = {name: folder.conformed(table) for name, table in folder.read_splits(mix).items()}
        table = splits["train"]
        rows, validation = _rows(table), _rows(splits["validation"]) if "validation" in splits else []
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataError(f"{mix}: cannot read its rows ({error}); build the mix again") from error
    if not rows:
        raise DataError(f"{mix}: the mix has no rows; see the counts in its manifest.json")
    actual, recorded = folder.mix_id(table), manifest.summary.get("mix_id")
    if recorded not in (None, actual):
        raise DataError(
            f"{mix}: its rows were changed after the build (hash {actual}, manifest has {recorded}); build the mix again"
        )
    return TrainingMix(rows, manifest, actual, validation)


def _rows(table: Any) -> list[Row]:
    return [Row.model_validate({**row, "risky": row["risky"] or ()}) for row in table.to_pylist()]
