"""Names that a package hands on without importing their modules: those come in when a name is first asked for.

`import curation` must be cheap, since every command and every notebook begins with it. Beside the call stand the same imports
under `TYPE_CHECKING`, for type checkers and editors; a test holds the two against each other.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`.

    Args:
        package: its `__name__`.
        homes: module -> the names it holds, with spaces between them.
    """
    home_of = {name: module for module, names in homes.items() for name in names.split()}

    def __getattr__(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home_of[name]), name)

    return __getattr__
