"""Annotators by name. A name is the family ("rules"); the version it carries today is in the Annotator itself.

Each entry is a factory behind an import, so that asking for one annotator never loads the libraries of another.
"""

from collections.abc import Callable

from annotators.base import Annotator
from schemas.errors import RecipeError


def _rules() -> Annotator:
    from annotators.rules import annotator

    return annotator()


FACTORIES: dict[str, Callable[[], Annotator]] = {"rules": _rules}


def get(name: str) -> Annotator:
    """The annotator of this name.

    Raises:
        RecipeError: if there is none; the message lists those there are.
    """
    if name not in FACTORIES:
        raise RecipeError(f"unknown annotator {name!r}; known here: {', '.join(sorted(FACTORIES))}")
    return FACTORIES[name]()
