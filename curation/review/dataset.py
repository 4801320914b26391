"""A round's dataset on the server: its questions, its records, its responses.

Surprise: an upsert leaves out nothing by itself. A suggestion that is no longer made stays until it is deleted, and
metadata that is not sent again is wiped.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from curation.review.client import Client, Refused, load_argilla
from curation.review.form import questions
from curation.review.form.settings import settings_of
from curation.review.records import Record
from curation.review.rounds import Round
from schemas.errors import ServerError

PAGE = 500
ROUND_ID = "round"
"""Metadata of a dataset that holds its round's id."""
PAYLOAD = "payload"
"""Metadata that holds a record's content id, so that the server itself knows what it has."""


class Dataset(NamedTuple):
    """A round's dataset."""

    id: str
    workspace_id: str
    questions: dict[str, str]
    """Question ids by name."""
    round_id: str | None = None
    """The round that it was made for; null where an older version made it."""


class Stored(NamedTuple):
    """A record on the server."""

    id: str
    payload: str | None


def find(client: Client, name: str, round_id: str | None = None) -> Dataset | None:
    """The published dataset of a round: the one that holds its id, whatever it is called now, or else the one of its name.

    Raises:
        ServerError: if the one of this name is no round, or another corpus's.
    """
    entries = [entry for entry in client.request("GET", "me/datasets")["items"] if entry["status"] != "draft"]
    entry = next((entry for entry in entries if round_id and _round_of(entry) == round_id), None)
    entry = entry or _named(client, entries, name)
    if entry is None:
        return None
    asked = {q["name"]: q["id"] for q in client.request("GET", f"datasets/{entry['id']}/questions")["items"]}
    if missing := {questions.VERDICT, questions.COMMENT} - set(asked):
        raise ServerError(
            f'{client.url}: dataset "{name}" is there and is no review round (no question {", ".join(sorted(missing))}); '
            "name another round with --round"
        )
    dataset = Dataset(entry["id"], entry["workspace_id"], asked, _round_of(entry))
    if round_id and dataset.round_id not in (None, round_id):
        raise _elsewhere(client, name)
    return dataset


def claim(client: Client, dataset: Dataset, current: Round) -> Dataset:
    """Write the round's id into a dataset that holds none: one just made, or an older version's.

    Raises:
        ServerError: if it has records of other traces: another corpus made it.
    """
    if dataset.round_id is None:
        if set(stored(client, dataset)) - {task.trace_id for task in current.tasks}:
            raise _elsewhere(client, current.recipe.name)
        client.request("PATCH", f"datasets/{dataset.id}", json={"metadata": {ROUND_ID: current.id}})
    return dataset._replace(round_id=current.id)


def create(client: Client, current: Round, min_submitted: int) -> Dataset:
    """Make the dataset of a round, with its workspace.

    Args:
        client: an owner's connection.
        current: the round.
        min_submitted: how many submitted answers complete a record.
    """
    recipe = current.recipe
    half_made = _named(client, client.request("GET", "me/datasets")["items"], recipe.name)
    if half_made:  # whoever made it was killed before it was published; it cannot hold records
        client.request("DELETE", f"datasets/{half_made['id']}")
    argilla = load_argilla()
    if recipe.name not in {item["name"] for item in client.request("GET", "me/workspaces")["items"]}:
        client.request("POST", "workspaces", json={"name": recipe.name})
    settings = settings_of(argilla, current.form, min_submitted, recipe.adjudicates is not None)
    with client.errors_explained():
        argilla.Dataset(
            name=recipe.name, workspace=recipe.name, settings=settings, client=client.sdk
        ).create()
    created = find(client, recipe.name)
    if created is None:
        raise ServerError(
            f'{client.url}: dataset "{recipe.name}" could not be made; run the same command again'
        )
    return created


def members(client: Client, dataset: Dataset) -> list[str]:
    """The reviewers in the dataset's workspace."""
    return sorted(user.name for user in client.users(dataset.workspace_id) if user.role == "annotator")


def reviewers_of(client: Client, names: Sequence[str] | None) -> list[str]:
    """Those names, or all reviewers of the server.

    Raises:
        ServerError: if somebody who is named has no account.
    """
    users = {user.name: user for user in client.users()}
    if names is None:
        return sorted(name for name, user in users.items() if user.role == "annotator")
    if unknown := sorted(set(names) - set(users)):
        raise ServerError(
            f"{client.url}: no account for {', '.join(unknown)}; make one with `curate review server start --reviewers "
            f"{','.join(unknown)}`, or on that server's settings page"
        )
    return sorted(set(names))


def let_in(client: Client, dataset: Dataset, names: Sequence[str]) -> list[str]:
    """Let people into the workspace. Returns those of them who have no account any more."""
    inside = {user.name for user in client.users(dataset.workspace_id)}
    missing = [name for name in names if name not in inside]
    ids = {user.name: user.id for user in client.users()} if missing else {}
    for name in missing:
        if name in ids:
            path = f"workspaces/{dataset.workspace_id}/users"
            client.request("POST", path, json={"user_id": ids[name]})
    return [name for name in missing if name not in ids]


def let_out(client: Client, dataset: Dataset, names: Sequence[str]) -> None:
    """Take everybody out of the workspace who reviews and is not named."""
    for user in client.users(dataset.workspace_id):
        if user.role == "annotator" and user.name not in names:
            client.request("DELETE", f"workspaces/{dataset.workspace_id}/users/{user.id}")


def stored(client: Client, dataset: Dataset) -> dict[str, Stored]:
    """What the server has, by trace id."""
    return {
        item["external_id"]: Stored(item["id"], (item.get("metadata") or {}).get(PAYLOAD))
        for item in client.pages(f"datasets/{dataset.id}/records", PAGE)
        if item.get("external_id")
    }


def upsert(client: Client, dataset: Dataset, records: Sequence[tuple[Record, list[float]]]) -> dict[str, str]:
    """Store records with their vectors; if the server refuses a batch, the good ones of it still go in.

    Returns:
        Why the server refused a record, by trace id.
    """
    try:
        items = [_item(dataset, *record) for record in records]
        client.request("PUT", f"datasets/{dataset.id}/records/bulk", json={"items": items})
    except Refused as error:
        if error.status != 422:
            raise
        if len(records) == 1:
            return {records[0][0].trace_id: str(error)}
        return {name: why for record in records for name, why in upsert(client, dataset, [record]).items()}
    return {}


def delete_stale_suggestions(client: Client, dataset: Dataset, record_id: str, record: Record) -> None:
    """Take back suggestions for questions that the record has none for any more."""
    kept = {dataset.questions[suggestion.question] for suggestion in record.suggestions}
    suggestions = client.request("GET", f"records/{record_id}/suggestions")["items"]
    stale = [item["id"] for item in suggestions if item["question_id"] not in kept]
    if stale:
        client.request("DELETE", f"records/{record_id}/suggestions", params={"ids": ",".join(stale)})


def make_draft(client: Client, response: dict[str, Any]) -> dict[str, Any]:
    """Give a submitted response back to its author as a draft. Returns it as it is then."""
    given = {"values": response["values"], "status": "draft"}
    changed: dict[str, Any] = client.request("PUT", f"responses/{response['id']}", json=given)
    return changed


def responses(client: Client, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """All records with their responses, as the server tells them."""
    yield from client.pages(f"datasets/{dataset.id}/records", PAGE, include="responses")


def _round_of(entry: dict[str, Any]) -> str | None:
    return (entry.get("metadata") or {}).get(ROUND_ID)


def _named(client: Client, entries: Sequence[dict[str, Any]], name: str) -> dict[str, Any] | None:
    workspaces = client.request("GET", "me/workspaces")["items"]
    ids = {item["id"] for item in workspaces if item["name"] == name}
    return next((entry for entry in entries if entry["name"] == name and entry["workspace_id"] in ids), None)


def _elsewhere(client: Client, name: str) -> ServerError:
    return ServerError(
        f'{client.url}: the round "{name}" there belongs to another corpus; name another with --round, or push to another server'
    )


def _item(dataset: Dataset, record: Record, vector: Iterable[float]) -> dict[str, Any]:
    return {
        "external_id": record.trace_id,
        "fields": record.fields,
        "metadata": {**record.metadata, PAYLOAD: record.payload},
        "vectors": {questions.VECTOR: list(vector)},
        "suggestions": [
            {"question_id": dataset.questions[s.question], "value": s.value, "score": s.score, "agent": s.agent, "type": "model"}
            for s in record.suggestions
        ],
    }  # fmt: skip
