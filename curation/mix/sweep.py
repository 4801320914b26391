"""Sweeps: one recipe file, many mixes.

    name: study-${strategy}
    sweep:
      strategy: {improved: strategy = 'improved', nocot: reasoning = ''}    # label: value, or a list of values
    parts:
      safety: {where: "kind = 'harmful' and ${strategy}", take: 1000}

An axis may be `codebook:NAME`: the entries of a codebook (a shipped one, or a file beside the recipe), for ablations of each.

Every combination of the axes' values is a point, a recipe of its own. `${axis}` is replaced by the value; in `name` and
`description` by its label. A text that is nothing but `${axis}` keeps the value's type, so `take: ${size}` is a number.
"""

import itertools
import math
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from curation.mix.recipe import MixRecipe
from curation.reading import near
from curation.recipe import Lines, Loaded, Location, check_recipe, load_merged
from curation.trust import beside
from schemas.choices import meant
from schemas.errors import RecipeError, UsageError

MAX_POINTS = 1000
LABELLED = ("name", "description")
OF_CODEBOOK = "codebook:"
_PLACE = re.compile(r"\$\{(\w+)\}")
Scalar = str | int | float | bool

Points = dict[str, Loaded[MixRecipe]]
"""Recipes by name, in the order of the sweep."""


class _AxisValue(NamedTuple):
    label: str
    value: Scalar


def load_points(path: Path) -> Points:
    """The recipes of a file: one for each point of its sweep, or the one it is.

    Raises:
        RecipeError: naming every fault of every point with its line.
    """
    data, lines = load_merged(path)
    axes = _axes(data.pop("sweep", None), lines) if isinstance(data, dict) else {}
    count = math.prod(len(values) for values in axes.values())
    if count > MAX_POINTS:
        raise RecipeError(lines.error(("sweep",), f"{count} points are more than {MAX_POINTS}"))
    combinations = list(itertools.product(*axes.values()))
    faults: dict[str, None] = {}
    points: Points = {}
    for combination in combinations:
        try:
            point = _fill(data, dict(zip(axes, combination, strict=True)), lines, ())
            loaded = check_recipe(point, lines, MixRecipe)
            if loaded.recipe.name in points:
                raise RecipeError(
                    lines.error(
                        ("name",),
                        f"two points are named {loaded.recipe.name}; put every axis in as ${{axis}}",
                    )
                )
            points[loaded.recipe.name] = loaded
        except RecipeError as error:
            faults.update(dict.fromkeys(str(error).splitlines()))
    if faults:
        raise RecipeError("\n".join(faults))
    return points


def find_points(name: str) -> Points:
    """The recipes meant by a name: a file, a shipped file, or one point of a shipped file.

    Raises:
        UsageError: if there is none; lists the shipped names.
    """
    if Path(name).is_file():
        return load_points(Path(name))
    shipped = shipped_files()
    if name in shipped:
        return dict(_load_shipped(shipped[name]))
    for path in shipped.values():
        points = _load_shipped(path)
        if name in points:
            return {name: points[name]}
    known = [*shipped, *shipped_recipes()]
    listed = "\n  ".join(known)
    raise UsageError(
        f"{name}: no such file, and no shipped recipe of that name{near(Path(name)) or meant(name, known)}; shipped:\n  {listed}"
    )


def shipped_recipes() -> dict[str, str]:
    """Name and description of each recipe that comes with the package, points of sweeps included."""
    return {
        name: loaded.recipe.description
        for path in shipped_files().values()
        for name, loaded in _load_shipped(path).items()
    }


@cache
def _load_shipped(path: Path) -> Points:
    """The recipes of a shipped file, which does not change: who looks for one by its name reads many."""
    return load_points(path)


def shipped_files() -> dict[str, Path]:
    """The recipe files that come with the package; those that others extend begin with `_`."""
    folder = Path(str(files("curation.mix") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("[!_]*.yaml"))}


def _axes(sweep: Any, lines: Lines) -> dict[str, list[_AxisValue]]:
    if sweep is None:
        return {}
    if not isinstance(sweep, dict) or not sweep:
        raise RecipeError(
            lines.error(("sweep",), "write axes as name: a list of values or label: value pairs")
        )
    faults: list[str] = []
    axes: dict[str, list[_AxisValue]] = {}
    for axis, choices in sweep.items():
        if isinstance(choices, str) and choices.startswith(OF_CODEBOOK):
            choices = _entries(choices, lines, axis, faults)
        pairs = list(choices.items()) if isinstance(choices, dict) else [(c, c) for c in choices or ()]
        if not isinstance(choices, dict | list) or not pairs or not isinstance(axis, str):
            faults.append(lines.error(("sweep", axis), "give a list of values, or label: value pairs"))
        elif not all(isinstance(value, Scalar) for _, value in pairs):
            faults.append(lines.error(("sweep", axis), "values are texts, numbers, true or false"))
        else:
            axes[axis] = [_AxisValue(str(label), value) for label, value in pairs]
    if faults:
        raise RecipeError("\n".join(faults))
    return axes


def _entries(choices: str, lines: Lines, axis: str, faults: list[str]) -> list[str]:
    from curation.codebook.stage import find  # only here: it loads DuckDB

    name = choices.removeprefix(OF_CODEBOOK)
    try:
        place = (
            str(beside(lines.file_of(("sweep", axis)), name)) if name.endswith((".yaml", ".yml")) else name
        )
        return list(find(place).entries)
    except RecipeError as error:
        faults.append(lines.error(("sweep", axis), str(error)))
        return ["none"]


def _fill(value: Any, point: Mapping[str, _AxisValue], lines: Lines, place: Location) -> Any:
    if isinstance(value, dict):
        return {key: _fill(inner, point, lines, (*place, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, point, lines, (*place, index)) for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    unknown = sorted(set(_PLACE.findall(value)) - set(point))
    if unknown:
        known = ", ".join(point) or "none"
        raise RecipeError(lines.error(place, f"${{{unknown[0]}}} is not an axis of the sweep; axes: {known}"))
    if place and place[0] in LABELLED:
        return _PLACE.sub(lambda placeholder: point[placeholder[1]].label, value)
    alone = _PLACE.fullmatch(value)
    return (
        point[alone[1]].value
        if alone
        else _PLACE.sub(lambda placeholder: str(point[placeholder[1]].value), value)
    )
