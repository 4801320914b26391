"""Rows of CSV and TSV files, read strictly: a row that does not fit its header is a fault, as it stands in the file."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from curation.ingest.containers.packing import open_plain
from curation.ingest.containers.rows import MAX_ROW, RawRow, check_names
from schemas.errors import DataError
from schemas.response import Fault

SEPARATORS = {".csv": ",;\t|", ".tsv": "\t"}
"""What may separate the values, by the file's suffix; the first of the most frequent in the header does."""
COMMENT = "#"


def csv_rows(path: Path, separators: str) -> Iterator[RawRow]:
    """Rows by the names in the first line, all values texts; numbered from 1 as the first row behind it.

    Lines before the header that are blank or begin with `#` are comments.
    """
    csv.field_size_limit(MAX_ROW)
    with (
        open_plain(path) as plain,
        io.TextIOWrapper(plain, encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        lines, header = _behind_comments(file)
        separator = max(separators, key=header.count)
        taken: list[str] = []
        reader = csv.DictReader(_remembered(lines, taken), delimiter=separator, strict=True)
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


def _behind_comments(file: Iterator[str]) -> tuple[Iterator[str], str]:
    """The lines from the header on, and the header; a `#` may be the name of its first column."""
    skipped: list[str] = []
    for line in file:
        if line.strip() and not line.startswith(COMMENT):
            last = skipped[-1] if skipped else ""
            named = last.startswith(COMMENT) and any(
                last.count(mark) == line.count(mark) > 0 for mark in ",;\t|"
            )
            first = [last, line] if named else [line]
            return chain(first, file), first[0]
        skipped.append(line)
    return iter(skipped), "".join(skipped)


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
    check_names(path, names)
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
