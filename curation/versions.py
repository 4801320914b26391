"""Library versions for manifests."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of installed packages, for a manifest."""
    return {"python": platform.python_version()} | {package: _installed(package) for package in packages}


@cache
def _installed(package: str) -> str:
    """Each is read from a file, which no process sees change."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
