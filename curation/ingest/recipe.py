"""The recipe of an ingest: format, map, constants and filters, from the command line or a YAML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from curation.ingest import evaluation_sets
from curation.ingest.fields import INTEGERS, META
from curation.ingest.formats import FORMATS, MAPPABLE, Fields
from curation.recipe import Recipe, from_options
from schemas.choices import PromptKind, meant
from schemas.errors import UsageError
from schemas.prompt import KINDS

SETTABLE = tuple(sorted(META - {"id", "source_id", "parent_id", "sampling", "system", "finish_reason"}))
"""Fields that a constant may fill."""
Plain = str | int | float | bool | None


class FilterBounds(Recipe):
    """What a column must be, where it is not one value or one of several."""

    min: float | None = None
    max: float | None = None
    not_: Plain | list[Plain] = Field(default_factory=list, alias="not")

    def takes(self, value: Any) -> bool:
        """Whether a value lies within; text is no number, and null lies nowhere."""
        excluded = self.not_ if isinstance(self.not_, list) else [self.not_]
        if any(_same(value, one) for one in excluded):
            return False
        if self.min is None and self.max is None:
            return True
        if type(value) not in (int, float):
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


class IngestRecipe(Recipe):
    """How to read the files."""

    format: str = "auto"
    """A name in FORMATS, or "auto"."""
    kind: PromptKind | None = None
    """Default kind of the prompts."""
    map: dict[str, str] = Field(default_factory=dict)
    """field -> column, for files of an unknown format."""
    source: str | None = None
    """Name of the data set, where a row does not say; by default the file's name without its suffix."""
    set: str | None = None
    """A published evaluation set, by its name in evaluation_sets.yaml."""
    seed: int = 0
    """Shuffles the options of multiple-choice questions."""
    constants: dict[str, str | int] = Field(default_factory=dict)
    """field -> the value that it has in every row, whatever the row says; what the row says goes to `extra`."""
    filters: dict[str, FilterBounds | list[Plain] | Plain] = Field(default_factory=dict)
    """column, or column.key inside an object -> the value, values or bounds of the rows that are read."""
    amend: bool = False
    """Change the fields of rows that are already there where this ingest says otherwise."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if faults := list(_faults(self)):
            raise ValueError("\n".join(faults))
        return self

    @classmethod
    def from_options(
        cls,
        format: str | None = None,
        kind: PromptKind | None = None,
        map: Sequence[str] = (),
        source: str | None = None,
        set: str | None = None,
        seed: int | None = None,
        constants: Sequence[str] = (),
        amend: bool = False,
        recipe: Path | None = None,
    ) -> Self:
        """The recipe of the command line's options, over that of a file; `map` as "field=column", `constants` as "field=value".

        Raises:
            UsageError: naming every fault.
            RecipeError: naming every fault of the file.
        """
        columns = _pairs("--map", map, "field=column", "one column")
        values = _pairs("--set-field", constants, "field=value", "one value")
        given: dict[tuple[str, ...], Any] = {
            ("format",): format, ("kind",): kind, ("source",): source, ("set",): set, ("seed",): seed,
            ("amend",): amend or None,
        }  # fmt: skip
        given |= {("map", field): column for field, column in columns.items()}
        given |= {("constants", field): _typed(field, value) for field, value in values.items()}
        return from_options(cls, recipe, given)

    def with_constants(self, row: Fields) -> Fields:
        """A row with the constants; what it says itself is kept beside."""
        for field, value in self.constants.items():
            if (own := row.fields.get(field)) is not None and own != value:
                row.extra[field] = own
            row.fields[field] = value
        return row

    def wants(self, row: Any) -> str | None:
        """The first filter that a row does not meet, or null; a row that is no object meets all and is a fault later."""
        for column, wanted in self.filters.items() if isinstance(row, dict) else ():
            value = row.get(column, _inside(row, column))
            if isinstance(wanted, FilterBounds):
                if not wanted.takes(value):
                    return column
            elif not any(_same(value, one) for one in (wanted if isinstance(wanted, list) else [wanted])):
                return column
        return None


def _pairs(option: str, entries: Sequence[str], form: str, one: str) -> dict[str, str]:
    """field -> what stands behind "=", of a repeatable option."""
    parts = [entry.partition("=") for entry in entries]
    wrong = [f"{option} {''.join(part)}: write it as {form}" for part in parts if not part[2]]
    fields = [field for field, _, _ in parts]
    doubled = sorted({field for field in fields if fields.count(field) > 1})
    wrong += [f"{option} {field}: given twice; a field has {one}" for field in doubled]
    if wrong:
        raise UsageError("\n".join(wrong))
    return {field: value for field, _, value in parts}


def _typed(field: str, value: str) -> str | int:
    return int(value) if field in INTEGERS and value.isdecimal() else value


def _inside(row: Mapping[str, Any], column: str) -> Any:
    """The value at a dotted path."""
    value: Any = row
    for step in column.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _same(value: Any, wanted: Plain) -> bool:
    """Equal, and no truth value for a number; a list has the value if it is one of its entries."""
    if isinstance(value, list):
        return any(_same(entry, wanted) for entry in value)
    return value == wanted and (type(value) is bool) == (type(wanted) is bool)


def _faults(recipe: IngestRecipe) -> list[str]:
    faults = []
    if recipe.format != "auto" and recipe.format not in FORMATS:
        faults.append(f"--format {recipe.format}: unknown; choose from auto, {', '.join(FORMATS)}")
    if recipe.set is not None and recipe.set not in evaluation_sets.known():
        faults.append(f"--set {recipe.set}: unknown; choose from {', '.join(evaluation_sets.known())}")
    if recipe.set and (recipe.map or recipe.format != "auto" or recipe.kind):
        faults.append("--set implies format and kind; omit --format, --map and --kind")
    if recipe.map and recipe.format != "auto":
        faults.append("--map and --format exclude each other; use one of them")
    if unknown := [field for field in recipe.map if field not in MAPPABLE]:
        turned = ", ".join(
            f"{recipe.map[field]}={field}" for field in unknown if recipe.map[field] in MAPPABLE
        )
        first = f"; the field comes first: --map {turned}" if turned else meant(unknown[0], MAPPABLE)
        faults.append(f"--map {', '.join(unknown)}: unknown field; choose from {', '.join(MAPPABLE)}{first}")
    if unknown := [field for field in recipe.constants if field not in SETTABLE]:
        faults.append(
            f"--set-field {', '.join(unknown)}: unknown field; choose from {', '.join(SETTABLE)}{meant(unknown[0], SETTABLE)}"
        )
    for field, value in recipe.constants.items():
        if field in INTEGERS and not isinstance(value, int):
            faults.append(f"--set-field {field}={value}: must be a whole number")
        elif field not in INTEGERS and not (isinstance(value, str) and value.strip()):
            faults.append(f"--set-field {field}={value}: must be text")
    if (kind := recipe.constants.get("kind")) is not None and kind not in KINDS:
        faults.append(f"--set-field kind={kind}: choose from {', '.join(KINDS)}")
    if recipe.map and "prompt" not in recipe.map:
        faults.append("--map: no column is named for the prompt; add --map prompt=COLUMN")
    if len(set(recipe.map.values())) < len(recipe.map):
        faults.append("--map: one column is named for two fields; give each its own")
    if "response" in recipe.map and not recipe.map.keys().isdisjoint({"reasoning", "answer"}):
        faults.append("--map: response holds reasoning and answer; map either it or those two")
    if len(recipe.map.keys() & {"reasoning", "answer"}) == 1:
        faults.append(
            "--map: reasoning and answer need each other; map both, or response where both are in one text"
        )
    return faults
