"""Files as plain bytes, whatever they are packed with, and never more bytes than a file of rows of that size can hold."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

BLOCK = 4 * 2**20
"""Bytes read at once."""
PIECE = 2**16
"""Bytes unpacked at once: what a damaged file holds before the damage is not lost with it."""
PACKINGS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz", b"BZh": "bzip2"}
"""Magic bytes -> name."""
SUFFIXES = frozenset({".gz", ".zst", ".zstd", ".xz", ".bz2"})
FLOOR, RATIO = 2**30, 100
"""A file may expand to a GiB, or else to a hundred times its size; rows of text pack to a tenth."""


class Unreadable(OSError):
    """The packed bytes are damaged, cut, or expand to more than is read; says which."""


class Unpacked(io.RawIOBase):
    """The bytes of a packed file.

    Args:
        stream: unpacks as it is read.
        most: how many bytes are read before it is refused.
    """

    def __init__(self, stream: Any, most: int) -> None:
        super().__init__()
        self._stream, self._left, self._most = stream, most, most

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer.

        Raises:
            Unreadable: if the bytes are damaged or too many.
        """
        try:
            data = self._stream.read1(min(len(buffer), PIECE))
        except (EOFError, zlib.error, lzma.LZMAError, OSError, ValueError) as error:
            raise Unreadable(f"the packed data are damaged or cut ({error})") from error
        self._left -= len(data)
        if self._left < 0:
            raise Unreadable(
                f"the file expands to more than {self._most:,} bytes; unpack it yourself if that is right"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the packed file too."""
        if not self.closed:
            self._stream.close()
        super().close()


def packing_of(path: Path) -> str | None:
    """What a file is packed with, by its first bytes; null for a plain one."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((name for magic, name in PACKINGS.items() if start.startswith(magic)), None)


def open_plain(path: Path) -> io.BufferedReader:
    """A file's bytes, unpacked; reading them may raise Unreadable."""
    packing = packing_of(path)
    if packing is None:
        return path.open("rb")
    openers: dict[str, Callable[[Path], Any]] = {
        "gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open, "zstd": _zstd,
    }  # fmt: skip
    most = max(FLOOR, RATIO * path.stat().st_size)
    return io.BufferedReader(Unpacked(openers[packing](path), most), BLOCK)


def read_head(path: Path) -> bytes:
    """A file's first bytes, unpacked: BLOCK of them, or as many as there are before its end or a damage.

    Raises:
        Unreadable: if there are none before the damage.
    """
    head = b""
    with open_plain(path) as file:
        while len(head) < BLOCK:
            try:
                piece = file.read1(BLOCK - len(head))
            except Unreadable:
                if head:
                    return head
                raise
            if not piece:
                break
            head += piece
    return head


def plain_suffix(path: Path) -> str:
    """The suffix of a file's name, without that of its packing."""
    named = Path(path.stem) if path.suffix.lower() in SUFFIXES else path
    return named.suffix.lower()


def _zstd(path: Path) -> Any:
    import pyarrow as pa

    return pa.input_stream(str(path), compression="zstd")
