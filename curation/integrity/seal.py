"""A checksum of a Parquet file's footer, which the checksums of its pages do not cover.

It stands right in front of the footer, where nothing of a Parquet file is looked for: readers find the footer from the file's end.
The footer has least and greatest values, and DuckDB leaves out rows for what they say.
"""

import hashlib
from pathlib import Path
from typing import BinaryIO, Literal

SIGN = b"footer-blake2b:"
DIGEST = 16
TAIL = 8
"""Bytes behind the footer: its length, and PAR1."""

Sealed = Literal["whole", "changed", "none"]
"""none: written by an earlier version, with no checksums at all."""


def seal(path: Path) -> None:
    """Put the checksum into a finished file."""
    with path.open("r+b") as file:
        start, footer = _footer(file)
        file.seek(start)
        file.write(SIGN + _digest(footer) + footer)


def sealed(path: Path) -> Sealed:
    """Whether a file's footer is as it was written."""
    with path.open("rb") as file:
        start, footer = _footer(file)
        file.seek(max(0, start - DIGEST - len(SIGN)))
        said = file.read(start - file.tell())
    if not said.startswith(SIGN):
        return "none"
    return "whole" if said == SIGN + _digest(footer) else "changed"


def _footer(file: BinaryIO) -> tuple[int, bytes]:
    """Where the footer begins, and its bytes to the file's end; none where its length is none."""
    end = file.seek(0, 2)
    file.seek(max(0, end - TAIL))
    length = int.from_bytes(file.read(4), "little") + TAIL
    start = file.seek(end - length if length <= end else end)
    return start, file.read()


def _digest(footer: bytes) -> bytes:
    return hashlib.blake2b(footer, digest_size=DIGEST).digest()
