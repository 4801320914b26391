"""A manifest: what a stage did, with hashes of everything it read. It contains no timestamp, so equal work gives equal bytes."""

from collections.abc import Iterator
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    computed_field,
    model_serializer,
    model_validator,
)

from schemas import showing
from schemas.hiding import hide, hide_in
from schemas.ids import content_id

FORMAT_VERSION = 2
"""Newest format version that this code writes and reads; a newer one on disk is an error."""
BASE_VERSION = 1
"""The version of folders without conversations, which a toolkit of version 1 reads as well."""


class Counts(BaseModel):
    """Row accounting: every input row ends in exactly one state."""

    model_config = ConfigDict(extra="forbid")

    rows: int = 0
    """Input rows seen."""
    kept: int = 0
    """Rows in the output (written now or by an earlier run of the same work)."""
    filtered: dict[str, int] = Field(default_factory=dict)
    """Valid rows that were excluded, by reason."""
    quarantined: dict[str, int] = Field(default_factory=dict)
    """Invalid rows, stored with their text, file, line and error, by reason."""
    failed: dict[str, int] = Field(default_factory=dict)
    """Rows whose processing failed and is retried by the next run, by reason."""

    def add(self, state: str, reason: str, n: int = 1) -> None:
        """Count `n` rows as "filtered", "quarantined" or "failed" for a reason."""
        reasons: dict[str, int] = getattr(self, state)
        reasons[reason] = reasons.get(reason, 0) + n

    @property
    def balance(self) -> int:
        """Rows that are unaccounted for; anything but 0 is a bug."""
        out = (self.filtered, self.quarantined, self.failed)
        return self.rows - self.kept - sum(sum(reasons.values()) for reasons in out)

    def __str__(self) -> str:
        parts = [f"{self.rows} rows", f"{self.kept} kept"]
        for state in ("filtered", "quarantined", "failed"):
            reasons: dict[str, int] = getattr(self, state)
            if reasons:
                inner = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items()))
                parts.append(f"{sum(reasons.values())} {state} ({inner})")
        return hide(", ".join(parts))


class InputFile(BaseModel):
    """A file a stage read."""

    model_config = ConfigDict(extra="forbid")

    name: str
    """File name without its folder: manifests must not contain paths of a machine."""
    blake2b: str
    """Hash of its bytes."""


class Manifest(BaseModel):
    """What a stage did."""

    model_config = ConfigDict(extra="forbid")

    format_version: int = BASE_VERSION
    stage: str
    inputs: list[InputFile] = Field(default_factory=list)
    outputs: dict[str, str] = Field(default_factory=dict)
    """Hash of each file it wrote, for stages that make a folder."""
    recipe: dict[str, object] = Field(default_factory=dict)
    """The complete recipe, defaults included."""
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of this toolkit and of the libraries that affect the result."""
    counts: Counts = Field(default_factory=Counts)
    summary: dict[str, object] = Field(default_factory=dict)
    """Statistics of the stage: token percentiles, counts per part, and so on."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def recipe_id(self) -> str:
        """Content id of `recipe`."""
        return content_id(hide_in(self.recipe))

    @model_serializer(mode="wrap")
    def _without_secrets(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is written or printed of a manifest holds no key that a server or a setting brought in."""
        hidden: dict[str, Any] = hide_in(values(self))
        return hidden

    @model_validator(mode="before")
    @classmethod
    def _without_id(cls, values: Any) -> Any:
        """A written manifest contains the id as well."""
        return {k: v for k, v in values.items() if k != "recipe_id"} if isinstance(values, dict) else values

    def __repr__(self) -> str:
        return f"<Manifest of {self.stage}: {self.counts}>"

    def _repr_html_(self) -> str:
        return showing.page(self.stage, {"": list(self._states()), "summary": self._numbers()})

    def _states(self) -> Iterator[dict[str, object]]:
        yield {"state": "rows", "reason": "", "rows": self.counts.rows}
        yield {"state": "kept", "reason": "", "rows": self.counts.kept}
        for state in ("filtered", "quarantined", "failed"):
            for reason, n in sorted(getattr(self.counts, state).items()):
                yield {"state": state, "reason": reason, "rows": n}

    def _numbers(self) -> list[dict[str, object]]:
        plain = {name: value for name, value in self.summary.items() if isinstance(value, int | float | str)}
        return showing.pairs(plain, "of the summary", "value")
