"""Ingest: prompts, traces and annotations from files into the corpus, every row accounted for.

An interrupted run is finished by repeating the command: content already in the corpus from the same line of the same file counts
as kept, from anywhere else as a duplicate. Files are identified by their name without folders.
"""

import gc
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson
from pydantic import Field, model_validator

from curation import console
from curation.corpus.store import Store
from curation.ingest import evaluation_sets
from curation.ingest.annotations import ingest_annotations
from curation.ingest.fields import BadRow, FieldPath, prompt_line, trace_line
from curation.ingest.formats import FORMATS, MAPPABLE, Format, detect, mapped, sort_out
from curation.ingest.parts import PartWriter
from curation.ingest.rows import RawRow, Source
from curation.ingest.sources import open_sources
from curation.reading import hash_files
from curation.recipe import Recipe, from_options
from curation.versions import versions
from schemas.choices import PromptKind
from schemas.errors import CurateError, DataError, UsageError
from schemas.manifest import Counts, InputFile, Manifest
from schemas.response import Fault

STAGE = "ingest"
PROGRESS_ROWS = 256
PEEK_ROWS = 50
"""Number of rows used to detect the format."""
TABLES_WRITTEN = {
    "prompts": ("prompts", "quarantine"),
    "traces": ("prompts", "quarantine", "traces"),
    "annotations": ("annotations", "quarantine"),
}


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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if faults := list(_faults(self)):
            raise ValueError("\n".join(faults))
        return self

    @classmethod
    def from_options(
        cls,
        format: str,
        kind: PromptKind | None,
        map: Sequence[str],
        source: str | None,
        set: str | None = None,
        seed: int = 0,
    ) -> Self:
        """The recipe of the command line's options, `map` as "field=column" texts.

        Raises:
            UsageError: naming every fault.
        """
        pairs = [entry.partition("=") for entry in map]
        wrong = [
            f"--map {field}{sep}{column}: write it as field=column"
            for field, sep, column in pairs
            if not column
        ]
        doubled = {field for field, _, _ in pairs if [f for f, _, _ in pairs].count(field) > 1}
        wrong += [f"--map {field}: given twice; a field has one column" for field in sorted(doubled)]
        if wrong:
            raise UsageError("\n".join(wrong))
        given = {
            "format": format, "kind": kind, "map": {field: column for field, _, column in pairs},
            "source": source, "set": set, "seed": seed,
        }  # fmt: skip
        return from_options(cls, None, {(name,): value for name, value in given.items()})


def _faults(recipe: IngestRecipe) -> list[str]:
    faults = []
    if recipe.format != "auto" and recipe.format not in FORMATS:
        faults.append(f"--format {recipe.format}: unknown; choose from auto, {', '.join(FORMATS)}")
    if recipe.set is not None and recipe.set not in evaluation_sets.known():
        faults.append(f"--set {recipe.set}: unknown; choose from {', '.join(evaluation_sets.known())}")
    if recipe.set and (recipe.map or recipe.format != "auto" or recipe.kind):
        faults.append("---set implies format and kind; omit --format, --map and --kind")
    if recipe.map and recipe.format != "auto":
        faults.append("---map and --format exclude each other; use one of them")
    if unknown := [field for field in recipe.map if field not in MAPPABLE]:
        faults.append(f"--map {', '.join(unknown)}: unknown field; choose from {', '.join(MAPPABLE)}")
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


class IngestPlan(NamedTuple):
    """One stream of rows and how it is read."""

    source: Source
    format: str
    form: Format
    place: FieldPath


def choose_format(name: str, columns: Sequence[str], recipe: IngestRecipe) -> tuple[str, Format]:
    """The format of a file, from its columns and the user's settings.

    Raises:
        DataError: if a mapped column is missing or no format fits; says which columns there are and what to do.
    """
    listed = ", ".join(columns)
    if recipe.set:
        form = evaluation_sets.format_of(evaluation_sets.known()[recipe.set], recipe.seed)
        if not any(needed <= {*columns} for needed in form.columns):
            wanted = " or ".join(column for needed in form.columns for column in needed)
            raise DataError(f"{name}: no column {wanted}, as {recipe.set} has; the columns are: {listed}")
        return f"set {recipe.set}", form
    if recipe.map:
        if missing := [column for column in recipe.map.values() if column not in columns]:
            raise DataError(
                f"{name}: no column {', '.join(map(repr, missing))} for --map; the columns are: {listed}"
            )
        return "map", mapped(recipe.map)
    if recipe.format != "auto":
        return recipe.format, FORMATS[recipe.format]
    if detected := detect(columns):
        return detected, FORMATS[detected]
    raise DataError(
        f"{name}: no supported format has these columns: {listed}; name the columns, such as "
        "--map prompt=COLUMN --map response=COLUMN (`curate formats` lists the formats)"
    )


def run(corpus_dir: Path, files: list[str], recipe: IngestRecipe) -> Manifest:
    """Read files into the corpus.

    Args:
        corpus_dir: the corpus, made where there is none.
        files: files, folders saved by `datasets`, or `hf:NAME`; none for a set on the hub.
        recipe: how to read them.

    Raises:
        DataError: naming every file that cannot be read, before anything is written.
        CorpusError: if the corpus cannot be written.
    """
    plans = make_plans(files, recipe)
    corpus = Store.create(corpus_dir)
    with ThreadPoolExecutor(max_workers=1) as thread:
        hashes = [thread.submit(hash_files, plan.source.files) for plan in plans]
        counts, summary = _ingest(corpus, plans)
        inputs = [
            InputFile(name=p.source.name, blake2b=h.result()) for p, h in zip(plans, hashes, strict=True)
        ]
    settings = recipe.model_dump()
    manifest = Manifest(
        stage=STAGE,
        inputs=inputs,
        recipe=settings,
        versions=versions("lrm-curate", "pyarrow"),
        counts=counts,
        summary=summary,
    )
    corpus.write_manifest(manifest)
    return manifest


def make_plans(files: Sequence[str], recipe: IngestRecipe) -> list[IngestPlan]:
    """Look at every file and decide how to read it; annotations come last, since they speak of traces.

    Raises:
        DataError: naming every file that cannot be read.
    """
    plans, faults = [], []
    for name in files:
        if files.count(name) > 1 and f"{name}: given twice; name it once" not in faults:
            faults.append(f"{name}: given twice; name it once")
        try:
            plans += [_plan(source, recipe) for source in _sources(name, recipe)]
        except CurateError as error:
            faults.append(str(error))
    if recipe.set and not files:
        plans = [_plan(source, recipe) for source in evaluation_sets.sources(recipe.set, [])]
    if faults:
        raise DataError("\n".join(faults))
    return sorted(plans, key=lambda plan: plan.form.makes == "annotations")


def _sources(name: str, recipe: IngestRecipe) -> list[Source]:
    return evaluation_sets.sources(recipe.set, [name]) if recipe.set else open_sources(name)


def _plan(source: Source, recipe: IngestRecipe) -> IngestPlan:
    columns: list[str] = []
    peeked = 0
    for raw in islice(source.rows(), PEEK_ROWS):  # only names are kept: rows may be long
        peeked += 1
        columns += [name for name in raw.row if name not in columns] if isinstance(raw.row, dict) else []
    if not peeked:
        raise DataError(f"{source.name}: no rows; name a file with rows")
    if not columns:
        raise DataError(
            f"{source.name}: none of its first rows is a JSON object; give JSONL, a JSON array, CSV (named .csv) or Parquet"
        )
    name, form = choose_format(source.name, columns, recipe)
    stem = recipe.source or recipe.set or source.name.split(".", 1)[0]
    return IngestPlan(source, name, form, FieldPath(source.name, stem, recipe.kind or form.kind))


def _ingest(corpus: Store, plans: Sequence[IngestPlan]) -> tuple[Counts, dict[str, Any]]:
    counts = Counts()
    tables = {table for plan in plans for table in TABLES_WRITTEN[plan.form.makes]}
    with (
        corpus.writing(*tables),
        PartWriter(corpus, STAGE) as writer,
        console.progress(STAGE) as advance,
        _no_cycle_search(),
    ):
        for plan in plans:
            rows = _advancing(plan.source.rows(), counts, advance)
            if plan.form.makes == "annotations":
                _ingest_annotations(plan, rows, corpus, writer, counts)
            else:
                _ingest_rows(plan, rows, writer, counts)
    return counts, {"formats": {plan.source.name: plan.format for plan in plans}, "new": writer.new}


def _ingest_rows(plan: IngestPlan, rows: Iterable[RawRow], writer: PartWriter, counts: Counts) -> None:
    form, place, kept = plan.form, plan.place, 0
    make = trace_line if form.makes == "traces" else prompt_line
    for raw in rows:
        line, row, _, fault = raw
        try:
            if fault:
                raise BadRow(*fault)
            fields, extra = sort_out(form, row)
            lines = make(fields, extra, place, line)
        except BadRow as bad:
            _set_aside(raw, bad.fault, plan, writer, counts)
            continue
        if writer.add(lines, place.file, line):
            kept += 1
        else:
            counts.add("filtered", "duplicate")
    counts.kept += kept


def _ingest_annotations(
    plan: IngestPlan, rows: Iterable[RawRow], corpus: Store, writer: PartWriter, counts: Counts
) -> None:
    writer.drain()  # the traces that they speak of may have come in this very run
    for raw, fault, filtered in ingest_annotations(rows, corpus, writer):
        if fault:
            _set_aside(raw, fault, plan, writer, counts)
        elif filtered:
            counts.add("filtered", filtered)
        else:
            counts.kept += 1


def _set_aside(raw: RawRow, fault: Fault, plan: IngestPlan, writer: PartWriter, counts: Counts) -> None:
    counts.add("quarantined", fault.reason)
    writer.set_aside(fault, _text(raw), plan.source.name, raw.line, _source_id(raw.row))


@contextmanager
def _no_cycle_search() -> Iterator[None]:
    """Keep Python from searching the growing id tables for reference cycles: there are none, and it takes a tenth."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _advancing(rows: Iterable[RawRow], counts: Counts, advance: console.Advance) -> Iterator[RawRow]:
    """Pass rows on, counting them."""
    waiting = 0
    for raw in rows:
        yield raw
        counts.rows += 1
        waiting += 1
        if waiting == PROGRESS_ROWS:
            advance(waiting)
            waiting = 0
    advance(waiting)


def _text(raw: RawRow) -> str:
    text = (
        orjson.dumps(raw.row, default=str, option=orjson.OPT_NON_STR_KEYS) if raw.text is None else raw.text
    )
    return text.decode("utf-8", errors="backslashreplace")


def _source_id(row: Any) -> str | None:
    value = row.get("id", row.get("source_id")) if isinstance(row, dict) else None
    return str(value) if type(value) in (str, int) else None
