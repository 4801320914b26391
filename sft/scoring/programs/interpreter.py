"""Which Python is laid into the sandbox, and which folders it needs there.

As root the sandbox belongs to the user nobody, who often cannot read root's own Python: the system's is taken then, and its
version is part of what scores say.
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
    """Its own and the system's."""


@cache
def python() -> Python:
    """The running Python, or the system's where the sandbox's user may not read that one.

    Raises:
        EngineError: if there is none.
    """
    here = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    for executable in (here, Path("/usr/bin/python3"), Path("/usr/local/bin/python3")):
        real = executable.resolve()
        if real.is_file() and _open_to_user(real):
            return Python(real, tuple(dict.fromkeys(_libraries(real.parent.parent))))
    raise EngineError(
        f"{here}: the user nobody cannot read this Python, and there is no other; install python3 for the whole machine, "
        "or do not score as root"
    )


@cache
def packages(inside: Python) -> list[Path]:
    """The folders of installed packages among an interpreter's libraries."""
    places = {folder.resolve() for folder in inside.libraries}
    found = {path for place in places for pattern in PACKAGES for path in place.glob(pattern)}
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def _open_to_user(path: Path) -> bool:
    if os.geteuid():
        return os.access(path, os.X_OK)
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


def _libraries(prefix: Path) -> Iterator[Path]:
    for folder in (prefix / "lib", *map(Path, ("/usr/lib", "/usr/lib64", "/lib", "/lib64"))):
        if folder.is_dir():
            yield folder
