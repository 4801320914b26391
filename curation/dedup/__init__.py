"""`curate dedup`: find duplicate prompts and traces. Nothing is deleted; a mix filters on `duplicate` and `prompt_duplicate`.

Texts are compared as words (`curation.words`): the `prompt` in full, its raw `query` without the template around it, and the
`response` (reasoning and answer). The representative of a cluster is the member with the lowest id, which depends on
nothing but the members. One field by one method is one piece of work: it is written whole, and done again only after the corpus or
the settings changed, as a new generation.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curation import console
from curation.dedup import queries, sketches
from curation.query import connect, select
from curation.recipe import Recipe
from curation.store import Corpus
from curation.versions import versions
from curation.words import Words, hash_words, plain_words
from schemas.ids import content_id
from schemas.manifest import Counts, Manifest
from schemas.tables import CLUSTERS

STAGE = "dedup"
Method = Literal["exact", "near", "semantic"]
FIELDS: dict[str, tuple[str, ...]] = {
    "exact": ("prompt", "response"), "near": ("query", "response"), "semantic": ("query",)
}  # fmt: skip
"""What each method compares."""
RUN = {"query": 3, "response": 5}
"""Words that are compared together; queries are short."""
BATCH_ROWS = 2048


class DedupRecipe(Recipe):
    """What `curate dedup` may be told."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("exact", "near")
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Near-duplicates share at least this part of their word runs (Jaccard)."""
    cosine: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Semantic duplicates have sentence vectors at least this close."""
    template_from: Annotated[int, Field(ge=2)] = 20
    """Words that stand in so many prompts belong to a template, not to the query."""


class Work(NamedTuple):
    """One field by one method."""

    field: str
    method: Method

    @property
    def table(self) -> str:
        """Where the texts are."""
        return "traces" if self.field == "response" else "prompts"


class Clusters(NamedTuple):
    """The outcome of a piece of work, a row per text."""

    ids: pa.Array
    labels: sketches.Labels
    similarity: "np.ndarray[Any, np.dtype[np.float32]]"
    """To the representative; meaningless for representatives."""


def to_table(work: Work, generation: str, found: Clusters) -> pa.Table:
    """The rows of the clusters table; `found.ids` must be in ascending order, so that a label is its representative."""
    n = len(found.ids)
    representative = found.labels == np.arange(n)
    columns = [
        pa.repeat(work.field, n), pa.repeat(work.method, n), pa.repeat(generation, n), found.ids,
        found.ids.take(pa.array(found.labels)), pa.array(representative), pa.array(found.similarity, mask=representative),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=CLUSTERS)


def run(corpus_dir: Path, recipe: DedupRecipe) -> Manifest:
    """Do what is not done yet, and say how the corpus stands afterwards.

    Raises:
        CorpusError: if the corpus is missing or cannot be written.
        MissingExtraError: if `semantic` is asked for and sentence-transformers is not installed.
    """
    corpus = Corpus(corpus_dir)
    works = [Work(field, method) for method in dict.fromkeys(recipe.methods) for field in FIELDS[method]]
    with corpus.writing("clusters"):
        for work in works:
            _do(corpus, work, recipe)
    manifest = _manifest(corpus, recipe)
    corpus.write_manifest(manifest)
    return manifest


def _do(corpus: Corpus, work: Work, recipe: DedupRecipe) -> None:
    settings = _settings(corpus, work, recipe)
    manifest = Manifest(
        stage=f"{STAGE}-{work.field}-{work.method}", recipe=settings, recipe_id=content_id(settings)
    )
    latest = _latest(corpus, work)
    if latest and _generation_of(corpus, manifest) == latest:
        console.say(f"dedup: {work.field} by {work.method}: nothing new")
        return
    generation = f"{int(latest or 0) + 1:06d}"
    found = _compare(corpus, work, recipe)
    corpus.append("clusters", to_table(work, generation, found))
    clustered = np.bincount(found.labels, minlength=1)
    summary: dict[str, object] = {
        "generation": generation,
        "texts": len(found.ids),
        "clusters": int((clustered > 1).sum()),
        "duplicates": int((found.labels != np.arange(len(found.ids))).sum()),
        "largest": int(clustered.max(initial=0)),
    }
    corpus.write_manifest(manifest.model_copy(update={"summary": summary}))


def _settings(corpus: Corpus, work: Work, recipe: DedupRecipe) -> dict[str, object]:
    """What decides the outcome; two pieces of work with equal settings have equal outcomes."""
    used = {"near": {"threshold": recipe.threshold}, "semantic": {"cosine": recipe.cosine}, "exact": {}}[
        work.method
    ]
    if work.field == "query":
        used |= {"template_from": recipe.template_from}
    return {
        "field": work.field,
        "method": work.method,
        **used,
        "parts": content_id([p.name for p in corpus.parts(work.table)]),
    }


def _latest(corpus: Corpus, work: Work) -> str | None:
    found = select(
        connect(corpus),
        f"select max(generation) as g from clusters where field = '{work.field}' and method = '{work.method}'",
    )
    value: str | None = found["g"][0].as_py()
    return value


def _generation_of(corpus: Corpus, manifest: Manifest) -> object:
    path = corpus.manifest_path(manifest)
    return Manifest.model_validate_json(path.read_bytes()).summary["generation"] if path.is_file() else None


def _compare(corpus: Corpus, work: Work, recipe: DedupRecipe) -> Clusters:
    ids, order = _ids(corpus, work)
    with console.progress(f"dedup {work.field} by {work.method}", total=len(ids), unit="texts") as advance:
        batches = _words(corpus, work, recipe, advance)
        if work.method == "exact":
            keys = _stack([sketches.fingerprints(words) for words in batches], np.uint64)[order]
            return Clusters(ids, sketches.equal(keys), np.ones(len(ids), np.float32))
        if work.method == "near":
            made = [sketches.sketch(words, RUN[work.field]) for words in batches]
            all_ = (
                sketches.Sketches(*(np.concatenate(column)[order] for column in zip(*made, strict=True)))
                if made
                else None
            )
            labels = sketches.alike(all_, recipe.threshold) if all_ else np.zeros(0, np.int64)
            similarity = (
                sketches.similarities(all_, labels, np.arange(len(ids))) if all_ else np.zeros(0, np.float32)
            )
            return Clusters(ids, labels, similarity)
        return _semantic(ids, _query_texts(corpus, recipe, order), recipe.cosine)


def _semantic(ids: pa.Array, texts: list[str], threshold: float) -> Clusters:
    from curation import neighbours

    vectors = neighbours.embed(texts)
    labels = np.arange(len(ids), dtype=np.int64)
    for close in neighbours.close_pairs(vectors, vectors, threshold, same=True):
        labels = sketches.join(labels, close.left, close.right)
    return Clusters(ids, labels, (vectors * vectors[labels]).sum(1, dtype=np.float32))


def _ids(corpus: Corpus, work: Work) -> tuple[pa.Array, pa.Array]:
    """The ids in ascending order, and where each stands in the order of the parts."""
    name = "trace_id" if work.table == "traces" else "prompt_id"
    chunks = [batch.column(0) for batch in corpus.scan(work.table, [name], BATCH_ROWS)]
    ids = pa.chunked_array(chunks, pa.string()).combine_chunks()
    order = pc.sort_indices(ids)
    return ids.take(order), order.to_numpy()


def _texts(corpus: Corpus, field: str) -> Iterator[pa.Array]:
    if field == "response":
        for batch in corpus.scan("traces", ["reasoning", "answer"], BATCH_ROWS):
            yield pc.binary_join_element_wise(batch.column("reasoning"), batch.column("answer"), "\n")
    else:
        for batch in corpus.scan("prompts", ["text"], BATCH_ROWS):
            yield batch.column(0)


def _words(corpus: Corpus, work: Work, recipe: DedupRecipe, advance: console.Advance) -> Iterator[Words]:
    if work.field == "query":
        counts = queries.count_runs(hash_words(texts) for texts in _texts(corpus, "prompt"))
    for texts in _texts(corpus, work.field):
        words = hash_words(texts)
        if work.field == "query":
            words = queries.only(words, queries.query_words(words, counts, recipe.template_from))
        yield words
        advance(len(texts))


def _query_texts(corpus: Corpus, recipe: DedupRecipe, order: Any) -> list[str]:
    counts = queries.count_runs(hash_words(texts) for texts in _texts(corpus, "prompt"))
    found: list[str] = []
    for texts in _texts(corpus, "prompt"):
        words = hash_words(texts)
        keep = queries.query_words(words, counts, recipe.template_from)
        rows = zip(texts.to_pylist(), words.offsets, words.offsets[1:], strict=False)
        found += [_query(text, keep[first:last]) for text, first, last in rows]
    return [found[row] for row in order]


def _query(text: str, keep: queries.Mask) -> str:
    if keep.all():
        return text
    return " ".join(word for word, kept in zip(plain_words(text), keep, strict=True) if kept)


def _stack(arrays: list[Any], dtype: Any) -> Any:
    return np.concatenate([np.zeros(0, dtype), *arrays])


def _manifest(corpus: Corpus, recipe: DedupRecipe) -> Manifest:
    connection = connect(corpus)
    rows = select(
        connection, "select count(*) as n, coalesce(count_if(duplicate), 0)::bigint as d from candidates"
    ).to_pylist()[0]
    counts = Counts(rows=rows["n"], kept=rows["n"] - rows["d"])
    if rows["d"]:
        counts.add("filtered", "duplicate", rows["d"])
    settings = recipe.model_dump(mode="json")
    query = """select field || ' by ' || method as work, count(*) as texts, count_if(not representative)::bigint as duplicates,
        count(distinct cluster_id) as clusters from current_clusters group by all order by all"""
    return Manifest(
        stage=STAGE,
        recipe=settings,
        recipe_id=content_id(settings),
        versions=versions("lrm-curate", "numpy", "rensa"),
        counts=counts,
        summary={row.pop("work"): row for row in select(connection, query).to_pylist()},
    )
