"""`curate review pull`: imports reviewers' responses as annotations by `human:<user>`.

Every pulled version of a response is kept in the `reviews` table, including drafts and discarded ones; only submitted ones become
annotations.
"""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from curation import console
from curation.corpus.store import Store
from curation.review import dataset as datasets
from curation.review import ledger, reviews, rounds
from curation.review.client import Client, User
from curation.review.reviews import SUBMITTED, Review, reviewer_name
from curation.review.rounds import Round
from curation.versions import versions
from schemas.errors import ServerError
from schemas.manifest import Counts, Manifest


class Contradiction(NamedTuple):
    """A submitted review that takes back what it says."""

    trace_id: str
    reviewer: str
    what: tuple[str, ...]


STAGE = "review-pull"
FETCHED = "nothing was taken over yet; the responses are safe on the server; run the same command again"


class Fetched(NamedTuple):
    """What a round's server has."""

    counts: Counts
    arrived: list[Review]
    faults: list[tuple[int, str, str]]
    """Unreadable reviews: position, reason, detail."""
    contradictions: list[Contradiction]


def run(corpus_dir: Path, *, round: str, client: Client, send_back: bool = False) -> Manifest:
    """Fetch all responses of a round and keep what is new; the summary says how much that was, and which reviews contradict themselves.

    Args:
        corpus_dir: the corpus.
        round: its name.
        client: a connection to its server.
        send_back: turn submitted reviews that contradict themselves back into drafts of their reviewers.

    Raises:
        CorpusError: if the corpus has no such round.
        ServerError: if the server does not answer or does not have the round.
    """
    corpus = Store(corpus_dir)
    found = fetch(corpus, rounds.open_round(corpus, round), client, send_back)
    ledger.quarantine(corpus, STAGE, round, found.faults)
    added = ledger.add(corpus, found.arrived)
    manifest = Manifest(
        stage=STAGE,
        recipe={"round": round},
        versions=versions("lrm-curate", "argilla"),
        counts=found.counts,
        summary={
            **added._asdict(),
            "contradicting_themselves": len(found.contradictions),
            "contradictions": [one._asdict() for one in found.contradictions],
            "sent_back": len(found.contradictions) if send_back else 0,
        },
    )
    corpus.write_manifest(manifest)
    return manifest


def fetch(corpus: Store, current: Round, client: Client, send_back: bool = False) -> Fetched:
    """The reviews that a round's server has now; writes nothing here, and to the server only what is sent back."""
    round = current.recipe.name
    dataset = datasets.find(client, round, current.id)
    if dataset is None:
        raise ServerError(
            f'{client.url}: no round "{round}" there; send it with: curate review push --round {round}'
        )
    answered = _answered(client, dataset, len(current.tasks))
    mine = {task.trace_id for task in current.tasks}
    names = reviewer_names(client.users(dataset.workspace_id) + _all_users(client))
    texts = ledger.texts(corpus, [record["external_id"] or "" for record in answered])
    latest = ledger.latest(corpus, round)
    known = {(r.trace_id, r.updated_at): r.reviewer for r in ledger.load(corpus) if r.round == round}
    seen = {(r.trace_id, r.reviewer, r.updated_at) for r in ledger.load(corpus) if r.round == round}
    found = Fetched(Counts(), [], [], [])
    for position, record in enumerate(answered):
        trace_id = record["external_id"] or ""
        for response in record["responses"]:
            found.counts.rows += 1
            reviewer = _author(response, trace_id, names, known)
            try:
                if trace_id not in mine:
                    raise ValueError("the trace is not in this round")
                review = _review(response, texts, current, trace_id, reviewer)
                if said := review.status == SUBMITTED and review.contradictions:
                    found.contradictions.append(Contradiction(trace_id, reviewer, said))
                    if send_back:
                        draft = datasets.make_draft(client, response)
                        review = _review(draft, texts, current, trace_id, reviewer)
            except (ValueError, KeyError, TypeError) as error:
                found.counts.add("quarantined", "unreadable review")
                found.faults.append((position, "unreadable review", f"{trace_id} by {reviewer}: {error}"))
                continue
            if (trace_id, reviewer, review.updated_at) not in seen:
                review = _in_order(review, latest.get((trace_id, reviewer)))
            found.arrived.append(review)
            if review.status == SUBMITTED:
                found.counts.kept += 1
            else:
                found.counts.add("filtered", review.status)
    return found


def _answered(client: Client, dataset: datasets.Dataset, total: int) -> list[dict[str, Any]]:
    with console.progress("pull", total=total, unit="traces", keeps=FETCHED) as advance:
        answered = []
        for record in datasets.responses(client, dataset):
            if record.get("responses"):
                answered.append(record)
            advance()
    return answered


def _author(
    response: dict[str, Any], trace_id: str, names: dict[str, str], known: dict[tuple[str, str], str]
) -> str:
    """Whose response it is. The server forgets the author of a response with the account: an earlier pull may know them."""
    user = response["user_id"]
    if user in names:
        return names[user]
    moment = str(response.get("updated_at"))
    return known.get((trace_id, moment)) or f"gone-{str(user or response.get('id'))[:8]}"


def reviewer_names(users: list[User]) -> dict[str, str]:
    """Annotator names by user id; of several users that would have one name, each gets a piece of their id as well."""
    unique = {user.id: reviewer_name(user.name) for user in users}
    taken = Counter(unique.values())
    return {id: name if taken[name] == 1 else f"{name}-{id[:8]}" for id, name in unique.items()}


def _review(
    response: dict[str, Any], texts: dict[str, dict[str, str]], current: Round, trace_id: str, reviewer: str
) -> Review:
    if trace_id not in texts:
        raise ValueError("this corpus has no such trace")
    review = reviews.from_response(
        response, texts[trace_id], current.recipe.name, trace_id, reviewer, current.form
    )
    return review._replace(role=current.role)


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
