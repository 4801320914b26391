"""`curate review push`: sends a round to its reviewers.

Only records that the server lacks are sent, so an interrupted push resumes, and pushing again updates suggestions without changing
responses.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curation import console
from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import dataset as datasets
from curation.review import ledger, records, rounds
from curation.review.client import Client
from curation.review.planning.assignment import Plan, plan
from curation.review.planning.disputes import votes_by_trace
from curation.review.planning.team import Team
from curation.review.records import Record
from curation.review.reviews import Review, reviewer_name
from curation.review.rounds import Round, RoundRecipe
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

    Who reviews it, and which traces each, is decided by the first push and kept with the round.

    Raises:
        RecipeError: if the round cannot be made with these settings, or has other reviewers.
        ServerError: if the server does not answer or refuses.
    """
    corpus = Store(corpus_dir)
    current = rounds.open_or_create(corpus, recipe)
    dataset = datasets.find(client, recipe.name, current.id)
    if dataset:
        dataset = datasets.claim(client, dataset, current)
    team = current.team or _new_team(corpus, client, dataset, current, reviewers)
    current = rounds.with_team(corpus, current, team, reviewers)
    if dataset is None:
        dataset = datasets.claim(client, datasets.create(client, current, _needed(current, team)), current)
    gone = datasets.let_in(client, dataset, team.reviewers)
    sent = _Sent(client, dataset, datasets.stored(client, dataset))
    with console.progress("push", total=len(current.tasks), unit="traces", keeps=SENT) as advance:
        for batch in _batches(_with_vectors(corpus, current, team.assigned)):
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
            "reviewers": list(team.reviewers),
            "no_account": gone,
            "short": sum(len(people) < current.recipe.overlap for people in team.assigned.values()),
        },
    )
    corpus.write_manifest(manifest)
    return manifest


def planned(
    corpus: Store,
    current: Round,
    reviewers: Sequence[str],
    answered: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """Who reviews which trace of a round, given who has answered which; a gold item everybody whose labels it does not rest on."""
    gold = [task.trace_id for task in current.tasks if task.gold is not None]
    votes = votes_by_trace(ledger.load(corpus, current.form)) if gold else {}
    judges = {trace: {vote.reviewer for vote in votes.get(trace, ())} for trace in gold}
    return plan(
        [task.trace_id for task in current.tasks],
        reviewers,
        current.recipe.overlap,
        current.recipe.seed,
        fixed=answered,
        barred={
            trace: [name for name in reviewers if reviewer_name(name) in said]
            for trace, said in judges.items()
        },
        everybody=gold,
    )


def _needed(current: Round, team: Team) -> int:
    """How many answers complete a record: a gold item waits for all."""
    return max(current.recipe.overlap, *(len(people) for people in team.assigned.values()), 1)


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


def _new_team(
    corpus: Store,
    client: Client,
    dataset: datasets.Dataset | None,
    current: Round,
    reviewers: Sequence[str] | None,
) -> Team:
    """Who reviews a round from now on. One that is being reviewed already, without a plan, keeps its members and has none."""
    if dataset and reviewers is None:
        return Team(tuple(datasets.members(client, dataset)), {})
    names = datasets.reviewers_of(client, reviewers)
    if dataset:
        return Team(tuple(names), {})
    return Team(tuple(names), planned(corpus, current, names))


def _with_vectors(corpus: Store, current: Round, assigned: Plan) -> Iterator[Vectored]:
    connection = connect(corpus)
    votes = votes_by_trace(_opinions(corpus, current)) if current.role else None
    texts = [f"{row['prompt']}\n{row['reasoning']}" for row in _rows(connection, current)]
    for row, vector in zip(_rows(connection, current), vectors(texts), strict=True):
        seen = None if votes is None else votes.get(row["trace_id"], [])
        yield records.record(row, assigned.get(row["trace_id"], ()), seen, current.form), vector


def _opinions(corpus: Store, current: Round) -> list[Review]:
    return [review for review in ledger.load(corpus, current.form) if review.role is None]


def _rows(connection: Any, current: Round) -> Iterator[dict[str, Any]]:
    for batch in rounds.records(connection, current.recipe.name, current.form):
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
