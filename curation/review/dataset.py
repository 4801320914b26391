"""A round's dataset on the server: its questions, its records, its responses.

Surprise: an upsert leaves out nothing by itself. A suggestion that is no longer made stays until it is deleted, and
metadata that is not sent again is wiped.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from curation.review import questions
from curation.review.client import Client, Refused, load_argilla
from curation.review.records import METADATA, Record
from curation.review.rounds import RoundRecipe
from curation.review.vectors import DIMENSIONS
from schemas.errors import ServerError

PAGE = 500
PAYLOAD = "payload"
"""Metadata that holds a record's content id, so that the server itself knows what it has."""


class Dataset(NamedTuple):
    """A round's dataset."""

    id: str
    workspace_id: str
    questions: dict[str, str]
    """Question ids by name."""


class Stored(NamedTuple):
    """A record on the server."""

    id: str
    payload: str | None


def find(client: Client, name: str) -> Dataset | None:
    """The dataset of a round, if the server has one and it is published."""
    entry = _listed(client, name)
    if entry is None or entry["status"] == "draft":
        return None
    asked = {q["name"]: q["id"] for q in client.request("GET", f"datasets/{entry['id']}/questions")["items"]}
    if missing := {questions.PATTERNS, questions.VERDICT, *questions.SPANS.values()} - set(asked):
        raise ServerError(
            f'{client.url}: dataset "{name}" is there and is no review round (no question {", ".join(sorted(missing))}); '
            "name another round with --round"
        )
    return Dataset(entry["id"], entry["workspace_id"], asked)


def ensure(client: Client, recipe: RoundRecipe) -> Dataset:
    """The dataset of a round, made now with its workspace if there is none."""
    existing = find(client, recipe.name)
    if existing:
        return existing
    half_made = _listed(client, recipe.name)
    if half_made:  # whoever made it was killed before it was published; it cannot hold records
        client.request("DELETE", f"datasets/{half_made['id']}")
    argilla = load_argilla()
    if recipe.name not in {item["name"] for item in client.request("GET", "me/workspaces")["items"]}:
        client.request("POST", "workspaces", json={"name": recipe.name})
    settings = _settings(argilla, recipe.overlap)
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


def ensure_members(client: Client, dataset: Dataset, names: Sequence[str] | None) -> list[str]:
    """Let people into the workspace: those named, or all reviewers of the server. Returns all reviewers in it.

    Raises:
        ServerError: if somebody who is named has no account.
    """
    members = {user.name: user for user in client.users(dataset.workspace_id)}
    if names is None or set(names) - set(members):
        users = {user.name: user for user in client.users()}
        wanted = (
            [name for name, user in users.items() if user.role == "annotator"]
            if names is None
            else list(names)
        )
        if unknown := sorted(set(wanted) - set(users)):
            raise ServerError(
                f"{client.url}: no account for {', '.join(unknown)}; make one with `curate review server start --reviewers "
                f"{','.join(unknown)}`, or on that server's settings page"
            )
        for name in wanted:
            if name not in members:
                client.request(
                    "POST", f"workspaces/{dataset.workspace_id}/users", json={"user_id": users[name].id}
                )
                members[name] = users[name]
    return sorted(user.name for user in members.values() if user.role == "annotator")


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


def responses(client: Client, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """All records with their responses, as the server tells them."""
    yield from client.pages(f"datasets/{dataset.id}/records", PAGE, include="responses")


def _listed(client: Client, name: str) -> dict[str, Any] | None:
    workspaces = client.request("GET", "me/workspaces")["items"]
    workspace = next((item for item in workspaces if item["name"] == name), None)
    if workspace is None:
        return None
    datasets: list[dict[str, Any]] = client.request(
        "GET", "me/datasets", params={"workspace_id": workspace["id"]}
    )["items"]
    return next((item for item in datasets if item["name"] == name), None)


def _settings(argilla: Any, overlap: int) -> Any:
    labels = {choice.value: choice.text for choice in questions.pattern_choices()}
    marks = [
        argilla.SpanQuestion(
            name=name, field=field, labels=labels, title=f"Marks in the {field}", allow_overlapping=True, required=False,
            description=f"Pick a pattern, then drag over the words of the {field} that show it.",
        )
        for field, name in questions.SPANS.items()
    ]  # fmt: skip
    patterns = argilla.MultiLabelQuestion(
        name=questions.PATTERNS, labels=labels | {questions.NONE: "None of these"}, title="Patterns", required=True,
        description="Every pattern that the trace shows.",
    )  # fmt: skip
    return argilla.Settings(
        guidelines=questions.guidelines(),
        fields=[
            argilla.TextField(
                name=name, title=name.capitalize(), use_markdown=False, required=name == "prompt"
            )
            for name in ("prompt", *questions.SPANS)
        ],
        questions=[
            patterns,
            *marks,
            argilla.LabelQuestion(
                name=questions.VERDICT, labels=questions.VERDICTS, title="Verdict", required=True
            ),
            argilla.TextQuestion(name=questions.COMMENT, title="Comment", required=False),
        ],
        metadata=[argilla.TermsMetadataProperty(name=name, title=name.capitalize()) for name in METADATA],
        vectors=[argilla.VectorField(name=questions.VECTOR, dimensions=DIMENSIONS)],
        distribution=argilla.TaskDistribution(min_submitted=overlap),
        allow_extra_metadata=True,
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
