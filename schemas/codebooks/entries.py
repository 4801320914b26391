"""What a codebook file says: its entries, the values that each may have, and how entries combine.

The surprise: a level is stored as a label and a score, like every verdict. The score of an entry with levels is its level between
the lowest (0) and the highest (1), and the label is true from `present_from` on; so consensus, calibration and old corpora need
no new column.
"""

from math import floor
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

from schemas.choices import PromptKind
from schemas.ids import content_id

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,59}$")]
"""Lower-case words joined by underscores: a column of SQL."""
Text = Annotated[str, Field(min_length=1, max_length=4000)]
CODEBOOK_NAME = r"^[a-z][a-z0-9-]{1,39}$"
MOST_ENTRIES = 100


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) and value != "any" else value


class MeasuredValue(NamedTuple):
    """A value as annotations store it."""

    label: bool
    score: float


class Pattern(BaseModel):
    """One entry of a codebook."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: Name
    judged_on: Literal["prompt", "reasoning", "answer", "both"] = Field(alias="field")
    """The field that is judged; spans may point only there."""
    definition: Text
    scope: Annotated[Literal["any"] | tuple[PromptKind, ...], BeforeValidator(_as_list)] = "any"
    """The kinds of prompts on whose answers it is judged."""
    levels: tuple[Text, ...] = ()
    """Names of ordered levels, mildest first; without them (and without `range`) the entry is yes or no."""
    range: tuple[FiniteFloat, FiniteFloat] | None = None
    """Lowest and highest value of an entry that is a number."""
    present_from: FiniteFloat | None = None
    """The level (counted from 0) or number from which the entry counts as present; by default 1, or the middle of the range."""
    rules: dict[str, Text] = {}
    """Rules of a policy by their number or name; a judge cites the one that is broken."""
    excludes: tuple[str, ...] = ()
    """Entries that cannot be present when this one is."""
    present: tuple[Text, ...] = ()
    """Short, mild examples that show it."""
    absent: tuple[Text, ...] = ()
    """Near misses that do not."""

    @model_validator(mode="after")
    def _one_kind_of_value(self) -> Self:
        if self.levels and self.range:
            raise ValueError("give levels or a range, not both")
        if self.levels and not 2 <= len(set(self.levels)) == len(self.levels) <= 20:
            raise ValueError("levels: give 2 to 20 different names, mildest first")
        if self.range and not self.range[0] < self.range[1]:
            raise ValueError("range: the first number must be smaller than the second")
        if self.present_from is not None and not self.graded:
            raise ValueError("present_from belongs to an entry with levels or a range")
        if self.levels and self.threshold != int(self.threshold):
            raise ValueError("present_from of levels is a whole number")
        if self.graded and not self.lowest < self.threshold <= self.highest:
            raise ValueError(f"present_from must be above {self.lowest:g} and at most {self.highest:g}")
        return self

    @property
    def graded(self) -> bool:
        """Whether its values are levels or numbers."""
        return bool(self.levels or self.range)

    @property
    def lowest(self) -> float:
        """The value that a score of 0 stands for."""
        return self.range[0] if self.range else 0

    @property
    def highest(self) -> float:
        """The value that a score of 1 stands for."""
        return self.range[1] if self.range else max(len(self.levels) - 1, 1)

    @property
    def threshold(self) -> float:
        """The value from which the entry counts as present."""
        if self.present_from is not None:
            return self.present_from
        return (self.lowest + self.highest) / 2 if self.range else 1

    def number(self, value: str | float | bool) -> float:
        """A value as a number: of a level its place from 0, of yes or no 1 or 0.

        Args:
            value: the name or number of a level, or a number of the range; true or false for an entry that is yes or no.

        Raises:
            ValueError: if the entry has no such value; lists those it has.
        """
        try:
            number = self._number(value)
        except (TypeError, OverflowError):
            number = None
        if number is None:
            raise ValueError(f"{self.name}: {value!r} is none of its values ({self.values})")
        return number

    def measured(self, value: str | float | bool) -> MeasuredValue:
        """A value (as for `number`) as label and score.

        Raises:
            ValueError: if the entry has no such value; lists those it has.
        """
        number = self.number(value)
        return MeasuredValue(
            number >= self.threshold, round((number - self.lowest) / (self.highest - self.lowest), 6)
        )

    def value_of(self, score: float) -> float:
        """The value that a score from 0 to 1 stands for; of levels the nearest one."""
        value = self.lowest + score * (self.highest - self.lowest)
        return float(floor(value + 0.5)) if self.levels else round(value, 6)

    def named(self, value: float) -> str:
        """A value in words: the name of its level, or the number."""
        return self.levels[int(value)] if self.levels else f"{value:g}"

    @property
    def values(self) -> str:
        """Its values in words."""
        if self.range:
            return f"{self.lowest:g} to {self.highest:g}"
        return ", ".join(f"{n} {level}" for n, level in enumerate(self.levels)) or "true, false"

    def _number(self, value: str | float | bool) -> float | None:
        if not self.graded:
            return float(value) if isinstance(value, bool) else None
        if isinstance(value, bool):
            return None
        if isinstance(value, str):
            wanted = value.strip().casefold()
            named = {level.casefold(): float(n) for n, level in enumerate(self.levels)}
            if wanted in named:
                return named[wanted]
            try:
                value = float(wanted)
            except ValueError:
                return None
        whole = bool(self.range) or float(value).is_integer()
        return float(value) if whole and self.lowest <= value <= self.highest else None

    def applies_to(self, kind: str | None) -> bool:
        """Whether it is judged on answers to this kind of prompt; null: the kind is not known."""
        return self.scope == "any" or kind is None or kind in self.scope


class Combination(BaseModel):
    """A column that several entries make: true if enough of them are present, false if that cannot be; else null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: tuple[str, ...] = Field(min_length=1)
    at_least: int = Field(default=1, ge=1)


class Codebook(BaseModel):
    """A file of what can be judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=CODEBOOK_NAME)]
    version: int = Field(ge=1, le=9999)
    """Increment with every change: labels under different versions are not comparable."""
    description: Text
    guidance: str = Field(default="", max_length=40_000)
    """What a judge or a reviewer settles first, or the text of a policy."""
    evidence: Literal["quotes", "sentences"] = "quotes"
    """What a judge gives as evidence: passages that it copies, or the numbers of whole sentences, which it is then shown."""
    entries: dict[str, Pattern] = Field(min_length=1, max_length=MOST_ENTRIES)
    combined: dict[Name, Combination] = {}
    maps: dict[Text, dict[Text, Annotated[tuple[str, ...], BeforeValidator(_as_list)]]] = {}
    """Terms of others and the entries that they mean: of a guard ("guard:qwen3guard"), a plug-in or a published data set."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """Entries are written by name."""
        if not isinstance(data, dict) or not isinstance(data.get("entries"), dict):
            return data
        named = {
            name: {"name": name, **entry} if isinstance(entry, dict) else entry
            for name, entry in data["entries"].items()
        }
        return {**data, "entries": named}

    @model_validator(mode="after")
    def _refers_to_its_own(self) -> Self:
        for name, entry in self.entries.items():
            if entry.name != name:
                raise ValueError(f"entries: {name}: leave `name` out")
            if unknown := sorted(set(entry.excludes) - set(self.entries)):
                raise ValueError(f"entries: {name}: excludes {unknown[0]}, which is no entry of this file")
            for other in entry.excludes:
                if name not in self.entries[other].excludes:
                    raise ValueError(f"entries: {other}: must exclude {name}, as {name} excludes it")
        for name, combination in self.combined.items():
            if name in self.entries:
                raise ValueError(f"combined: {name} is the name of an entry; choose another")
            if unknown := sorted(set(combination.of) - set(self.entries)):
                raise ValueError(f"combined: {name}: {unknown[0]} is no entry of this file")
            if combination.at_least > len(set(combination.of)):
                raise ValueError(f"combined: {name}: at_least is more than the entries in `of`")
        return self

    @model_validator(mode="after")
    def _maps_to_its_own(self) -> Self:
        for source, terms in self.maps.items():
            meant = {entry for entries in terms.values() for entry in entries}
            if unknown := sorted(meant - set(self.entries)):
                raise ValueError(f"maps: {source}: {unknown[0]} is no entry of this file")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it brings to `candidates`, without scores."""
        return (*self.entries, *self.combined)

    @property
    def plain(self) -> dict[str, Any]:
        """Plain data, as a file has it."""
        data = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        data["entries"] = {
            name: {key: value for key, value in entry.items() if key != "name"}
            for name, entry in data["entries"].items()
        }
        return data

    @classmethod
    def file_schema(cls) -> dict[str, Any]:
        """The JSON Schema of a file, for editors: entries are written by name."""
        schema = cls.model_json_schema(by_alias=True)
        entry = schema["$defs"]["Pattern"]
        entry["properties"].pop("name")
        entry["required"].remove("name")
        return schema

    @property
    def codebook_id(self) -> str:
        """Content id of all that it says."""
        return content_id(self.plain)
