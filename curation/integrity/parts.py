"""Reads every value of a part, and writes the part anew without some of its rows.

The surprise: a part is rewritten as a packed part that replaces it, so one rename makes the new rows visible and hides the old ones;
a reader never sees both, nor neither.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from curation.corpus.store import (
    PACKED,
    REPLACES,
    ROW_GROUP,
    Store,
    conform,
    opened,
    replaced,
    write_tables,
)
from curation.integrity.damage import damaged
from curation.integrity.seal import sealed
from schemas.errors import CorpusError
from schemas.ids import canonical_json, content_id
from schemas.tables import KEYS, TABLES, same_type

ALONE = ("ingest", "dedup", "decontaminate")
"""Stages that what removes rows waits for: they remember ids while they run (`Store.alone`)."""
Mask = Callable[[pa.Table], list[bool]]
"""Which rows stay."""


class BadPart(Exception):
    """A part has other columns or values than its table."""


def whole(table: str, part: Path) -> Iterator[pa.Table]:
    """Every row of a part, all of its values read.

    Raises:
        BadPart: if a column is missing, not of the table or of another type, or has nulls where there may be none.
        CorpusError: if it cannot be read.
    """
    if not part.is_file():
        raise BadPart("not a file" if part.exists() or part.is_symlink() else "deleted while it was checked")
    if sealed(part) == "changed":
        raise BadPart("its footer is not as it was written")
    with opened(part) as file:
        _check_columns(table, file.schema_arrow)
        count = 0
        for batch in file.iter_batches(ROW_GROUP):
            rows = pa.Table.from_batches([batch])
            _check_nulls(table, rows)
            count += rows.num_rows
            yield conform(rows, TABLES[table])
        if count != file.metadata.num_rows:
            raise BadPart(f"{count} rows, where its footer says {file.metadata.num_rows}")


def keys(table: str, rows: pa.Table) -> list[str]:
    """The key of each row, as one text."""
    columns = (rows[name].to_pylist() for name in KEYS[table])
    return ["\t".join(map(str, key)) for key in zip(*columns, strict=True)]


def rewrite(corpus: Store, table: str, part: Path, mask: Mask) -> Path:
    """Replace a part by one without some of its rows; the old file stays on disk, hidden. The caller holds the lock.

    Args:
        corpus: the corpus.
        table: of the part.
        part: the file.
        mask: which of its rows stay.

    Raises:
        CorpusError: if it is damaged, or the new one cannot be written.
    """
    names = sorted({part.name} | hidden_by(part))
    schema = TABLES[table].with_metadata({REPLACES: canonical_json(names)})
    path = corpus.root / table / f"part-{content_id(names)}{PACKED}"
    pieces = (rows.filter(pa.array(mask(rows), pa.bool_())) for rows in whole(table, part))
    try:
        write_tables(path, schema, (piece.cast(schema) for piece in pieces))
    except BadPart as error:
        raise CorpusError(damaged(part, str(error))) from error
    return path


def hidden_by(part: Path) -> set[str]:
    """Names of the parts that a part replaces; none if it does not say."""
    try:
        return replaced(part) if part.name.endswith(PACKED) else set()
    except CorpusError:
        return set()


def _check_columns(table: str, schema: pa.Schema) -> None:
    wanted = TABLES[table]
    for name in schema.names:
        if name not in wanted.names:
            raise BadPart(f"column {name} is not one of the table {table}")
        if schema.names.count(name) > 1:
            raise BadPart(f"several columns are named {name}")
        if not same_type(schema.field(name).type, wanted.field(name).type):
            raise BadPart(f"column {name} is {schema.field(name).type}, not {wanted.field(name).type}")
    for field in wanted:
        if not field.nullable and field.name not in schema.names:
            raise BadPart(f"column {field.name} is missing")


def _check_nulls(table: str, rows: pa.Table) -> None:
    for field in TABLES[table]:
        if not field.nullable and rows[field.name].null_count:
            raise BadPart(f"column {field.name} has nulls")
    try:
        rows.validate(full=True)  # texts that are not UTF-8
    except pa.ArrowInvalid as error:
        raise BadPart(str(error).splitlines()[0][:200]) from error


def drop_index(root: Path) -> None:
    """Delete what was made of a corpus to find its rows faster; it holds ids and words of them, and is made anew."""
    for path in (root / ".index").rglob("*"):
        if path.is_file():
            path.unlink(missing_ok=True)
