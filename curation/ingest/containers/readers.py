"""Streams of raw rows from any container, each with its line or row number.

The container is detected by content, not by the file's name; only CSV, which has no signature, needs .csv or .tsv. Rows that
cannot be read are yielded as rows with a fault, so that an invalid row does not stop the others.
"""

import io
import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from curation.ingest.containers.arrow_files import ARROW, ARROW_STREAM, PARQUET, ipc_batches, parquet_batches
from curation.ingest.containers.csv_files import COMMENT, SEPARATORS, csv_rows
from curation.ingest.containers.json_array import elements
from curation.ingest.containers.packing import (
    BLOCK,
    Unreadable,
    open_plain,
    packing_of,
    plain_suffix,
    read_head,
)
from curation.ingest.containers.rows import MAX_ROW, Batch, RawRow, RowGroup, Source, batched, grouped
from curation.ingest.containers.wrapped import find_rows, opens_over_lines
from curation.ingest.containers.zipped import MAGIC as ZIP
from curation.ingest.containers.zipped import faulty, sample_files, zip_texts
from schemas.errors import DataError
from schemas.response import Fault

LARGE, DIGITS = 2.0**63, 19
"""From here on a whole number may not fit into 64 bits."""
WIDE = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"
LIKELY = ("data", "rows", "samples")
"""Keys that hold the rows of an object, whatever stands beside them."""
FIRST_BLOCK, LINES_BLOCK = 2**16, 2**19
"""Bytes of lines that are read together, at first and later: more do not fit into a processor's cache."""
MARK = secrets.randbits(62)
BETWEEN = b",%d]\n,[" % MARK
"""Stands between the lines that are parsed together, each in a list of its own: no file can know the number, and so none can hold
something that reads otherwise in company than alone."""
QUOTE, BACKSLASH = b'"\\'
FLAT = frozenset({int, float, bool, type(None)})
Stream = Callable[[], Iterator[Batch]]


def file_source(path: Path) -> Source:
    """The rows of a file.

    Raises:
        OSError: if it cannot be opened.
        DataError: if it is empty, or not a supported container.
    """
    return Source(path.name, (path,), _told(path, _reader(path)))


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
    if _quotes(text) != _needed_quotes(row) and (twice := _doubled_key(text)):
        return RawRow(
            line,
            None,
            text,
            Fault("duplicate_key", f"the key {twice!r} occurs twice in one object; keep one"),
        )
    return RawRow(line, _python_json(text) if _has_large_float(row) else row, text)


def _quotes(text: bytes) -> int:
    """The quotes around keys and texts of some JSON: all that no backslash stands before."""
    import numpy as np  # only here: lists of names need no arrays

    codes = np.frombuffer(text, np.uint8)
    quotes = codes == QUOTE
    count = int(np.count_nonzero(quotes))
    if b"\\" not in text:
        return count
    escapes = codes == BACKSLASH
    if np.any(escapes[1:] & escapes[:-1]):  # a backslash that is escaped itself escapes nothing
        return _quotes(text.replace(b"\\\\", b"  "))
    return count - int(np.count_nonzero(quotes[1:] & escapes[:-1]))


def _needed_quotes(value: Any) -> int:
    """The quotes that the JSON of a value has at least; it has more where one object has a key twice, of which parsers keep the last."""
    count, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        if type(value) is str:
            count += 2
        elif type(value) is dict:
            count += 2 * len(value)
            waiting += value.values()
        elif type(value) is list:
            waiting += value
    return count


def _doubled_key(text: bytes) -> str | None:
    """A key that one object has twice."""
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        found.extend(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)

    json.loads(text, object_pairs_hook=note)
    return found[0][:80] if found else None


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
        value = value.values()
    elif type(value) is not list:
        return False
    for entry in value:  # noqa: SIM110 - a generator for every row takes longer than the row
        if type(entry) is not str and _has_large_float(entry):
            return True
    return False


def _reader(path: Path) -> Stream:
    packing = packing_of(path)
    try:
        start = read_head(path)
    except Unreadable as error:
        raise DataError(f"{path}: {error}; fetch it again") from error
    binary = _binary_reader(path, start)
    if binary and packing:
        raise DataError(f"{path}: Parquet, Arrow or zip inside {packing}; unpack it first")
    return binary or _text_reader(path, start)


def _binary_reader(path: Path, start: bytes) -> Stream | None:
    """The reader of a container with a signature of its own."""
    if start.startswith(PARQUET):
        return lambda: parquet_batches(path)
    if start.startswith((ARROW, ARROW_STREAM)):
        return lambda: ipc_batches(path, stream=start.startswith(ARROW_STREAM))
    if start.startswith(ZIP):
        samples = sample_files(path)
        return lambda: batched(
            faulty(number, text) if isinstance(text, Fault) else parse(text, number)
            for number, text in zip_texts(path, samples)
        )
    return None


def _text_reader(path: Path, start: bytes) -> Stream:
    if start.startswith(WIDE):
        raise DataError(
            f"{path}: not UTF-8 but UTF-16; convert it first, such as with: iconv -f utf-16 -t utf-8"
        )
    text = start.removeprefix(BOM).lstrip()
    if not text:
        raise DataError(f"{path}: the file is empty; name a file with rows")
    if text.startswith(b"["):
        return lambda: batched(array_rows(path))
    if text.startswith(b"{"):
        return _object_reader(path, start, text)
    separators = SEPARATORS.get(plain_suffix(path))
    if separators:
        return lambda: batched(csv_rows(path, separators))
    if text.startswith(COMMENT.encode()) or b"{" not in text:
        raise DataError(
            f"{path}: neither JSON nor Parquet; if its values are separated by commas or tabs, name it .csv or .tsv"
        )
    return lambda: jsonl_batches(path)


def _object_reader(path: Path, start: bytes, text: bytes) -> Stream:
    """JSONL, or the rows inside one JSON object."""
    first, _, others = text.partition(b"\n")
    alone = not others.strip() and len(start) < BLOCK
    over_lines = opens_over_lines(first)
    if not alone and not over_lines and others:
        return lambda: jsonl_batches(path)
    rows = find_rows(start)
    if rows and (over_lines or _only_wraps(first, rows.key)):
        return lambda: batched(wrapped_rows(path, rows.offset))
    if over_lines:
        raise DataError(
            f"{path}: one JSON object over several lines, and no single list of rows in it; write one object per line, or an array, "
            "such as with: jq -c . FILE"
        )
    return lambda: jsonl_batches(path)


def _only_wraps(text: bytes, key: str) -> bool:
    """Whether an object on one line holds rows, and is none itself: a chat of one line is a row."""
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError:
        return True
    return key in LIKELY or not any(isinstance(value, str) for value in row.values())


def _told(path: Path, batches: Stream) -> Stream:
    """The rows of a file; an error that names it if it is gone or breaks after it was found.

    What packed data that break off would have held is a fault behind the last row.
    """

    def stream() -> Iterator[Batch]:
        line = 0
        try:
            for batch in batches():
                line = batch.lines[-1]
                yield batch
        except Unreadable as error:
            lost = Fault("damaged_rows", f"what follows is lost: {error}")
            yield Batch.of([RawRow(line + 1, None, None, lost)])
        except OSError as error:
            why = "it was deleted" if isinstance(error, FileNotFoundError) else error.strerror
            raise DataError(
                f"{path}: could be opened, but not read later ({why}); put it right and run the same command again"
            ) from error

    return stream


def jsonl_batches(path: Path) -> Iterator[Batch]:
    """Rows of a file with one JSON object a line; a broken line is a row with its fault."""
    for numbers, text in _line_blocks(path):
        batch = _sound_batch(numbers, text) or Batch.of(
            [
                parse(piece, n)
                for n, piece in zip(numbers, text.split(b"\n"), strict=True)
                if piece and not piece.isspace()
            ]
        )
        if batch.size:
            yield batch


def _sound_batch(numbers: range, text: bytes) -> Batch | None:
    """Lines that are all objects as they should be, or null: then they are to be parsed one by one, to tell which is not."""
    try:
        pieces = (b"[[", text.replace(b"\n", BETWEEN), BETWEEN[: BETWEEN.index(b"\n")], b"]")
        found = orjson.loads(b"".join(pieces))
        rows = [row for row, mark in found if mark == MARK and type(row) is dict]
    except (orjson.JSONDecodeError, TypeError, ValueError):
        return None
    if not len(rows) == len(found) == len(numbers):
        return None
    groups = grouped(rows, range(len(rows)))
    if _quotes(text) != sum(map(_group_quotes, groups)) or any(map(_has_large_floats, groups)):
        return None
    return Batch(numbers, rows, groups, texts=_texts(text))


def _texts(text: bytes) -> Callable[[int], bytes]:
    """The line at a place; the lines are told apart when the first is asked for."""
    lines: list[bytes] = []

    def line(place: int) -> bytes:
        if not lines:
            lines.extend(text.split(b"\n"))
        return lines[place]

    return line


def _group_quotes(group: RowGroup) -> int:
    """The quotes that the JSON of all rows has, at least."""
    count = 2 * len(group.columns) * len(group.places)
    for values, kinds in group.columns.values():
        count += (
            2 * len(values) if kinds == {str} else sum(map(_needed_quotes, values)) if kinds - FLAT else 0
        )
    return count


def _has_large_floats(group: RowGroup) -> bool:
    return any(
        kinds - {str, int, bool, type(None)} and any(map(_has_large_float, values))
        for values, kinds in group.columns.values()
    )


def _line_blocks(path: Path) -> Iterator[tuple[range, bytes]]:
    """Whole lines that follow one another, and their numbers; a line over MAX_ROW is cut there, and so cannot be parsed."""
    line, rest = 1, bytearray()
    with open_plain(path) as file:
        for block in _blocks(file):
            cut = block.rfind(b"\n")
            if cut < 0:
                rest += block if len(rest) < MAX_ROW else b""
                continue
            if len(rest) >= MAX_ROW:
                yield range(line, line + 1), bytes(rest)
                line, rest, block = line + 1, bytearray(), block[block.find(b"\n") + 1 :]
                cut = block.rfind(b"\n")
            if cut >= 0:
                text = b"".join((rest, memoryview(block)[:cut]))
                numbers = range(line, line + text.count(b"\n") + 1)
                yield numbers, text
                line = numbers.stop
            rest = bytearray(block[cut + 1 :])
    if rest:
        yield range(line, line + 1), bytes(rest)


def _blocks(file: io.BufferedReader) -> Iterator[bytes]:
    """A file in blocks, small ones first; those before an error are handed on before it is raised."""
    wanted, begun = FIRST_BLOCK, False
    while True:
        pieces: list[bytes] = []
        missing = wanted
        try:
            while missing > 0 and (piece := file.read1(missing)):
                pieces.append(piece)
                missing -= len(piece)
        finally:
            if pieces:
                block = b"".join(pieces)
                yield block if begun else block.removeprefix(BOM)
        if not pieces:
            return
        wanted, begun = min(2 * wanted, LINES_BLOCK), True


def array_rows(path: Path) -> Iterator[RawRow]:
    """Rows of one JSON array, numbered from 1; a broken or endless one is a row with its fault."""
    yield from _element_rows(path, 0)


def wrapped_rows(path: Path, offset: int) -> Iterator[RawRow]:
    """Rows of the array that begins at a byte of a file that is one JSON object; a row that is wrapped again, as `{"row": ...}`."""
    for raw in _element_rows(path, offset, tail=False):
        row = raw.row
        if not (isinstance(row, dict) and isinstance(row.get("row"), dict) and "row_idx" in row):
            yield raw
        elif cut := row.get("truncated_cells"):
            detail = (
                f"the viewer cut these columns: {', '.join(map(str, cut))[:200]}; take the data set's files"
            )
            yield RawRow(raw.line, row["row"], raw.text, Fault("truncated_cells", detail))
        else:
            yield raw._replace(row=row["row"], text=None)


def _element_rows(path: Path, offset: int, tail: bool = True) -> Iterator[RawRow]:
    with open_plain(path) as file:
        file.read(offset)
        for number, text in enumerate(elements(file, BLOCK, MAX_ROW, tail), 1):
            if len(text) > MAX_ROW:
                lost = (
                    f"longer than {MAX_ROW} bytes without an end in sight; the rest of the file was not read"
                )
                yield RawRow(number, None, text, Fault("too_long", lost))
            else:
                yield parse(text, number)


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
