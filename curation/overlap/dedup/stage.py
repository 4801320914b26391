"""`curate dedup`: finds duplicate prompts and traces. Nothing is deleted; a mix filters on `duplicate` and `prompt_duplicate`.

Texts are compared as words (`curation.overlap.words`) and operators (`meaning`): the `prompt` in full, its raw `query` without the template around it, and the
`response` (reasoning and answer). The representative of a cluster is the member with the lowest id, which depends on
nothing but the members. One field by one method is one unit of work: it is written atomically, and repeated only after the corpus or
the settings changed, as a new generation.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.memory import Array, DiskArray
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from curation.overlap.dedup import queries, sketches, texts
from curation.overlap.dedup.clustering import Clusters, ClusterSlice, Ranked, cluster, place, rank
from curation.overlap.dedup.texts import KeyedTexts, Work
from curation.overlap.words import hash_words, plain_words
from curation.reading import read_model
from curation.recipe import Recipe
from curation.versions import versions
from schemas.choices import DedupMethod
from schemas.ids import content_id
from schemas.manifest import Counts, Manifest
from schemas.tables import CLUSTERS

STAGE = "dedup"
KEEPS = "comparisons that are done are saved, this one is not; the same command goes on with it"
FIELDS: dict[str, tuple[str, ...]] = {
    "exact": ("prompt", "response"), "near": ("query", "response"), "semantic": ("query",)
}  # fmt: skip
"""Fields that each method compares."""
WORDS = 2
"""Version of what counts as a word; 2: operators are words, numbers and negations tell queries apart."""


class DedupRecipe(Recipe):
    """What `curate dedup` may be told."""

    methods: Annotated[tuple[DedupMethod, ...], Field(min_length=1)] = ("exact", "near")
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Minimum Jaccard similarity of word n-grams."""
    cosine: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Minimum cosine similarity of sentence vectors."""
    template_from: Annotated[int, Field(ge=2)] = 20
    """N-grams in at least this many prompts belong to a template, not to the query."""
    ray_workers: Annotated[int, Field(ge=1)] | None = None
    """Read and sketch the texts on a Ray cluster with this many workers; the result is the same."""


def to_table(work: Work, generation: str, piece: ClusterSlice) -> pa.Table:
    """Rows of the clusters table."""
    n = len(piece.ids)
    columns = [
        pa.repeat(work.field, n), pa.repeat(work.method, n), pa.repeat(generation, n), _text(piece.ids),
        _text(piece.representatives), pa.array(piece.representative), pa.array(piece.similarity, mask=piece.representative),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=CLUSTERS)


def _text(ids: Array) -> pa.Array:
    return pa.array(ids, pa.binary()).cast(pa.string())


def run(corpus_dir: Path, recipe: DedupRecipe) -> Manifest:
    """Do what is not done yet, and say how the corpus stands afterwards.

    Raises:
        CorpusError: if the corpus is missing or cannot be written.
        MissingExtraError: if `semantic` is asked for and sentence-transformers is not installed.
    """
    corpus = Store(corpus_dir)
    works = [Work(field, method) for method in dict.fromkeys(recipe.methods) for field in FIELDS[method]]
    with corpus.alone(STAGE):
        for work in works:
            _do(corpus, work, recipe)
    manifest = _manifest(corpus, recipe)
    corpus.write_manifest(manifest)
    return manifest


def _do(corpus: Store, work: Work, recipe: DedupRecipe) -> None:
    settings = _settings(corpus, work, recipe)
    manifest = Manifest(stage=f"{STAGE}-{work.field}-{work.method}", recipe=settings)
    latest = _latest(corpus, work)
    if latest and _generation_of(corpus, manifest) == latest:
        console.say(f"dedup: {work.field} by {work.method}: up to date")
        return
    generation = f"{int(latest or 0) + 1:06d}"
    clusters = _compare(corpus, work, recipe)
    sizes = clusters.sizes()
    if sizes.texts:
        with corpus.writing("clusters"):
            corpus.append_pieces(
                "clusters", lambda: (to_table(work, generation, piece) for piece in clusters.pieces())
            )
    summary: dict[str, object] = {"generation": generation, **sizes._asdict()}
    corpus.write_manifest(manifest.model_copy(update={"summary": summary}))


def _settings(corpus: Store, work: Work, recipe: DedupRecipe) -> dict[str, object]:
    """Everything that affects the result; equal settings give equal results."""
    used = {"near": {"threshold": recipe.threshold}, "semantic": {"cosine": recipe.cosine}, "exact": {}}[
        work.method
    ]
    if work.field == "query":
        used |= {"template_from": recipe.template_from}
    return {
        "field": work.field,
        "method": work.method,
        **used,
        "words": WORDS,
        "parts": content_id([p.name for p in corpus.parts(work.table)]),
    }


def _latest(corpus: Store, work: Work) -> str | None:
    rows = select(
        open_tables(corpus),
        sql_file("curation.overlap.dedup", "latest.sql"),
        {"field": work.field, "method": work.method},
    )
    value: str | None = rows["generation"][0].as_py()
    return value


def _generation_of(corpus: Store, manifest: Manifest) -> object:
    path = corpus.manifest_path(manifest)
    return read_model(path, Manifest).summary["generation"] if path.is_file() else None


def _compare(corpus: Store, work: Work, recipe: DedupRecipe) -> Clusters:
    parts = corpus.parts(work.table)
    folder = place(parts, corpus.root)
    ranked = rank(parts, work.id_column, folder)
    total = len(ranked.ids.array)
    with console.progress(
        f"dedup {work.field} by {work.method}", total=total, unit="texts", keeps=KEEPS
    ) as advance:
        if work.method == "semantic":
            return _semantic(parts, ranked, _common(parts, recipe), recipe.cosine)
        common = _common(parts, recipe) if work.field == "query" else np.zeros(0, np.int64)
        exact = work.method == "exact"
        made = _advancing(_make(recipe)(parts, work, common), advance)
        bands, threshold = (1, None) if exact else (sketches.BANDS, recipe.threshold)
        return cluster(ranked, made, bands, threshold, folder)


def _common(parts: Sequence[Path], recipe: DedupRecipe) -> Array:
    if recipe.ray_workers:
        from curation.overlap.dedup.on_ray import count_on_ray

        return texts.common_ngrams(count_on_ray(parts, recipe.ray_workers), recipe.template_from)
    return texts.common_ngrams(texts.count(parts), recipe.template_from)


def _make(recipe: DedupRecipe) -> Callable[[Sequence[Path], Work, Array], Iterator[KeyedTexts]]:
    if recipe.ray_workers:
        from curation.overlap.dedup.on_ray import make_on_ray

        return partial(make_on_ray, workers=recipe.ray_workers)
    return texts.make


def _advancing(made: Iterable[KeyedTexts], advance: console.Advance) -> Iterator[KeyedTexts]:
    for some in made:
        yield some
        advance(len(some.keys))


def _semantic(parts: Sequence[Path], ranked: Ranked, common: Array, threshold: float) -> Clusters:
    """Vectors of 1.5 kB per prompt, all in memory: the only method without a memory limit."""
    from curation.overlap import neighbours

    queries_ = _query_texts(parts, common)
    vectors = neighbours.embed([queries_[row] for row in ranked.order.array])
    labels = DiskArray((len(vectors),), "i8", None)
    labels.array[:] = np.arange(len(vectors))
    for close in neighbours.close_pairs(vectors, vectors, threshold, same=True):
        sketches.link(labels.array, close.left, close.right)
    return Clusters(
        ranked, labels, lambda left, right: (vectors[left] * vectors[right]).sum(1, dtype=np.float32)
    )


def _query_texts(parts: Sequence[Path], common: Array) -> list[str]:
    template, query_texts = queries.template_mask(common), list[str]()
    for part in parts:
        for batch in texts.read(part, "query"):
            words = hash_words(batch)
            keep = queries.outside(words, template)
            rows = zip(batch.to_pylist(), words.offsets, words.offsets[1:], strict=False)
            query_texts += [_query(text, keep[first:last]) for text, first, last in rows]
    return query_texts


def _query(text: str, keep: queries.Mask) -> str:
    if keep.all():
        return text
    return " ".join(word for word, kept in zip(plain_words(text), keep, strict=True) if kept)


def _manifest(corpus: Store, recipe: DedupRecipe) -> Manifest:
    connection = open_tables(corpus)
    (rows,) = select(connection, sql_file("curation.overlap.dedup", "duplicates.sql")).to_pylist()
    counts = Counts(rows=rows["traces"], kept=rows["traces"] - rows["duplicates"])
    if rows["duplicates"]:
        counts.add("filtered", "duplicate", rows["duplicates"])
    settings = recipe.model_dump(mode="json", exclude={"ray_workers"})
    query = sql_file("curation.overlap.dedup", "clusters.sql")
    return Manifest(
        stage=STAGE,
        recipe=settings,
        versions=versions("lrm-curate", "numpy", "rensa"),
        counts=counts,
        summary={row.pop("work"): row for row in select(connection, query).to_pylist()},
    )
