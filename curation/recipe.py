"""Recipes: YAML files checked by pydantic, with every fault reported at once as `file:line: where: what`.

Pitfalls of YAML handled here: a repeated key silently overrides, `no` is a boolean, and anchors can expand a few bytes to
gigabytes (so they are rejected).
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from shlex import quote
from typing import Any, Generic, NamedTuple, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from curation.reading import read_text
from curation.trust import beside, check_keys
from schemas.codebooks.shipped import SafeLoader
from schemas.errors import RecipeError, UsageError
from schemas.faults import REQUIRED, faults

Location = tuple[str | int, ...]
MAX_DEPTH = 20


class Recipe(BaseModel):
    """Base of every recipe: unknown fields are errors, instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


R = TypeVar("R", bound=Recipe)


PIPELINE = {"ingest", "annotate", "dedup", "decontaminate", "mix"}
"""Fields of a pipeline's file."""


class Lines:
    """File and line of each value of a recipe, in its own file or in one that it extends."""

    def __init__(self, file: Path, places: dict[Location, tuple[Path, int]]) -> None:
        self.file = file
        self.places = places

    def file_of(self, location: Location) -> Path:
        """The file that holds a value."""
        return self.places.get(location, (self.file, 1))[0]

    def error(self, location: Location, message: str) -> str:
        """One fault as `file:line: where: what`; a value that is not in the file gets its parent's line."""
        place = location
        while place and place not in self.places:
            place = place[:-1]
        file, line = self.places.get(place, (self.file, 1))
        where = ".".join(str(step) for step in location)
        return f"{file}:{line}: " + (f"{where}: {message}" if where else message)


class Loaded(NamedTuple, Generic[R]):
    """A checked recipe and the lines of its values."""

    recipe: R
    lines: Lines


def load_recipe(path: Path, model: type[R]) -> Loaded[R]:
    """Load and check a recipe.

    `extends: other.yaml` (a path relative to the recipe) starts from another recipe: mappings are merged key by key, a
    null removes a key, any other value replaces.

    Raises:
        RecipeError: naming every fault with its line.
    """
    return check_recipe(*load_merged(path), model)


def load_merged(path: Path) -> tuple[Any, Lines]:
    """The plain data of a recipe with what it extends merged in, unchecked; raises as `load_recipe` does."""
    data, lines = _load_extended(path, ())
    check_keys(path, data)
    return data, lines


def parse_recipe(path: Path, text: str, model: type[R]) -> Loaded[R]:
    """Check a recipe that is a part of the file at `path`; raises as `load_recipe` does."""
    return check_recipe(*_parse(path, text), model)


def from_options(model: type[R], path: Path | None, options: Mapping[tuple[str, ...], Any]) -> R:
    """A recipe from a file, if given, and from command-line options, which override it.

    Args:
        model: the recipe's class.
        path: the file.
        options: field path -> value; null means not given.

    Raises:
        RecipeError: naming every fault of the file and what the options change in it.
        UsageError: naming every fault where there is no file.
    """
    given: dict[str, Any] = {}
    for place, value in options.items():
        inner = given
        if value is not None:
            for step in place[:-1]:
                inner = inner.setdefault(step, {})
            inner[place[-1]] = value
    if path:
        data, lines = load_merged(path)
        return check_recipe(_merge(_placed(data or {}, lines, model), given), lines, model).recipe
    try:
        return model.model_validate(given)
    except ValidationError as error:
        named = [(".".join(map(str, place)), message) for place, message in faults(error, model, given)]
        told = [f"{name}: {message}".removeprefix(": ") for name, message in named]
        if any(message == REQUIRED for _, message in named):
            told.append("name a recipe file that says it, or set the options (--help)")
        raise UsageError("\n".join(told)) from error


def from_arguments(model: type[R], path: str | PathLike[str] | None, given: Mapping[str, Any]) -> R:
    """A recipe from a file, if there is one, and a Python call's arguments by field, which win; null is not given.

    Raises:
        RecipeError: naming every fault.
    """
    options: dict[tuple[str, ...], Any] = {(name,): value for name, value in given.items()}
    return from_options(model, Path(path) if path else None, options)


def load_yaml(path: Path) -> tuple[Any, Lines]:
    """Read YAML into plain data and the line of every value.

    Raises:
        RecipeError: if the file is missing, too large, not UTF-8, not YAML, repeats a key or uses anchors.
    """
    return _parse(path, read_text(path))


def check_recipe(data: Any, lines: Lines, model: type[R]) -> Loaded[R]:
    """Check plain data against a recipe's model; raises as `load_recipe` does."""
    try:
        return Loaded(model.model_validate(data), lines)
    except ValidationError as error:
        if other := _written_for(data, model):
            raise RecipeError(f"{lines.file}: {other} {quote(str(lines.file))}") from error
        raise RecipeError("\n".join(lines.error(*fault) for fault in faults(error, model, data))) from error


def _written_for(data: Any, model: type[BaseModel]) -> str:
    """What a file is and the command for it, where most of its fields are another command's; else ""."""
    fields = {*data} if isinstance(data, dict) else set()
    if 2 * len(fields - model.model_fields.keys()) <= len(fields):
        return ""
    if "parts" in fields:
        return "the recipe of a mix; for it: curate build-mix --out mixes/NAME"
    if len(fields & PIPELINE) > 1:
        return "a pipeline; for it: curate run"
    return "a config of sft run; for it: sft run" if {"model", "mix"} <= fields else ""


def _parse(path: Path, text: str) -> tuple[Any, Lines]:
    try:
        with suppress(yaml.YAMLError):
            return _read(path, text, SafeLoader)
        return _read(path, text, yaml.SafeLoader)  # it says more about what is wrong
    except (
        yaml.YAMLError,
        ValueError,
    ) as error:  # PyYAML raises ValueError for impossible dates and numbers
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise RecipeError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {problem}") from error


def _read(path: Path, text: str, kind: type[Any]) -> tuple[Any, Lines]:
    _refuse_bombs(path, text, kind)
    loader = kind(text)
    node = loader.get_single_node()
    lines = dict(_walk(path, node, ())) if node else {}
    data = loader.construct_document(node) if node else None
    return data, Lines(path, {place: (path, line) for place, line in lines.items()})


def _load_extended(path: Path, seen: tuple[Path, ...]) -> tuple[Any, Lines]:
    data, lines = load_yaml(path)
    if not isinstance(data, dict) or "extends" not in data:
        return data, lines
    base = data.pop("extends")
    if not isinstance(base, str):
        raise RecipeError(lines.error(("extends",), "name one recipe file"))
    try:
        base_path = beside(path, base)
    except RecipeError as error:
        raise RecipeError(lines.error(("extends",), str(error))) from error
    if len(seen) == MAX_DEPTH:
        raise RecipeError(
            lines.error(("extends",), f"the {MAX_DEPTH}th recipe in a row that extends another; merge some")
        )
    if base_path.resolve() in seen:
        raise RecipeError(lines.error(("extends",), f"{base} extends this recipe in turn; remove the cycle"))
    base_data, base_lines = _load_extended(base_path, (*seen, path.resolve()))
    return _merge(base_data, data), Lines(path, base_lines.places | lines.places)


def _placed(data: Any, lines: Lines, model: type[BaseModel]) -> Any:
    """The data with the files that it names beside the recipe, as paths."""
    named = [
        name
        for name, field in model.model_fields.items()
        if Path in (field.annotation, *get_args(field.annotation))
    ]
    if not isinstance(data, dict):
        return data
    found = {name: data[name] for name in named if isinstance(data.get(name), str)}
    return {**data, **{name: str(beside(lines.file_of((name,)), value)) for name, value in found.items()}}


def _merge(base: Any, over: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(base.get(key), value)
    return merged


def _refuse_bombs(path: Path, text: str, kind: type[Any]) -> None:
    """Reject anchors and excessive nesting before parsing the whole file (PyYAML is quadratic in depth)."""
    depth = 0
    for event in yaml.parse(text, Loader=kind):
        line = event.start_mark.line + 1 if event.start_mark else 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise RecipeError(f"{path}:{line}: nested more than {MAX_DEPTH} levels; not a recipe?")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise RecipeError(f"{path}:{line}: anchors and aliases are not allowed; repeat the value")


def _walk(path: Path, node: yaml.Node, location: Location) -> Iterator[tuple[Location, int]]:
    yield location, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise RecipeError(
                    f"{path}:{key.start_mark.line + 1}: a key must be a word, not a list or a mapping"
                )
            if key.value in seen:
                raise RecipeError(f"{path}:{key.start_mark.line + 1}: duplicate key {key.value!r}; keep one")
            seen.add(key.value)
            for place, line in _walk(path, value, (*location, key.value)):
                # the line of a mapping is the line of its key
                yield place, key.start_mark.line + 1 if len(place) == len(location) + 1 else line
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(path, value, (*location, index))
