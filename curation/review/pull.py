"""`curate review pull`: imports reviewers' responses as annotations by `human:<user>`.

Every pulled version of a response is kept in the `reviews` table, including drafts and discarded ones; only submitted ones become
annotations.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from curation import console
from curation.corpus.store import Store
from curation.review import dataset as datasets
from curation.review import ledger, reviews, rounds
from curation.review.client import Client, User
from curation.review.reviews import SUBMITTED, Review, reviewer_name
from curation.versions import versions
from schemas.errors import ServerError
from schemas.manifest import Counts, Manifest

STAGE = "review-pull"
FETCHED = "nothing was taken over yet; the responses are safe on the server; run the same command again"


def run(corpus_dir: Path, *, round: str, client: Client) -> Manifest:
    """Fetch all responses of a round and keep what is new; the summary says how much that was.

    Raises:
        CorpusError: if the corpus has no such round.
        ServerError: if the server does not answer or does not have the round.
    """
    corpus = Store(corpus_dir)
    current = rounds.open_round(corpus, round)
    dataset = datasets.find(client, round)
    if dataset is None:
        raise ServerError(
            f'{client.url}: no round "{round}" there; send it with: curate review push --round {round}'
        )
    with console.progress("pull", total=len(current.tasks), unit="traces", keeps=FETCHED) as advance:
        answered = []
        for record in datasets.responses(client, dataset):
            if record.get("responses"):
                answered.append(record)
            advance()
    names = reviewer_names(client.users(dataset.workspace_id) + _all_users(client))
    texts = ledger.texts(corpus, [record["external_id"] or "" for record in answered])
    latest = ledger.latest(corpus, round)
    seen = {(r.trace_id, r.reviewer, r.updated_at) for r in ledger.load(corpus) if r.round == round}
    counts, arrived, faults = Counts(), [], []
    for position, record in enumerate(answered):
        trace_id = record["external_id"] or ""
        for response in record["responses"]:
            counts.rows += 1
            reviewer = names.get(response["user_id"], f"gone-{response['user_id'][:8]}")
            try:
                review = _review(response, texts, round, trace_id, reviewer)
            except (ValueError, KeyError, TypeError) as error:
                counts.add("quarantined", "unreadable review")
                faults.append((position, "unreadable review", f"{trace_id} by {reviewer}: {error}"))
                continue
            if (trace_id, reviewer, review.updated_at) not in seen:
                review = _in_order(review, latest.get((trace_id, reviewer)))
            arrived.append(review)
            if review.status == SUBMITTED:
                counts.kept += 1
            else:
                counts.add("filtered", review.status)
    ledger.quarantine(corpus, STAGE, round, faults)
    added = ledger.add(corpus, arrived)
    manifest = Manifest(
        stage=STAGE,
        recipe={"round": round},
        versions=versions("lrm-curate", "argilla"),
        counts=counts,
        summary={
            **added._asdict(),
            "contradicting_themselves": sum(r.contradicts_itself for r in arrived if r.status == SUBMITTED),
        },
    )
    corpus.write_manifest(manifest)
    return manifest


def reviewer_names(users: list[User]) -> dict[str, str]:
    """Annotator names by user id; of several users that would have one name, each gets a piece of their id as well."""
    unique = {user.id: reviewer_name(user.name) for user in users}
    taken = Counter(unique.values())
    return {id: name if taken[name] == 1 else f"{name}-{id[:8]}" for id, name in unique.items()}


def _review(
    response: dict[str, Any], texts: dict[str, dict[str, str]], round: str, trace_id: str, reviewer: str
) -> Review:
    if trace_id not in texts:
        raise ValueError("this corpus has no such trace")
    return reviews.from_response(response, texts[trace_id], round, trace_id, reviewer)


def _in_order(review: Review, known: Review | None) -> Review:
    """A server has only the version that stands, so a new one is the last, even if the server's clock was set back."""
    if known and known.content == review.content and known.updated_at > review.updated_at:
        return known
    return reviews.after(review, known)


def _all_users(client: Client) -> list[User]:
    """Everybody, for reviewers who have left the workspace; only owners may ask."""
    try:
        return client.users()
    except ServerError:
        return []
