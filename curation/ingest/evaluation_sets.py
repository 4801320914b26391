"""Published evaluation sets by name: their row formats are data, in `evaluation_sets.yaml`; this reads it.

A set becomes a Format like any other, so its rows take the same way into the corpus. The surprise: the options of a
multiple-choice question are shuffled by a seed and the question's own text, so the right letter does not depend on the order
of the file.
"""

import random
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache, partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from annotators.filling import fill
from curation.ingest import livecodebench
from curation.ingest.containers.rows import RawRow, Source, batched
from curation.ingest.containers.sources import open_sources
from curation.ingest.fields import BadRow
from curation.ingest.formats import Format
from curation.recipe import Recipe, load_recipe
from schemas.choices import PromptKind
from schemas.errors import DataError
from schemas.ids import content_id

Layout = Literal["plain", "context", "choices", "program"]
PIECES = (
    "prompt",
    "context",
    "right",
    "wrong_1",
    "wrong_2",
    "wrong_3",
    "starter",
    "public",
    "private",
    "metadata",
)
"""Columns that make the prompt and its reference answer; any other field is one of the prompts table."""
MAX_OBJECT = 256 * 2**20
"""Maximum size of a file that is one JSON object, in bytes: it is loaded completely."""
SHOWN = 60
"""Characters of an unknown value that a message shows."""


class EvaluationSet(Recipe):
    """The format of one published set."""

    help: str
    """One line for `curate formats`."""
    columns: dict[str, Annotated[list[str], Field(min_length=1)]]
    """Field -> the columns it may come from; the first that has something counts."""
    kind: PromptKind | None = None
    attack: str | None = None
    """The jailbreak family of all its prompts whose row names none."""
    values: dict[Literal["kind", "attack"], dict[str, dict[str, str | None]]] = Field(default_factory=dict)
    """Field -> column -> value or pattern in any case -> what the field becomes (null: nothing); the first column that is
    there decides, and a row with a value that no pattern matches is quarantined."""
    layout: Layout = "plain"
    rows: str | None = None
    """The key that holds the rows, in files that are one JSON object."""
    split: str | None = None
    """The split that it is, on the hub and in folders saved by `datasets`."""
    benchmark: str | None = None
    """Its name in benchmarks.yaml, where that is another one."""


class EvaluationSets(Recipe):
    """The file."""

    sets: dict[str, EvaluationSet]


@cache
def known() -> Mapping[str, EvaluationSet]:
    """The sets by name."""
    with as_file(files("curation.ingest") / "evaluation_sets.yaml") as shipped:
        return load_recipe(shipped, EvaluationSets).recipe.sets


def format_of(chosen: EvaluationSet, seed: int) -> Format:
    """What `curate ingest` does with its rows."""
    named = {column for columns in chosen.columns.values() for column in columns}
    return Format(
        help=chosen.help,
        columns=tuple(frozenset({column}) for column in chosen.columns["prompt"]),
        takes=frozenset(named | {column for columns in chosen.values.values() for column in columns}),
        makes="prompts",
        rename={},
        unfold=partial(_unfold, chosen, seed),
        kind=chosen.kind,
    )


def sources(name: str, files: list[str]) -> list[Source]:
    """The streams of a set: these files, or its place on the hub.

    Raises:
        DataError: if one cannot be read or lacks the set's split, or none is given and the set is not on the hub.
    """
    chosen = known()[name]
    if files:
        return [source for file in files for source in _of_its_split(name, chosen, file, _open(chosen, file))]
    place = _on_the_hub(chosen.benchmark or name)
    return _of_its_split(name, chosen, place, open_sources(place))


def _of_its_split(name: str, chosen: EvaluationSet, place: str, sources: list[Source]) -> list[Source]:
    """Those of a place's sources that are the set: a plain file has no split and counts whole."""
    splits = {source: source.name.rpartition("/")[2] for source in sources if "/" in source.name}
    kept = [
        source for source in sources if not chosen.split or splits.get(source, chosen.split) == chosen.split
    ]
    if not kept:
        raise DataError(
            f"{place}: no split {chosen.split!r}, which is {name}; it has {', '.join(splits.values())}; "
            f"save that split alone, or name its file: curate ingest --set {name} FILE"
        )
    return kept


def _on_the_hub(name: str) -> str:
    from curation.ingest.benchmarks import load_registry

    benchmarks = load_registry(None, [], [])
    if name not in benchmarks:
        raise DataError(f"--set {name}: not on the hub; name its file: curate ingest --set {name} FILE")
    return benchmarks[name].file


def _open(chosen: EvaluationSet, file: str) -> list[Source]:
    path = Path(file)
    if chosen.rows and path.is_file() and 0 < path.stat().st_size < MAX_OBJECT:
        try:
            document = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError:
            document = None
        if isinstance(document, dict) and isinstance(document.get(chosen.rows), list):
            return [Source(path.name, (path,), lambda: batched(_numbered(document[chosen.rows])))]
    return open_sources(file)


def _numbered(rows: list[Any]) -> Iterator[RawRow]:
    return (RawRow(number, row, None) for number, row in enumerate(rows, 1))


def _unfold(chosen: EvaluationSet, seed: int, fields: dict[str, Any]) -> None:
    """Turn a row's columns into fields, in place."""
    row = dict(fields)
    fields.clear()
    for field, columns in chosen.columns.items():
        there = [row[column] for column in columns if row.get(column) not in (None, "")]
        fields[field] = there[0] if there else None
    for decided, choices in chosen.values.items():
        fields[decided] = _decided(choices, row)
    if chosen.attack and not fields.get("attack"):
        fields["attack"] = chosen.attack
    if not isinstance(fields["prompt"], str):
        raise BadRow("missing_prompt", f"none of the columns {', '.join(chosen.columns['prompt'])} has text")
    pieces = {name: fields.pop(name) for name in PIECES if name in fields}
    fields["prompt"] = pieces["prompt"]
    LAYOUTS[chosen.layout](fields, pieces, seed)
    for name in [name for name, value in fields.items() if value is None]:
        del fields[name]


def _decided(columns: Mapping[str, Mapping[str, str | None]], row: Mapping[str, Any]) -> str | None:
    for column, values in columns.items():
        if row.get(column) not in (None, ""):
            value = str(row[column])
            for pattern, said in values.items():
                if fnmatchcase(value.strip().casefold(), pattern.casefold()):
                    return said
            detail = f"column {column} has {value[:SHOWN]!r}; known there: {', '.join(values)}"
            raise BadRow("wrong_type", detail)
    return None


def _plain(fields: dict[str, Any], pieces: dict[str, Any], seed: int) -> None:
    """The prompt as it is."""


def _with_context(fields: dict[str, Any], pieces: dict[str, Any], seed: int) -> None:
    if pieces.get("context"):
        texts = {name: _text(pieces, name) for name in ("context", "prompt")}
        fields["prompt"] = fill(_template("context"), **texts)


def _choices(fields: dict[str, Any], pieces: dict[str, Any], seed: int) -> None:
    options = [_text(pieces, name) for name in ("right", "wrong_1", "wrong_2", "wrong_3")]
    question = _text(pieces, "prompt")
    order = list(range(len(options)))
    random.Random(content_id([seed, question])).shuffle(order)  # noqa: S311  to be repeated, not to be secret
    shown = {letter: options[place] for letter, place in zip("abcd", order, strict=True)}
    fields["prompt"] = fill(_template("choices"), prompt=question, **shown)
    fields["reference_answer"] = "ABCD"[order.index(0)]


def _program(fields: dict[str, Any], pieces: dict[str, Any], seed: int) -> None:
    starter = pieces.get("starter")
    wanted = _template("function" if starter else "program")
    fields["prompt"] = fill(wanted, prompt=_text(pieces, "prompt"), starter=starter or "")
    fields["reference_answer"] = livecodebench.tests(
        pieces["public"], pieces.get("private"), pieces.get("metadata")
    )


LAYOUTS = {"plain": _plain, "context": _with_context, "choices": _choices, "program": _program}


def _text(pieces: Mapping[str, Any], name: str) -> str:
    value = pieces.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BadRow("wrong_type", f"the column for {name} has no text")
    return value.strip()


@cache
def _template(name: str) -> str:
    return (files("curation.ingest") / "templates" / f"prompt_{name}.txt").read_text(encoding="utf-8").strip()
