"""What pydantic rejects, in the words of somebody who writes a file: no class, no validator and no branch of a union is named.

The surprise: of a union pydantic reports each branch apart, at a location with the branch's name in it. Here a value has one location,
the one it has in the data, and one message that lists what it may be.
"""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from schemas.choices import meant

REQUIRED = "this field is required"
Location = tuple[str | int, ...]
KINDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "list": "a list", "tuple": "a list",
    "set": "a list", "dict": "a mapping of names to values", "model": "a mapping of names to values", "path": "a path",
    "finite_number": "a finite number", "date": "a date", "datetime": "a time", "bytes": "text", "json": "JSON",
}  # fmt: skip
"""Beginning of the type of a fault -> what was wanted."""
BOUNDS = {
    "greater_than_equal": "{ge:g} or more", "greater_than": "more than {gt:g}", "less_than_equal": "{le:g} or less",
    "less_than": "less than {lt:g}",
}  # fmt: skip


def faults(
    error: ValidationError, model: type[BaseModel] | None = None, data: Any = None
) -> Iterator[tuple[Location, str]]:
    """Location and message of each value that was rejected, in the order of the data.

    Args:
        error: what pydantic raised.
        model: the class of the data, for the names of its fields.
        data: what was checked; without it, locations stay as pydantic has them.
    """
    by_place: dict[Location, list[Any]] = {}
    for fault in error.errors(include_url=False):
        place = _in_data(fault["loc"], data, keep_last=fault["type"] in ("missing", "extra_forbidden"))
        by_place.setdefault(place, []).append(fault)
    for place, together in by_place.items():
        yield place, _message(place, together, model)


def listed(error: ValidationError, model: type[BaseModel] | None = None, data: Any = None) -> str:
    """The faults on one line, such as `spans.0.start: write a whole number (got 'x')`."""
    told = ((".".join(map(str, place)), message) for place, message in faults(error, model, data))
    return "; ".join(f"{place}: {message}" if place else message for place, message in told)


def reason(error: Exception) -> str:
    """What an error says, in one line if it is pydantic's."""
    return listed(error) if isinstance(error, ValidationError) else str(error)


def _in_data(location: Location, data: Any, keep_last: bool) -> Location:
    """A location without the steps that name a branch of a union or a class."""
    if data is None:
        return location
    kept: list[str | int] = []
    here: Any = data
    for number, step in enumerate(location):
        inside = (
            step in here
            if isinstance(here, dict)
            else isinstance(here, (list, tuple)) and step in range(len(here))
        )
        if inside:
            here = here[step]
        if inside or (keep_last and number == len(location) - 1):
            kept.append(step)
    return tuple(kept)


def _message(place: Location, together: list[Any], model: type[BaseModel] | None) -> str:
    # a branch that wanted more of the value than its type is the one that was meant
    nearer = [fault for fault in together if not _is_of_type(fault)] or together
    given = nearer[0]["input"]
    first = nearer[0]
    if first["type"] == "extra_forbidden":
        known = _known(model, place)
        return f"unknown field{meant(place[-1], known)}; allowed: {', '.join(known) or 'none'}"
    if first["type"] == "missing":
        return REQUIRED
    if first["type"] in ("value_error", "assertion_error"):
        message = str(first["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return message + ("" if isinstance(given, (dict, list)) else _got(given))
    wanted = dict.fromkeys(_wanted(fault) for fault in (together if nearer is together else nearer))
    *others, last = wanted
    message = f"write {', '.join(others)} or {last}" if others else f"write {last}"
    if isinstance(given, bool) and first["type"].startswith("string"):
        return f"{message} (YAML reads yes, no, on and off as booleans: put it in quotes)"
    choices = [choice for fault in together if fault["type"] == "literal_error" for choice in _choices(fault)]
    return message + (meant(given, choices) if isinstance(given, str) else "") + _got(given)


def _is_of_type(fault: Any) -> bool:
    kind = fault["type"]
    return kind.endswith(("_type", "_parsing", "_from_float")) or kind in (
        "literal_error",
        "none_required",
        "enum",
    )


def _wanted(fault: Any) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind in BOUNDS:
        return BOUNDS[kind].format(**context)
    if kind in ("literal_error", "enum"):
        return str(context["expected"])
    if kind == "too_short":
        return f"{context['min_length']} or more values"
    if kind == "too_long":
        return f"at most {context['max_length']} values"
    if kind == "string_too_short":
        return f"{context['min_length']} or more characters"
    if kind == "string_too_long":
        return f"at most {context['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    if kind == "none_required":
        return "null"
    for start, words in KINDS.items():
        if kind.startswith(start):
            return words
    return "something else"


def _choices(fault: Any) -> list[str]:
    return [word.strip("' ") for word in str(fault["ctx"]["expected"]).replace(" or ", ", ").split(",")]


def _got(given: Any) -> str:
    if isinstance(given, (dict, list, tuple)):
        return f" (got a {'mapping' if isinstance(given, dict) else 'list'})" if given else ""
    return f" (got {'nothing' if given is None else repr(given)[:80]})"


def _known(model: type[BaseModel] | None, location: Location) -> list[str]:
    current: Any = model
    for step in location[:-1]:
        fields = getattr(current, "model_fields", {})
        annotation = fields[step].annotation if step in fields else current
        current = _model_in(annotation) or current
    return sorted(field.alias or name for name, field in getattr(current, "model_fields", {}).items())


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if inner := _model_in(argument):
            return inner
    return None
