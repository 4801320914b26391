"""Ingest: prompts, traces and annotations from files into the corpus, every row accounted for.

An interrupted run is finished by repeating the command: content already in the corpus from the same line of the same file counts
as kept, from anywhere else as a duplicate. Files are identified by their name without folders.
"""

import gc
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from curation import console
from curation.corpus.store import MARKER, Store
from curation.ingest import evaluation_sets
from curation.ingest.annotations import ingest_annotations
from curation.ingest.claims import Claims
from curation.ingest.containers.rows import Batch, RawRow, Source, batched
from curation.ingest.containers.sources import open_sources, without_rows
from curation.ingest.fields import COLUMNS, FieldPath
from curation.ingest.formats import FORMATS, Format, detect, mapped
from curation.ingest.judged import JudgedRows, prepare
from curation.ingest.lines import RowState, TableLines, read_batch
from curation.ingest.parts import PartWriter
from curation.ingest.recipe import IngestRecipe
from curation.ingest.records.batches import Requests
from curation.ingest.seen import Meeting
from curation.reading import hash_files, read_model
from curation.versions import versions
from schemas.errors import CurateError, DataError
from schemas.manifest import Counts, InputFile, Manifest
from schemas.response import Fault

STAGE = "ingest"
LIBRARIES = ("lrm-curate", "pyarrow")
"""Whose versions decide what is read."""
PEEK_ROWS = 50
"""Number of rows used to detect the format."""
PEEK_BROKEN = 10_000
"""Rows that are looked at where the first ones cannot be read."""
OUTPUT, REQUESTS = "batch-output", "batch-requests"
"""The formats of a batch's two files."""
TABLES_WRITTEN = {
    "prompts": ("prompts", "quarantine", "memberships"),
    "traces": ("prompts", "quarantine", "traces"),
    "annotations": ("annotations", "quarantine"),
}
KIND = COLUMNS["prompts"].index("kind")


@dataclass
class Told:
    """What became of the rows of prompts and traces, for the person who ingests them."""

    new_rows: int = 0
    already_there: int = 0
    """Rows whose content was in the corpus, or came from another file of this run."""
    joined: int = 0
    """Rows whose prompt was known and belongs to one more evaluation set now."""
    without_kind: int = 0
    """New rows whose prompt has no kind."""


class IngestPlan(NamedTuple):
    """One stream of rows and how it is read."""

    source: Source
    format: str
    form: Format
    place: FieldPath
    recipe: IngestRecipe
    columns: tuple[str, ...]
    """The columns of its first rows."""


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
    inputs = _inputs(plans)
    counts, summary = _ingest(corpus, plans, recipe.amend)
    settings = recipe.model_dump()
    manifest = Manifest(
        stage=STAGE,
        inputs=inputs.result(),
        recipe=settings,
        versions=versions(*LIBRARIES),
        counts=counts,
        summary=summary,
    )
    corpus.write_manifest(manifest)
    return manifest


def done_before(corpus_dir: Path, files: list[str], recipe: IngestRecipe) -> Manifest | None:
    """The manifest of an earlier `run` on the same bytes by the same recipe and version of this toolkit; null if there is none.

    Raises:
        DataError: naming every file that cannot be read.
    """
    if not (corpus_dir / MARKER).is_file():
        return None
    inputs = _inputs(make_plans(files, recipe)).result()
    path = Store(corpus_dir).manifest_path(Manifest(stage=STAGE, inputs=inputs, recipe=recipe.model_dump()))
    known = read_model(path, Manifest) if path.is_file() else None
    return known if known and known.versions == versions(*LIBRARIES) else None


def _inputs(plans: Sequence[IngestPlan]) -> Future[list[InputFile]]:
    """The files with their hashes, made in a thread that Ctrl-C need not wait for: one of a pool would be waited for."""
    inputs: Future[list[InputFile]] = Future()

    def work() -> None:
        try:
            inputs.set_result(
                [InputFile(name=p.source.name, blake2b=hash_files(p.source.files)) for p in plans]
            )
        except CurateError as error:
            inputs.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return inputs


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
    if not any(plan.format == REQUESTS for plan in plans):
        faults += [
            f"{plan.source.name}: outputs of a batch, which do not hold their prompts; name the file of requests as well"
            for plan in plans
            if plan.format == OUTPUT and "request" not in plan.columns
        ]
    if faults:
        raise DataError("\n".join(faults))
    return sorted(plans, key=lambda plan: plan.form.makes == "annotations")


def _sources(name: str, recipe: IngestRecipe) -> list[Source]:
    return evaluation_sets.sources(recipe.set, [name]) if recipe.set else open_sources(name)


def _plan(source: Source, recipe: IngestRecipe) -> IngestPlan:
    columns: dict[str, type] = {}
    fault, peeked = None, 0
    # Only names are kept: rows may be long.
    for peeked, raw in enumerate(islice(source.rows(), PEEK_BROKEN), 1):
        fault = fault or raw.fault
        for name, value in raw.row.items() if isinstance(raw.row, dict) else ():
            columns.setdefault(name, type(value))
        if columns and peeked >= PEEK_ROWS:
            break
    if not peeked:
        raise DataError(f"{source.name}: no rows; name a file with rows")
    if not columns:
        raise DataError(f"{source.name}: {without_rows(peeked, fault)}")
    if (prompt := recipe.map.get("prompt")) and columns.get(prompt) is list:
        raise DataError(
            f"{source.name}: the column {prompt!r} holds chats, not texts; leave --map away: chats are read as they are, "
            "with their reasoning and answer in columns beside them"
        )
    name, form = choose_format(source.name, list(columns), recipe)
    named = recipe.source or recipe.set
    place = FieldPath(
        source.name,
        named or source.name.split(".", 1)[0],
        recipe.kind or form.kind,
        named is not None,
        recipe.set,
    )
    return IngestPlan(source, name, form, place, recipe, tuple(columns))


def _ingest(corpus: Store, plans: Sequence[IngestPlan], amend: bool) -> tuple[Counts, dict[str, Any]]:
    counts, told = Counts(), Told()
    judged = {plan.source.name: prepare(corpus, plan.form.judged) for plan in plans if plan.form.judged}
    tables = {table for plan in plans for table in TABLES_WRITTEN[plan.form.makes]}
    tables |= {"annotations"} if judged else set()
    with corpus.alone(STAGE, shared=True), Claims() as claims, _with_requests(plans) as joined:
        with (
            PartWriter(corpus, STAGE, claims, tables, [plan.source.name for plan in plans]) as writer,
            console.progress(STAGE) as advance,
            _no_cycle_search(),
        ):
            for plan in joined:
                batches = _advancing(plan.source.batches(), counts, advance)
                rows = (raw for batch in batches for raw in batch.raws())
                if plan.form.makes == "annotations":
                    _ingest_annotations(plan, rows, corpus, writer, counts)
                elif plan.source.name in judged:
                    _ingest_judged(plan, rows, judged[plan.source.name], writer, counts, told)
                else:
                    _ingest_rows(plan, batches, writer, counts, told)
        differences = claims.settle(corpus, amend)
    return counts, {
        "formats": {plan.source.name: plan.format for plan in plans},
        "new": writer.new,
        **asdict(told),
        "differences": differences,
        "amended": amend and bool(differences),
    } | ({"judged": {name: one.told for name, one in judged.items()}} if judged else {})


@contextmanager
def _with_requests(plans: Sequence[IngestPlan]) -> Iterator[Sequence[IngestPlan]]:
    """The plans, the outputs of batches with their requests; these are then no prompts of their own."""
    outputs = [plan for plan in plans if plan.format == OUTPUT]
    if not outputs:
        yield plans
        return
    with Requests() as requests:
        for plan in plans:
            if plan.format == REQUESTS:
                requests.add(plan.source.rows())
        yield [
            plan._replace(source=plan.source._replace(batches=partial(_joined, requests, plan)))
            if plan.format == OUTPUT
            else plan
            for plan in plans
            if plan.format != REQUESTS
        ]


def _joined(requests: Requests, plan: IngestPlan) -> Iterator[Batch]:
    return batched(requests.joined(plan.source.rows()))


def _ingest_rows(
    plan: IngestPlan, batches: Iterable[Batch], writer: PartWriter, counts: Counts, told: "Told"
) -> None:
    tell = partial(_tell, counts, told)
    for batch in batches:
        for one in read_batch(batch, plan.form, plan.place, plan.recipe):
            if isinstance(one, RowState):
                _count([one], plan, writer, counts)
            else:
                writer.add(one, plan.place, tell)


def _tell(counts: Counts, told: "Told", lines: TableLines, met: list[Meeting]) -> None:
    """Count what became of the rows of some lines."""
    times = Counter(met)
    kinds = lines.prompts[KIND]
    told.new_rows += times["new"]
    told.without_kind += sum(kind is None and state == "new" for kind, state in zip(kinds, met, strict=True))
    told.already_there += len(met) - times["new"] - times["beside"]
    told.joined += times["joined"]
    kept = times["new"] + times["again"] + times["joined"]
    counts.kept += kept
    if doubled := len(met) - kept:
        counts.add("filtered", "duplicate", doubled)


def _ingest_annotations(
    plan: IngestPlan, rows: Iterable[RawRow], corpus: Store, writer: PartWriter, counts: Counts
) -> None:
    writer.drain()  # the traces that they speak of may have come in this very run
    ingest_annotations(rows, corpus, writer, lambda state: _count([state], plan, writer, counts))


def _ingest_judged(
    plan: IngestPlan,
    rows: Iterable[RawRow],
    judged: JudgedRows,
    writer: PartWriter,
    counts: Counts,
    told: "Told",
) -> None:
    def tell(met: Meeting | None, states: list[RowState]) -> None:
        if met:
            told.new_rows += met == "new"
            told.already_there += met not in ("new", "beside")
        _count(states, plan, writer, counts)

    writer.drain()  # what an earlier file of this run said is no news
    judged.ingest(_wanted(plan, rows, counts), plan.form, plan.place, plan.recipe, writer, tell)


def _count(states: Iterable[RowState], plan: IngestPlan, writer: PartWriter, counts: Counts) -> None:
    for raw, fault, filtered in states:
        if fault:
            _set_aside(raw, fault, plan, writer, counts)
        elif filtered:
            counts.add("filtered", filtered)
        else:
            counts.kept += 1


def _wanted(plan: IngestPlan, rows: Iterable[RawRow], counts: Counts) -> Iterator[RawRow]:
    """The rows that meet the recipe's filters."""
    for raw in rows:
        if unmet := plan.recipe.wants(raw.row):
            counts.add("filtered", f"filter {unmet}")
        else:
            yield raw


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


def _advancing(batches: Iterable[Batch], counts: Counts, advance: console.Advance) -> Iterator[Batch]:
    """Pass rows on, counting them."""
    for batch in batches:
        yield batch
        counts.rows += batch.size
        advance(batch.size)


def _text(raw: RawRow) -> str:
    text = (
        orjson.dumps(raw.row, default=str, option=orjson.OPT_NON_STR_KEYS) if raw.text is None else raw.text
    )
    return text.decode("utf-8", errors="backslashreplace")


def _source_id(row: Any) -> str | None:
    value = row.get("id", row.get("source_id")) if isinstance(row, dict) else None
    return str(value) if type(value) in (str, int) else None
