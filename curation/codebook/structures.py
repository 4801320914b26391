"""Reasoning structures by name or from a user's file, and variants that leave out a part."""

from pathlib import Path

from pydantic import ValidationError

from annotators.structure.grammar import Structure, shipped, shipped_names
from curation.recipe import load_merged
from curation.trust import beside
from schemas.choices import meant
from schemas.errors import RecipeError
from schemas.faults import faults

FAMILY = "structure:"
WITHOUT = " without "


def is_structure(name: str) -> bool:
    """Whether a name means a structure: `structure:alt`, `structure:mine.yaml`, `structure:alt without assessed`."""
    return name.startswith(FAMILY)


def structure_file(name: str) -> str | None:
    """The file that a name means; null for a shipped structure, or none."""
    plain = name.removeprefix(FAMILY).partition(WITHOUT)[0]
    return plain if is_structure(name) and plain.endswith((".yaml", ".yml")) else None


def find_structure(name: str, recipe: Path | None = None) -> Structure:
    """The structure of a name or file.

    Args:
        name: as in `is_structure`, with or without `structure:`.
        recipe: the file that names it; the structure's file stands beside it.

    Raises:
        RecipeError: if there is none, or the file is wrong; names every fault with its line.
    """
    plain, _, left_out = name.removeprefix(FAMILY).partition(WITHOUT)
    is_file = plain.endswith((".yaml", ".yml"))
    found = _load(beside(recipe, plain) if recipe else Path(plain)) if is_file else _shipped(plain)
    try:
        return found.without(left_out.strip()) if left_out else found
    except ValueError as error:
        raise RecipeError(f"{name}: {error}") from error


def _shipped(name: str) -> Structure:
    if name not in shipped_names():
        names = shipped_names()
        raise RecipeError(
            f"no structure {name!r}{meant(name, names)}; shipped: {', '.join(names)}; or a file that ends in .yaml"
        )
    return shipped(name)


def _load(path: Path) -> Structure:
    data, lines = load_merged(path)
    try:
        return Structure.model_validate(data)
    except ValidationError as error:
        raise RecipeError(
            "\n".join(lines.error(*fault) for fault in faults(error, Structure, data))
        ) from error
