"""Streams of raw rows from JSONL, JSON arrays, CSV and Parquet, each with its line or row number.

The container is detected by content, not by the file's name; only CSV, which has no signature, needs .csv or .tsv. JSON rows that
cannot be parsed are yielded as rows with a fault, so that an invalid row does not stop the others.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from curation.ingest.containers.json_array import elements
from curation.ingest.containers.rows import BATCH_ROWS, RawRow, Source, batch_rows
from schemas.errors import DataError
from schemas.response import Fault

BLOCK = 4 * 2**20
"""Bytes read at once."""
NESTED_BATCH = 32
"""Rows of a Parquet file read at once where columns are nested: texts inside them are copied out of their dictionaries."""
MAX_ROW = 64 * 2**20
"""A longer line is quarantined instead of being loaded completely."""
LARGE, DIGITS = 2.0**63, 19
"""From here on a whole number may not fit into 64 bits."""
PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
}
SEPARATORS = {".csv": ",", ".tsv": "\t"}
WIDE = (b"\xff\xfe", b"\xfe\xff")


def file_source(path: Path) -> Source:
    """The rows of a file.

    Raises:
        OSError: if it cannot be opened.
        DataError: if it is empty, compressed, or not a supported container.
    """
    with path.open("rb") as file:
        return Source(path.name, (path,), _told(path, _reader(path, file)))


def parse(text: bytes, line: int) -> RawRow:
    """A row from its JSON, or the fault that its JSON has.

    NaN and infinities are read as null, as Python writes them; whole numbers beyond 64 bits as text, with all their digits.
    """
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if b"NaN" in text or b"Infinity" in text:
            try:
                return RawRow(line, _python_json(text), text)
            except (ValueError, RecursionError):
                pass
        return RawRow(line, None, text, _json_fault(text, error))
    return RawRow(line, _python_json(text) if _has_large_float(row) else row, text)


def _python_json(text: bytes) -> Any:
    plain = text.decode("utf-8")
    row = json.loads(plain, parse_int=_whole_number, parse_constant=lambda _: None)
    json.dumps(row, ensure_ascii=False).encode("utf-8")  # half surrogates are no characters
    return row


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) < DIGITS else digits


def _has_large_float(value: Any) -> bool:
    """Whether a number may have lost digits: orjson reads whole numbers beyond 64 bits as floats."""
    if type(value) is float:
        return abs(value) >= LARGE
    if type(value) is dict:
        return any(_has_large_float(entry) for entry in value.values() if type(entry) is not str)
    return type(value) is list and any(_has_large_float(entry) for entry in value if type(entry) is not str)


def _reader(path: Path, file: BinaryIO) -> Callable[[], Iterator[RawRow]]:
    start = file.read(BLOCK)
    for magic, packing in PACKED.items():
        if start.startswith(magic):
            raise DataError(f"{path}: compressed with {packing}; decompress it first")
    if start.startswith(WIDE):
        raise DataError(
            f"{path}: not UTF-8 but UTF-16; convert it first, such as with: iconv -f utf-16 -t utf-8"
        )
    if start.startswith(b"PAR1"):
        return lambda: _parquet_rows(path)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise DataError(f"{path}: the file is empty; name a file with rows")
    if text.startswith(b"["):
        return lambda: array_rows(path)
    if text.split(b"\n", 1)[0].strip() == b"{":
        raise DataError(
            f"{path}: one JSON object over several lines, not rows; write one object per line, or an array"
        )
    separator = SEPARATORS.get(path.suffix.lower())
    if separator and not text.startswith(b"{"):
        header = text.split(b"\n", 1)[0]
        separator = ";" if header.count(b";") > header.count(separator.encode()) else separator
        return lambda: _csv_rows(path, separator)
    return lambda: jsonl_rows(path)


def _told(path: Path, rows: Callable[[], Iterator[RawRow]]) -> Callable[[], Iterator[RawRow]]:
    """The rows of a file; an error that names it if it is gone or breaks after it was found."""

    def stream() -> Iterator[RawRow]:
        try:
            yield from rows()
        except OSError as error:
            why = "it was deleted" if isinstance(error, FileNotFoundError) else error.strerror
            raise DataError(
                f"{path}: could be opened, but not read later ({why}); put it right and run the same command again"
            ) from error

    return stream


def jsonl_rows(path: Path) -> Iterator[RawRow]:
    """Rows of a file with one JSON object a line; a broken line is a row with its fault."""
    for line, text in _lines(path):
        if text and not text.isspace():
            yield parse(text, line)


def _csv_rows(path: Path, separator: str) -> Iterator[RawRow]:
    """Rows by the names in the first line, all values texts; numbered from 1 as the first row behind it."""
    csv.field_size_limit(MAX_ROW)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        taken: list[str] = []
        reader = csv.DictReader(_remembered(file, taken), delimiter=separator, strict=True)
        names = _header(path, reader)
        taken.clear()
        for number, row in enumerate(_parsed(reader), 1):
            fault = _csv_fault(row, len(names), taken)
            if fault:
                text = "".join(taken).strip("\r\n").encode("utf-8", "surrogateescape")
                yield RawRow(number, None, text, fault)
            else:
                yield RawRow(number, row, None)
            taken.clear()


def _remembered(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """Pass lines on and keep them, so that a row that cannot be read is set aside as it stands in the file."""
    for line in lines:
        taken.append(line)
        yield line


def _header(path: Path, reader: "csv.DictReader[str]") -> Sequence[str]:
    try:
        names = reader.fieldnames or ()
    except csv.Error as error:
        raise DataError(f"{path}: cannot read the column names in its first line ({error})") from error
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise DataError(
            f"{path}: several columns are named {', '.join(map(repr, twice))}; give each a name of its own"
        )
    return names


def _csv_fault(row: Any, names: int, taken: list[str]) -> Fault | None:
    """What is wrong with a row, or with the lines that an error was met in."""
    if isinstance(row, csv.Error):
        several = (
            f"; {len(taken)} lines were taken for this row: is a quote not closed?" if len(taken) > 1 else ""
        )
        return Fault("malformed_csv", f"{row}{several}")
    if None in row or None in row.values():
        return Fault("malformed_csv", f"has another number of values than the header has columns ({names})")
    if any(not value.isprintable() and _surrogate(value) for value in row.values()):
        return Fault("invalid_utf8", "a value is not UTF-8")
    return None


def _parsed(reader: Any) -> Iterator[Any]:
    """The rows of a CSV reader; an error in the place of a row that it cannot read."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def _surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line; a line over MAX_ROW is cut there, and so cannot be parsed."""
    line, rest = 1, b""
    with path.open("rb") as file:
        block = file.read(BLOCK).removeprefix(b"\xef\xbb\xbf")
        while block:
            pieces = block.split(b"\n")
            if len(rest) < MAX_ROW:
                rest += pieces[0]
            if len(pieces) > 1:
                pieces[0], rest = rest, pieces.pop()
                yield from enumerate(pieces, line)
                line += len(pieces)
            block = file.read(BLOCK)
    yield line, rest


def array_rows(path: Path) -> Iterator[RawRow]:
    """Rows of one JSON array, numbered from 1; a broken or endless one is a row with its fault."""
    with path.open("rb") as file:
        for number, text in enumerate(elements(file, BLOCK, MAX_ROW), 1):
            if len(text) > MAX_ROW:
                lost = (
                    f"longer than {MAX_ROW} bytes without an end in sight; the rest of the file was not read"
                )
                yield RawRow(number, None, text, Fault("too_long", lost))
            else:
                yield parse(text, number)


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    """Rows of a Parquet file, a row group at a time; a damaged one is a fault in the place of its rows.

    Texts stay in their dictionaries, so that a long one that many rows share is held once.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        texts = [
            field.name
            for field in schema
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        ]
        nested = any(pa.types.is_nested(field.type) for field in schema)
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            before = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                yield from _group_rows(file, group, before, rows, NESTED_BATCH if nested else BATCH_ROWS)
                before += rows
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: a damaged Parquet file ({error}); fetch it again") from error


def _group_rows(file: Any, group: int, before: int, rows: int, batch_size: int) -> Iterator[RawRow]:
    import pyarrow as pa

    read = 0
    try:
        for raw in batch_rows(file.iter_batches(batch_size=batch_size, row_groups=[group])):
            read = raw.line
            raw = raw._replace(line=before + raw.line)
            yield _too_long(raw) if raw.fault is None else raw
    except (pa.ArrowException, OSError) as error:
        lost = f"rows {before + read + 1} to {before + rows} (row group {group}) cannot be read: {str(error)[:200]}"
        yield RawRow(before + read + 1, None, None, Fault("damaged_rows", lost))


def _too_long(raw: RawRow) -> RawRow:
    """A row as it is, or without its values and with a fault where they are too long."""
    size = sum(len(value) for value in raw.row.values() if isinstance(value, str | bytes))
    if size <= MAX_ROW:
        return raw
    return RawRow(raw.line, None, None, Fault("too_long", f"the row is longer than {MAX_ROW} characters"))


def _json_fault(text: bytes, error: orjson.JSONDecodeError) -> Fault:
    if len(text) >= MAX_ROW:
        return Fault("too_long", f"the line is longer than {MAX_ROW} bytes")
    try:
        plain = text.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return Fault("invalid_utf8", f"byte {wrong.start} of the row is not UTF-8 ({wrong.reason})")
    try:
        json.dumps(json.loads(plain), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return Fault("lone_surrogate", "an escape such as \\ud800 is an unpaired surrogate")
    except (ValueError, RecursionError):
        pass
    return Fault("malformed_json", f"not JSON: {error.msg} at character {error.pos}")
