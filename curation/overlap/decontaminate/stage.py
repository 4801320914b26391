"""`curate decontaminate`: finds evaluation prompts in prompts, reasoning and answers, with the shared words.

Nothing is deleted: build-mix excludes contaminated traces unless the recipe's `allow_benchmarks` names the benchmark. Parts of
the corpus already compared with the same sets and settings are not read again. Results are kept, also if a later run is
stricter.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.query import open_tables, select
from curation.corpus.store import PACKED, Store, opened, replaced, rows_of
from curation.ingest.benchmarks import Benchmark
from curation.overlap.decontaminate import matching
from curation.reading import read_model
from curation.recipe import Recipe
from curation.versions import versions
from schemas.choices import OverlapMethod
from schemas.manifest import Counts, Manifest

STAGE = "decontaminate"
KEEPS = "parts that were compared are saved; the same command goes on with the others"
FIELDS = {"prompts": {"text": "prompt"}, "traces": {"reasoning": "reasoning", "answer": "answer"}}
"""Compared columns of each table, and their names in `contamination`; earlier turns of a prompt are `turns`."""
TURNS = "turns"
BATCH_ROWS = 2048


class DecontaminateRecipe(Recipe):
    """What `curate decontaminate` may be told."""

    methods: Annotated[tuple[OverlapMethod, ...], Field(min_length=1)] = ("ngram13", "ngram8", "near")
    share: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Minimum share of an evaluation prompt covered by shared 8-grams, for `ngram8`."""
    near: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Minimum share of an evaluation prompt's words in order, for `near`."""
    cosine: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Minimum cosine similarity of sentence vectors, for `semantic`."""


class BenchmarkTexts(NamedTuple):
    """All evaluation prompts of a run, indexed."""

    names: list[str]
    """The benchmark of each."""
    rows: list[str]
    """The id of each in its benchmark."""
    runs: matching.Targets
    vectors: "np.ndarray[Any, np.dtype[np.float32]] | None"


def prepare(benchmarks: Sequence[Benchmark], methods: Sequence[str]) -> BenchmarkTexts:
    """Index evaluation prompts; raises MissingExtraError if `semantic` lacks sentence-transformers."""
    texts = [text for benchmark in benchmarks for text in benchmark.texts]
    runs = matching.make_targets(texts, [method for method in methods if method in matching.METHODS])
    vectors = None
    if "semantic" in methods:
        from curation.overlap import neighbours

        vectors = neighbours.embed(texts)
    return BenchmarkTexts(
        [benchmark.name for benchmark in benchmarks for _ in benchmark.texts],
        [row for benchmark in benchmarks for row in benchmark.rows],
        runs,
        vectors,
    )


def found_in(
    texts: pa.Array, field: str, targets: BenchmarkTexts, recipe: DecontaminateRecipe
) -> Iterator[matching.Hit]:
    """Every evaluation prompt in some texts of one field."""
    yield from matching.find(texts, targets.runs, recipe.share, recipe.near, field == "prompt")
    if targets.vectors is not None and field == "prompt":
        from curation.overlap import neighbours

        there = texts.to_pylist()
        for close in neighbours.close_pairs(neighbours.embed(there), targets.vectors, recipe.cosine):
            for text, target, score in zip(close.left, close.right, close.cosine, strict=True):
                yield matching.Hit(int(text), int(target), "semantic", float(score), ((0, len(there[text])),))


def run(corpus_dir: Path, benchmarks: Sequence[Benchmark], recipe: DecontaminateRecipe) -> Manifest:
    """Compare the new parts, and report the state of the corpus.

    Raises:
        CorpusError: if the corpus is missing or cannot be written.
        MissingExtraError: if `semantic` is asked for and sentence-transformers is not installed.
    """
    corpus = Store(corpus_dir)
    settings = recipe.model_dump(mode="json")
    manifest = Manifest(
        stage=STAGE,
        inputs=[benchmark.file for benchmark in benchmarks],
        recipe=settings | {"benchmarks": [benchmark.name for benchmark in benchmarks]},
        versions=versions("lrm-curate", "numpy"),
    )
    with corpus.alone(STAGE):
        done = _done(corpus, manifest)
        todo = [(table, part) for table in FIELDS for part in corpus.parts(table) if not _names(part) <= done]
        if todo:
            _compare(corpus, todo, prepare(benchmarks, recipe.methods), recipe, manifest, done)
        else:
            console.say("decontaminate: up to date")
    finished = manifest.model_copy(update={"counts": _counts(corpus), "summary": _summary(corpus, done)})
    corpus.write_manifest(finished)
    return finished


def _compare(
    corpus: Store, todo: Sequence[tuple[str, Path]], targets: BenchmarkTexts, recipe: DecontaminateRecipe, manifest: Manifest,
    done: set[str],
) -> None:  # fmt: skip
    known = corpus.keys("contamination")
    total = rows_of(part for _, part in todo)
    with console.progress(STAGE, total=total, unit="rows", keeps=KEEPS) as advance:
        for table, part in todo:
            hits: dict[tuple[str, ...], dict[str, Any]] = {}
            for rows in read_batches(part, table):
                for hit in _hits(rows, table, targets, recipe):
                    hits.setdefault(
                        tuple(hit[name] for name in ("field", "id", "benchmark", "benchmark_row", "method")),
                        hit,
                    )
                advance(rows.num_rows)
            with corpus.writing("contamination"):
                corpus.append_rows("contamination", [hit for key, hit in hits.items() if key not in known])
            known |= hits.keys()
            done |= _names(part)
            corpus.write_manifest(manifest.model_copy(update={"summary": {"compared": sorted(done)}}))


def read_batches(part: Path, table: str) -> Iterator[pa.RecordBatch]:
    """The texts of one part that are compared, with their ids."""
    key = "prompt_id" if table == "prompts" else "trace_id"
    turns = [TURNS] if table == "prompts" else []  # parts of format version 1 have none
    with opened(part) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=[key, *FIELDS[table], *turns])


def _hits(
    rows: pa.RecordBatch, table: str, targets: BenchmarkTexts, recipe: DecontaminateRecipe
) -> Iterator[dict[str, Any]]:
    ids = rows.column("prompt_id" if table == "prompts" else "trace_id")
    for column, field in FIELDS[table].items():
        for hit in found_in(rows.column(column), field, targets, recipe):
            yield _hit(hit, ids[hit.text].as_py(), field, field, targets)
    if earlier := list(_earlier_turns(rows)):
        texts = pa.array([turn.text for turn in earlier], pa.string())
        for hit in found_in(texts, "prompt", targets, recipe):
            turn = earlier[hit.text]
            yield _hit(hit, ids[turn.row].as_py(), TURNS, f"turn {turn.number}", targets)


class _EarlierTurn(NamedTuple):
    row: int
    number: int
    text: str


def _earlier_turns(rows: pa.RecordBatch) -> Iterator[_EarlierTurn]:
    """Every turn with text; the last question too, which is in `text` as well: a hit there is one more reason."""
    if TURNS not in rows.schema.names or rows.column(TURNS).null_count == rows.num_rows:
        return
    for row, turns in enumerate(rows.column(TURNS).to_pylist()):
        for number, turn in enumerate(turns or (), 1):
            if turn["content"]:
                yield _EarlierTurn(row, number, turn["content"])


def _hit(hit: matching.Hit, key: str, field: str, place: str, targets: BenchmarkTexts) -> dict[str, Any]:
    return {
        "field": field,
        "id": key,
        "benchmark": targets.names[hit.target],
        "benchmark_row": targets.rows[hit.target],
        "method": hit.method,
        "score": hit.score,
        "spans": [{"field": place, "start": start, "end": end} for start, end in hit.spans],
    }


def _names(part: Path) -> set[str]:
    return replaced(part) if part.name.endswith(PACKED) else {part.name}


def _done(corpus: Store, manifest: Manifest) -> set[str]:
    path = corpus.manifest_path(manifest)
    if not path.is_file():
        return set()
    compared: Any = read_model(path, Manifest).summary.get("compared", [])
    return set(compared)


def _counts(corpus: Store) -> Counts:
    query = sql_file("curation.overlap.decontaminate", "by_benchmark.sql")
    counts = Counts()
    for row in select(open_tables(corpus), query).to_pylist():
        counts.rows += row["n"]
        if row["benchmark"]:
            counts.add("filtered", row["benchmark"], row["n"])
        else:
            counts.kept += row["n"]
    return counts


def _summary(corpus: Store, done: set[str]) -> dict[str, object]:
    query = sql_file("curation.overlap.decontaminate", "overlaps.sql")
    return {"compared": sorted(done), "found": select(open_tables(corpus), query).to_pylist()}


def show(manifest: Manifest) -> None:
    """Print what was found, for a person."""
    rows: Any = manifest.summary["found"]
    if rows:
        console.show_rows(list(rows[0]), rows)
        console.say(
            'the words: curate sql "select * from contamination"; mixes exclude these traces unless allow_benchmarks names the benchmark'
        )
