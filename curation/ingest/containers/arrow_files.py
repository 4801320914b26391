"""Rows of Parquet and Arrow IPC (Feather) files, a few at a time; what is damaged is a fault in the place of its rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.ingest.containers.rows import BATCH_ROWS, Batch, RawRow, arrow_batches, check_names
from schemas.errors import DataError
from schemas.response import Fault

PARQUET, ARROW, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
"""Magic bytes."""
SHARE = 16
"""Values of fixed width of one batch may take so much of the memory."""


def parquet_batches(path: Path) -> Iterator[Batch]:
    """Rows of a Parquet file, a row group at a time; texts and bytes stay in their dictionaries, at any depth."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = [file.schema.column(number) for number in range(len(file.schema))]
            texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
            rows_at_once = _rows_at_once(file.schema_arrow)
            names = file.schema_arrow.names
        check_names(path, names)
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            before = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                batches = file.iter_batches(batch_size=rows_at_once, row_groups=[group])
                yield from _sound_batches(batches, before, rows, f"row group {group}")
                before += rows
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: a damaged Parquet file ({_brief(error)}); fetch it again") from error


def ipc_batches(path: Path, stream: bool) -> Iterator[Batch]:
    """Rows of an Arrow IPC file (Feather), or of a stream as `datasets` writes it."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as data:
            before = 0
            reader = pa.ipc.open_stream(data) if stream else pa.ipc.open_file(data)
            check_names(path, reader.schema.names)
            rows_at_once = _rows_at_once(reader.schema)
            for number, batch in enumerate(_batches(reader, stream)):
                if isinstance(batch, Fault):
                    yield Batch.of([RawRow(before + 1, None, None, batch)])
                    if stream:
                        return
                    continue
                pieces = (
                    _sound_columns(batch.slice(at, rows_at_once))
                    for at in range(0, batch.num_rows, rows_at_once)
                )
                yield from _sound_batches(pieces, before, batch.num_rows, f"batch {number}")
                before += batch.num_rows
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: a damaged Arrow file ({_brief(error)}); fetch it again") from error


def _batches(reader: Any, stream: bool) -> Iterator[Any]:
    """The record batches; a Fault in the place of one that cannot be read."""
    import pyarrow as pa

    number = 0
    while stream or number < reader.num_record_batches:
        try:
            yield reader.read_next_batch() if stream else reader.get_batch(number)
        except StopIteration:
            return
        except (pa.ArrowException, OSError, ValueError) as error:
            lost = " and all behind it" if stream else ""
            yield Fault("damaged_rows", f"batch {number}{lost} cannot be read: {_brief(error)}")
        number += 1


def _sound_columns(batch: Any) -> Any:
    """A batch whose columns can be read without danger; values that are odd or not UTF-8 are found when they are read.

    Raises:
        pyarrow.ArrowInvalid: if a column's offsets or indices point beyond its data.
    """
    import pyarrow as pa

    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except (pa.ArrowException, ValueError) as error:
            try:
                _check_layout(column)
            except (pa.ArrowException, ValueError, NotImplementedError):
                raise pa.ArrowInvalid(f"column {name}: {_brief(error)}") from error
    return batch


def _check_layout(column: Any) -> None:
    """Check a column as numbers and bytes, whatever they mean; raises as pyarrow does."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        _check_layout(column.dictionary)
        column.indices.validate(full=True)
    else:
        column.view(_plain_type(column.type)).validate(full=True)


def _plain_type(kind: Any) -> Any:
    """The type of the same layout that takes any value."""
    import pyarrow as pa

    types = pa.types
    if types.is_string(kind):
        return pa.binary()
    if types.is_large_string(kind):
        return pa.large_binary()
    if types.is_temporal(kind) and kind.bit_width in (32, 64):
        return pa.int32() if kind.bit_width == 32 else pa.int64()
    if types.is_decimal(kind):
        return pa.binary(kind.byte_width)
    if types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if types.is_large_list(kind):
        return pa.large_list(_plain_type(kind.value_type))
    if types.is_struct(kind):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        return pa.struct([(field.name, _plain_type(field.type)) for field in fields])
    return kind


def _sound_batches(arrow: Iterator[Any], before: int, rows: int, where: str) -> Iterator[Batch]:
    """The rows of some Arrow batches, numbered behind `before`; a fault for those that cannot be read."""
    import pyarrow as pa

    read = before
    try:
        for batch in arrow_batches(arrow, before):
            read = batch.lines[-1]
            yield batch
    except (pa.ArrowException, OSError, ValueError) as error:
        lost = f"rows {read + 1} to {before + rows} ({where}) cannot be read: {_brief(error)}"
        yield Batch.of([RawRow(read + 1, None, None, Fault("damaged_rows", lost))])


def _rows_at_once(schema: Any) -> int:
    """Rows of a batch; fewer where values of fixed width are wide."""
    from curation.corpus import memory  # only here: it loads numpy

    width = sum(_width(kind) for kind in schema.types)
    return int(max(1, min(BATCH_ROWS, memory.limit() // SHARE // max(1, width))))


def _width(kind: Any) -> int:
    import pyarrow as pa

    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * max(8, _width(kind.value_type))
    return sum(_width(kind.field(number).type) for number in range(kind.num_fields))


def _brief(error: Exception) -> str:
    return str(error)[:200]
