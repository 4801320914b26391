"""`curate review assign`: changes who reviews a round; whoever has answered a trace keeps it."""

from collections.abc import Sequence
from pathlib import Path

from curation.corpus.store import Store
from curation.review import dataset as datasets
from curation.review import push, rounds
from curation.review.client import Client
from curation.review.planning import team as teams
from curation.review.planning.team import Team
from schemas.errors import ServerError
from schemas.manifest import Manifest


def run(corpus_dir: Path, *, round: str, reviewers: Sequence[str], client: Client) -> Manifest:
    """Plan what is still open of a round for these people alone, let them in and the others out; then push.

    Raises:
        CorpusError: if the corpus has no such round.
        ServerError: if the server does not have the round, or somebody has no account.
    """
    corpus = Store(corpus_dir)
    current = rounds.open_round(corpus, round)
    dataset = datasets.find(client, round, current.id)
    if dataset is None:
        raise ServerError(f'{client.url}: no round "{round}" there; send it with: curate review push')
    names = datasets.reviewers_of(client, reviewers)
    answered = _answered(client, dataset)
    planned = push.planned(corpus, current, names, answered)
    with corpus.writing("review_tasks"):
        teams.save(corpus, round, Team(tuple(names), planned))
    datasets.let_out(client, dataset, names)
    return push.run(corpus_dir, current.recipe, client=client)


def _answered(client: Client, dataset: datasets.Dataset) -> dict[str, list[str]]:
    names = {user.id: user.name for user in client.users()}
    people: dict[str, list[str]] = {}
    for record in datasets.responses(client, dataset):
        for response in record.get("responses") or ():
            if response["user_id"] in names:
                people.setdefault(record["external_id"] or "", []).append(names[response["user_id"]])
    return people
