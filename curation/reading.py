"""How files that a user names are read: their hash, and their text in UTF-8; an error names the file and what to do."""

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from glob import escape
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.choices import meant
from schemas.errors import CorpusError, CurateError, DataError, RecipeError
from schemas.faults import listed

M = TypeVar("M", bound=BaseModel)

MARKERS = {"corpus.json": "a corpus", "manifest.json": "a mix", "run.json": "a run of `sft run`"}
"""A file that says what a folder is."""
SPELLED = 0.8
"""How like a file's name must be to one that was misspelled: any folder has names that are a little like others."""
MAX_BYTES = 1_000_000
"""Largest recipe, template or strategy."""


def made_by_us(folder: Path) -> str:
    """What a folder is, if this toolkit made it; else ""."""
    return next((what for marker, what in MARKERS.items() if (folder / marker).is_file()), "")


def near(path: Path) -> str:
    """`; did you mean 'x'?` for a path that is not there: of nearly this name beside it, or a recipe of this name one folder down."""
    try:
        beside = [one for one in path.parent.iterdir() if one.name[0] != "."]
        below = [
            one for folder in beside if folder.is_dir() for one in folder.glob(f"{escape(path.stem)}.yaml")
        ]
    except OSError:
        return ""
    return (
        f"; did you mean {str(below[0])!r}?"
        if below
        else meant(path.name, [one.name for one in beside], SPELLED)
    )


def read_text(
    file: Path | Traversable,
    advice: str = "check the path",
    most: int | None = MAX_BYTES,
    kind: type[CurateError] = RecipeError,
) -> str:
    """The text of a UTF-8 file, with line feeds only and without a byte-order mark.

    Args:
        file: the file.
        advice: what to do about a file that cannot be read.
        most: bytes it may have; any number if null.
        kind: the error to raise.

    Raises:
        CurateError: of that kind, if it is missing, too large, or not UTF-8.
    """
    try:
        with _opened(file) as handle:
            data = handle.read(-1 if most is None else most + 1)
    except OSError as error:
        like = near(file) if isinstance(file, Path) and isinstance(error, FileNotFoundError) else ""
        raise kind(f"{file}: cannot be read ({error.strerror}); {advice}{like}") from error
    if most is not None and len(data) > most:
        raise kind(f"{file}: larger than {most:,} bytes; is this the right file?")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise kind(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


def _opened(file: Path | Traversable) -> IO[bytes]:
    """A file, for reading; not a pipe or a device, which might never end."""
    if not isinstance(file, Path):
        return file.open("rb")
    handle = open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
        handle.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return handle


def hash_files(paths: Sequence[Path]) -> str:
    """BLAKE2b (128 bits, hex) of the bytes of some files, one after the other.

    Raises:
        DataError: if one cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        try:
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); put it right and try again"
            ) from error
    return digest.hexdigest()


def read_model(path: Path, model: type[M]) -> M:
    """A JSON file that this toolkit wrote, such as a manifest.

    Raises:
        CorpusError: if it is damaged; says where.
        FileNotFoundError: if it is missing.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CorpusError(f"{path}: damaged or edited ({listed(error)}); restore it from a copy") from error
