"""The registry of evaluation sets: `curation/ingest/benchmarks.yaml`, a user's file like it, or NAME=FILE:COLUMN.

No evaluation set is shipped, only its file or hub name and the column of the prompt.
"""

import re
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from curation.ingest.containers.sources import open_sources
from curation.reading import hash_files
from curation.recipe import Recipe, load_recipe
from schemas.errors import DataError, RecipeError, UsageError
from schemas.manifest import InputFile

NAME = re.compile(r"^[a-z0-9][a-z0-9._-]*$")


class Entry(Recipe):
    """Location of one evaluation set."""

    file: str
    """A file, a folder saved by `datasets`, or hf:OWNER/NAME or hf:OWNER/NAME/CONFIG."""
    column: str
    """The column with the prompt."""
    split: str | None = None
    """The split of a hub set; all of them by default."""
    suite: Literal["safety", "overrefusal", "reasoning"] | None = None
    """Its suite in `sft score`."""


class Registry(Recipe):
    """Evaluation sets by name."""

    benchmarks: Annotated[dict[str, Entry], Field(min_length=1)]


class Benchmark(NamedTuple):
    """An evaluation set in memory."""

    name: str
    texts: list[str]
    rows: list[str]
    """What each text is called: the file's name and its line or row."""
    file: InputFile


def load_registry(path: Path | None, against: Sequence[str], only: Sequence[str]) -> dict[str, Entry]:
    """The evaluation sets to compare with.

    Args:
        path: a registry file; the shipped one where neither it nor `against` is given.
        against: NAME=FILE:COLUMN texts.
        only: names to keep; all where none is given.

    Raises:
        RecipeError: naming every fault.
        UsageError: for a name to keep that is not there.
    """
    entries: dict[str, Entry] = {}
    if path:
        entries = dict(load_recipe(path, Registry).recipe.benchmarks)
    elif not against:
        with as_file(files("curation.ingest") / "benchmarks.yaml") as shipped:
            entries = dict(load_recipe(shipped, Registry).recipe.benchmarks)
    entries |= dict(_entry(text) for text in against)
    wrong = [
        f"{name}: name a benchmark in small letters, digits, dots and hyphens"
        for name in entries
        if not NAME.match(name)
    ]
    if wrong:
        raise RecipeError("\n".join(wrong))
    for name in only:
        if name not in entries:
            raise UsageError(f"only: {name!r} is not one of {', '.join(map(repr, sorted(entries)))}.")
    return {name: entry for name, entry in entries.items() if not only or name in only}


def read(registry: dict[str, Entry]) -> list[Benchmark]:
    """Read evaluation sets.

    Raises:
        DataError: naming every set that cannot be read, and what to do.
    """
    benchmarks, wrong = [], []
    for name, entry in registry.items():
        try:
            benchmarks.append(_read(name, entry))
        except DataError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        todo = "exclude them with --only, or name local files with --against NAME=FILE:COLUMN"
        raise DataError("\n".join([*wrong, todo]))
    return benchmarks


def _entry(text: str) -> tuple[str, Entry]:
    name, _, place = text.partition("=")
    file, _, column = place.rpartition(":")
    if not (name and file and column):
        raise RecipeError(f"--against {text}: write it as NAME=FILE:COLUMN")
    return name, Entry(file=file, column=column)


def _read(name: str, entry: Entry) -> Benchmark:
    sources = open_sources(entry.file)
    if entry.split:
        sources = [source for source in sources if source.name.rsplit("/", 1)[-1] == entry.split]
    texts, rows = [], []
    for source in sources:
        for raw in source.rows():
            text = raw.row.get(entry.column) if isinstance(raw.row, dict) else None
            if isinstance(text, str) and text.strip():
                texts.append(text)
                rows.append(f"{source.name}:{raw.line}")
    if not texts:
        raise DataError(
            f"{entry.file}: no row has text in a column {entry.column!r}; name the prompt's column"
        )
    paths = [path for source in sources for path in source.files]
    return Benchmark(name, texts, rows, InputFile(name=Path(entry.file).name, blake2b=hash_files(paths)))
