"""`curate review push`: sends a round to its reviewers.

Only records that the server lacks are sent, so an interrupted push resumes, and pushing again updates suggestions without changing
responses.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curation import console
from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import dataset as datasets
from curation.review import records, rounds
from curation.review.client import Client
from curation.review.records import Record
from curation.review.rounds import RoundRecipe
from curation.review.vectors import vectors
from curation.versions import versions
from schemas.manifest import Counts, Manifest

STAGE = "review-push"
SENT = "what was sent is kept; the same command sends the rest"
BATCH = 100

Vectored = tuple[Record, list[float]]


def run(
    corpus_dir: Path, recipe: RoundRecipe, *, client: Client, reviewers: Sequence[str] | None = None
) -> Manifest:
    """Bring a round to the server, making both where they are not there yet.

    The summary says how many records were created, updated and left unchanged, and who may review the round.

    Raises:
        RecipeError: if the round cannot be made with these settings.
        ServerError: if the server does not answer or refuses.
    """
    corpus = Store(corpus_dir)
    current = rounds.open_or_create(corpus, recipe)
    dataset = datasets.ensure(client, current.recipe)
    members = datasets.ensure_members(client, dataset, reviewers)
    sent = _Sent(client, dataset, datasets.stored(client, dataset))
    with console.progress("push", total=len(current.tasks), unit="traces", keeps=SENT) as advance:
        for batch in _batches(_with_vectors(corpus, recipe.name)):
            sent.send(batch)
            advance(len(batch))
    counts = Counts(rows=len(current.tasks), kept=len(current.tasks) - len(sent.failed), failed=sent.failed)
    manifest = Manifest(
        stage=STAGE,
        recipe=current.recipe.model_dump(),
        seed=current.recipe.seed,
        versions=versions("lrm-curate", "argilla"),
        counts=counts,
        summary={
            "created": sent.created,
            "updated": sent.updated,
            "unchanged": counts.kept - sent.created - sent.updated,
            "reviewers": members,
        },
    )
    corpus.write_manifest(manifest)
    return manifest


class _Sent:
    """What has been sent so far."""

    def __init__(self, client: Client, dataset: datasets.Dataset, there: dict[str, datasets.Stored]) -> None:
        self._client, self._dataset, self._there = client, dataset, there
        self.created = self.updated = 0
        self.failed: dict[str, int] = {}

    def send(self, batch: Sequence[Vectored]) -> None:
        """Store those records that the server lacks or has otherwise."""
        changed = [
            (r, v)
            for r, v in batch
            if r.trace_id not in self._there or self._there[r.trace_id].payload != r.payload
        ]
        refused = datasets.upsert(self._client, self._dataset, changed) if changed else {}
        for record, _ in changed:
            if record.trace_id in refused:
                self.failed[f"{record.trace_id}: {refused[record.trace_id]}"] = 1
            elif record.trace_id in self._there:
                self.updated += 1
                datasets.delete_stale_suggestions(
                    self._client, self._dataset, self._there[record.trace_id].id, record
                )
            else:
                self.created += 1


def _with_vectors(corpus: Store, name: str) -> Iterator[Vectored]:
    connection = connect(corpus)
    texts = [f"{row['prompt']}\n{row['reasoning']}" for row in _rows(connection, name)]
    for row, vector in zip(_rows(connection, name), vectors(texts), strict=True):
        yield records.record(row), vector


def _rows(connection: Any, name: str) -> Iterator[dict[str, Any]]:
    for batch in rounds.records(connection, name):
        yield from batch.to_pylist()


def _batches(items: Iterator[Vectored]) -> Iterator[list[Vectored]]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
