"""Inspect's logs (`.eval`): a zip archive with a JSON file for each sample, read one at a time."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from curation.ingest.containers.rows import MAX_ROW, RawRow
from schemas.errors import DataError
from schemas.response import Fault

MAGIC = b"PK\x03\x04"
ZSTD = 93
"""The method of zip that Inspect writes by now, and Python reads from 3.14 on."""
LOCAL_HEADER = 30
MOST_SAMPLES = 1_000_000


def sample_files(path: Path) -> list[zipfile.ZipInfo]:
    """The samples in a log, in the order of their names.

    Raises:
        DataError: if the archive is damaged, or no log of Inspect.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"{path}: {_table(path) or f'a damaged zip archive ({error}); fetch it again'}"
        ) from error
    samples = [
        info for info in infos if info.filename.startswith("samples/") and info.filename.endswith(".json")
    ]
    if not samples:
        other = "a zip archive, and no log of Inspect; unpack it and name the files in it"
        raise DataError(f"{path}: {_table(path) or other}")
    return sorted(samples[:MOST_SAMPLES], key=lambda info: info.filename)


def _table(path: Path) -> str:
    """What to do about a spreadsheet, which is a zip archive as well."""
    return (
        "a spreadsheet; save it as CSV (UTF-8)" if path.suffix.lower() in (".xlsx", ".ods", ".xlsm") else ""
    )


def zip_texts(path: Path, samples: list[zipfile.ZipInfo]) -> Iterator[tuple[int, bytes | Fault]]:
    """Number and bytes of each sample, or the fault for which it cannot be read."""
    with path.open("rb") as file, zipfile.ZipFile(path) as archive:
        for number, info in enumerate(samples, 1):
            try:
                text = _zstd_text(file, info) if info.compress_type == ZSTD else _plain_text(archive, info)
            except (
                zipfile.BadZipFile,
                zlib.error,
                EOFError,
                OSError,
                ValueError,
                RuntimeError,
                NotImplementedError,
            ) as error:
                yield (
                    number,
                    Fault("damaged_rows", f"{info.filename[:80]} cannot be read: {str(error)[:200]}"),
                )
                continue
            long = Fault("too_long", f"{info.filename[:80]} is longer than {MAX_ROW} bytes")
            yield number, text if len(text) <= MAX_ROW else long


def faulty(number: int, fault: Fault) -> RawRow:
    """The row of a sample that cannot be read."""
    return RawRow(number, None, None, fault)


def _plain_text(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as member:
        return member.read(MAX_ROW + 1)


def _zstd_text(file: io.BufferedReader, info: zipfile.ZipInfo) -> bytes:
    import pyarrow as pa

    file.seek(info.header_offset)
    header = file.read(LOCAL_HEADER)
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    file.seek(info.header_offset + LOCAL_HEADER + names)
    packed = file.read(min(info.compress_size, MAX_ROW + 1))
    with pa.input_stream(io.BytesIO(packed), compression="zstd") as stream:
        return bytes(stream.read(MAX_ROW + 1))
