"""Chooses the Python of the sandbox and the folders it needs.

As root the sandbox runs as the user nobody, who often cannot read root's own Python: then the system's is used, and its version
is part of the scores.
"""

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from schemas.errors import EngineError

NOBODY = 65534
PACKAGES = ("python3*/site-packages", "python3*/dist-packages")


class Python(NamedTuple):
    """An interpreter."""

    executable: Path
    libraries: tuple[Path, ...]
    """Folders of its own and the system's libraries."""


@cache
def python() -> Python:
    """The running Python, or the system's if the sandbox's user cannot read it.

    Raises:
        EngineError: if there is none.
    """
    here = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    for executable in (here, Path("/usr/bin/python3"), Path("/usr/local/bin/python3")):
        real = executable.resolve()
        if real.is_file() and _open_to_user(real):
            return Python(real, tuple(dict.fromkeys(_libraries(real.parent.parent))))
    raise EngineError(
        f"{here}: the user nobody cannot read this Python, and there is no other; install python3 system-wide, "
        "or do not score as root"
    )


@cache
def packages(inside: Python) -> list[Path]:
    """The folders of installed packages among an interpreter's libraries."""
    places = {folder.resolve() for folder in inside.libraries}
    folders = {path for place in places for pattern in PACKAGES for path in place.glob(pattern)}
    return sorted(path for path in folders if path.is_dir() and not path.is_symlink())


def _open_to_user(path: Path) -> bool:
    if os.geteuid():
        return os.access(path, os.X_OK)
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


def _libraries(prefix: Path) -> Iterator[Path]:
    for folder in (prefix / "lib", *map(Path, ("/usr/lib", "/usr/lib64", "/lib", "/lib64"))):
        if folder.is_dir():
            yield folder
