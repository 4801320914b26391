"""The search engine inside the real server against brute force: two hundred random filters, sorts and texts."""

import math
import random
from typing import Any, NamedTuple

import pytest

from curation.review.client import Client

WORDS = [
    "permit",
    "garden",
    "parking",
    "refuse",
    "answer",
    "persona",
    "pirate",
    "voice",
    "poem",
    "outline",
    "拒绝",
    "garden's",
    "élan",
]
AGENTS = ("rules v1", "judge v2")
RATINGS = (1, 2, 3, 4, 5)
LABELS = ("yes", "no", "odd")
RECORDS = 80


class Shelf(NamedTuple):
    """A dataset and what is known of its records, in the order they were stored."""

    id: str
    records: list[dict[str, Any]]
    users: dict[str, str]


@pytest.fixture(scope="module")
def shelf(client: Client, people: dict) -> Shelf:
    """Records with metadata, suggestions, vectors, and responses of every status by two people."""
    dice = random.Random(7)
    dataset = make_dataset(client, "shelf", people)
    questions = {q["name"]: q["id"] for q in client.request("GET", f"datasets/{dataset}/questions")["items"]}
    records = [random_record(dice, i) for i in range(RECORDS)]
    for start in range(0, len(records), 50):
        items = [record_item(record, questions) for record in records[start : start + 50]]
        client.request("PUT", f"datasets/{dataset}/records/bulk", json={"items": items})
    for item in client.pages(f"datasets/{dataset}/records", 500):
        record = records[int(item["external_id"])]
        record["id"] = item["id"]
        for name in ("ann", "bob"):
            if dice.random() < 0.5:
                status = dice.choice(["submitted", "draft", "discarded"])
                values = {
                    "label": dice.choice(LABELS),
                    "stars": dice.choice(RATINGS),
                    "many": dice.sample(LABELS, dice.randint(1, 3)),
                }
                people[name].respond(item["id"], values, status)
                record["responses"][name] = {"status": status, **values}
    users = {user.name: user.id for user in client.users()}
    return Shelf(dataset, records, users)


def make_dataset(client: Client, name: str, people: dict) -> str:
    import argilla as rg

    workspace = rg.Workspace(name=name, client=client.sdk).create()
    settings = rg.Settings(
        fields=[rg.TextField(name="text"), rg.TextField(name="note", required=False)],
        questions=[
            rg.LabelQuestion(name="label", labels=list(LABELS)),
            rg.RatingQuestion(name="stars", values=list(RATINGS), required=False),
            rg.MultiLabelQuestion(name="many", labels=list(LABELS), required=False),
        ],
        metadata=[
            rg.TermsMetadataProperty(name="topic"), rg.IntegerMetadataProperty(name="size"), rg.FloatMetadataProperty(name="share"),
        ],
        vectors=[rg.VectorField(name="v", dimensions=4)],
        distribution=rg.TaskDistribution(min_submitted=2),
    )  # fmt: skip
    dataset = rg.Dataset(name=name, workspace=workspace, settings=settings, client=client.sdk)
    dataset.create()
    for user in client.users():
        if user.name in people:
            client.request("POST", f"workspaces/{workspace.id}/users", json={"user_id": user.id})
    return str(dataset.id)


def random_record(dice: random.Random, i: int) -> dict[str, Any]:
    return {
        "external_id": str(i),
        "text": " ".join(dice.choices(WORDS, k=dice.randint(1, 12))),
        "note": " ".join(dice.choices(WORDS, k=3)) if dice.random() < 0.5 else None,
        "topic": dice.sample(["a", "b", "c d"], dice.randint(1, 2)) if dice.random() < 0.8 else None,
        "size": dice.randint(0, 9) if dice.random() < 0.8 else None,
        "share": dice.randint(0, 20) / 20 + 0.001 if dice.random() < 0.8 else None,
        "vector": [dice.uniform(-1, 1) for _ in range(4)] if dice.random() < 0.9 else None,
        "suggested": {
            "value": dice.choice(LABELS),
            "score": dice.randint(0, 10) / 10,
            "agent": dice.choice(AGENTS),
        }
        if dice.random() < 0.7
        else None,
        "responses": {},
    }


def record_item(record: dict[str, Any], questions: dict[str, str]) -> dict[str, Any]:
    suggested = record["suggested"]
    return {
        "external_id": record["external_id"],
        "fields": {"text": record["text"], **({"note": record["note"]} if record["note"] else {})},
        "metadata": {name: record[name] for name in ("topic", "size", "share") if record[name] is not None},
        "suggestions": [{"question_id": questions["label"], **suggested}] if suggested else [],
        "vectors": {"v": record["vector"]} if record["vector"] else {},
    }


# What a record has in a scope, by brute force: a list of values, empty if there are none.


def values(record: dict[str, Any], scope: dict[str, str], person: str | None) -> list[Any]:
    if scope["entity"] == "metadata":
        value = record[scope["metadata_property"]]
        return value if isinstance(value, list) else [] if value is None else [value]
    if scope["entity"] == "suggestion":
        return [record["suggested"][scope["property"]]] if record["suggested"] else []
    if scope["entity"] == "record":
        submitted = sum(response["status"] == "submitted" for response in record["responses"].values())
        return (
            ["completed" if submitted >= 2 else "pending"]
            if scope["property"] == "status"
            else [record["external_id"]]
        )
    responses = [r for name, r in record["responses"].items() if person in (None, name)]
    if "question" not in scope:
        return [response["status"] for response in responses] or ["pending"]
    found = [response[scope["question"]] for response in responses]
    return [value for entry in found for value in (entry if isinstance(entry, list) else [entry])]


SCOPES: list[tuple[dict[str, str], list[Any]]] = [
    ({"entity": "metadata", "metadata_property": "topic"}, ["a", "b", "c d", "none"]),
    ({"entity": "metadata", "metadata_property": "size"}, list(range(10))),
    ({"entity": "metadata", "metadata_property": "share"}, [i / 20 + 0.001 for i in range(21)]),
    ({"entity": "suggestion", "question": "label", "property": "value"}, list(LABELS)),
    ({"entity": "suggestion", "question": "label", "property": "score"}, [i / 10 for i in range(11)]),
    ({"entity": "suggestion", "question": "label", "property": "agent"}, list(AGENTS)),
    ({"entity": "response", "property": "status"}, ["pending", "submitted", "draft", "discarded"]),
    ({"entity": "response", "question": "label"}, list(LABELS)),
    ({"entity": "response", "question": "stars"}, list(RATINGS)),
    ({"entity": "response", "question": "many"}, list(LABELS)),
    ({"entity": "record", "property": "status"}, ["pending", "completed"]),
    ({"entity": "record", "property": "external_id"}, [str(i) for i in range(RECORDS)]),
]
NUMERIC = [scope for scope, known in SCOPES if isinstance(known[0], (int, float))]


def random_filter(dice: random.Random) -> dict[str, Any]:
    scope, known = dice.choice(SCOPES)
    if scope in NUMERIC and dice.random() < 0.6:
        low, high = sorted(dice.choices(known, k=2))
        bounds = dice.choice([{"ge": low}, {"le": high}, {"ge": low, "le": high}])
        return {"type": "range", "scope": scope, **bounds}
    return {
        "type": "terms",
        "scope": scope,
        "values": [str(v) for v in dice.sample(known, dice.randint(1, min(4, len(known))))],
    }


def matches(record: dict[str, Any], filter: dict[str, Any], person: str | None) -> bool:
    mine = values(record, filter["scope"], person)
    if filter["type"] == "terms":
        return bool({str(value) for value in mine} & set(filter["values"]))
    return any(filter.get("ge", -math.inf) <= value <= filter.get("le", math.inf) for value in mine)


def search(
    client_or_person: Any, shelf: Shelf, body: dict[str, Any], limit: int = 1000, offset: int = 0
) -> dict[str, Any]:
    path = f"datasets/{shelf.id}/records/search"
    parameters = {"limit": limit, "offset": offset}
    if isinstance(client_or_person, Client):
        return client_or_person.request("POST", path, json=body, params=parameters)
    found = client_or_person.http.post(f"/api/v1/me/{path}", json=body, params=parameters)
    found.raise_for_status()
    return found.json()


def ids(found: dict[str, Any]) -> list[str]:
    return [item["record"]["external_id"] for item in found["items"]]


def test_random_filters_find_what_brute_force_finds(client: Client, people: dict, shelf: Shelf) -> None:
    dice = random.Random(11)
    empty = 0
    for round in range(120):
        asker, person = dice.choice([(client, None), (people["ann"], "ann"), (people["bob"], "bob")])
        filters = [random_filter(dice) for _ in range(dice.choice([1, 1, 2, 3]))]
        wanted = {r["external_id"] for r in shelf.records if all(matches(r, f, person) for f in filters)}
        found = search(asker, shelf, {"filters": {"type": "and", "and": filters}})
        assert (set(ids(found)), found["total"]) == (wanted, len(wanted)), (round, person, filters)
        assert len(ids(found)) == len(wanted)
        empty += not wanted
    assert empty < 60  # most of them find something, so the test can fail


SORTABLE = [scope for scope, _ in SCOPES if scope not in ({"entity": "response", "property": "status"},)]


def test_random_sorts_are_those_of_brute_force(client: Client, people: dict, shelf: Shelf) -> None:
    dice = random.Random(13)
    for _ in range(40):
        asker, person = dice.choice([(client, None), (people["ann"], "ann")])
        sorts = [
            {"scope": dice.choice(SORTABLE), "order": dice.choice(["asc", "desc"])}
            for _ in range(dice.randint(1, 2))
        ]
        wanted = [r["external_id"] for r in shelf.records]
        by_id = {r["external_id"]: r for r in shelf.records}
        for sort in reversed(sorts):  # stable: the last criterion is applied first
            wanted = brute_sort(wanted, by_id, sort, person)
        assert ids(search(asker, shelf, {"sort": sorts})) == wanted, (person, sorts)


def brute_sort(
    names: list[str], records: dict[str, Any], sort: dict[str, Any], person: str | None
) -> list[str]:
    descending = sort["order"] == "desc"

    def key(name: str) -> Any:
        mine = values(records[name], sort["scope"], person)
        if not mine:
            return None
        if sort["scope"].get("question") == "stars":
            return sum(mine) / len(mine)
        return max(mine) if descending else min(mine)

    having = [name for name in names if key(name) is not None]
    ordered = stable_descending(having, key) if descending else sorted(having, key=key)
    return ordered + [name for name in names if key(name) is None]


def stable_descending(names: list[str], key: Any) -> list[str]:
    backwards = names[::-1]  # so that equal ones keep their order once the result is turned around
    return sorted(backwards, key=key)[::-1]


def test_random_texts_find_what_brute_force_finds(client: Client, shelf: Shelf) -> None:
    dice = random.Random(17)
    for _ in range(40):
        words = dice.sample([word for word in WORDS if word != "garden's"], dice.choice([1, 1, 2, 3]))
        absent = dice.choice(["poem", None, None])
        field = dice.choice([None, None, "text", "note"])
        query = " ".join(words) + (f" -{absent}" if absent else "")
        wanted = set()
        for record in shelf.records:
            names = [field] if field else ["text", "note"]
            body = " ".join(record[name] or "" for name in names).replace("'", " ").split()
            if all(word in body for word in words) and absent not in body:
                wanted.add(record["external_id"])
        text = {"q": query, **({"field": field} if field else {})}
        found = search(client, shelf, {"query": {"text": text}})
        assert (set(ids(found)), found["total"]) == (wanted, len(wanted)), (query, field)


def test_texts_and_filters_hold_together_and_pages_fit(client: Client, shelf: Shelf) -> None:
    body = {
        "query": {"text": {"q": "garden"}},
        "filters": {
            "type": "and",
            "and": [{"type": "range", "scope": {"entity": "metadata", "metadata_property": "size"}, "ge": 3}],
        },
        "sort": [{"scope": {"entity": "metadata", "metadata_property": "size"}, "order": "asc"}],
    }
    whole = ids(search(client, shelf, body))
    wanted = {
        r["external_id"]
        for r in shelf.records
        if (r["size"] or 0) >= 3 and "garden" in f"{r['text']} {r['note']}"
    }
    assert set(whole) == wanted and len(whole) > 10
    pages = [
        ids(search(client, shelf, body, limit=7, offset=offset)) for offset in range(0, len(whole) + 7, 7)
    ]
    assert [name for page in pages for name in page] == whole
    assert search(client, shelf, body, limit=7, offset=500) == {"items": [], "total": len(whole)}


def test_similar_records_are_those_of_brute_force(client: Client, shelf: Shelf) -> None:
    dice = random.Random(19)
    having = [record for record in shelf.records if record["vector"]]
    for _ in range(20):
        wanted_first = dice.choice(["most_similar", "least_similar"])
        sign = 1 if wanted_first == "most_similar" else -1
        origin = dice.choice(having)
        ranked = sorted(
            (r for r in having if r is not origin),
            key=lambda r: -sign * cosine(origin["vector"], r["vector"]),
        )
        query = {"vector": {"name": "v", "record_id": origin["id"], "order": wanted_first}}
        assert ids(search(client, shelf, {"query": query}, limit=12)) == [
            r["external_id"] for r in ranked[:12]
        ]


def cosine(left: list[float], right: list[float]) -> float:
    product = sum(a * b for a, b in zip(left, right, strict=True))
    return product / math.sqrt(sum(a * a for a in left) * sum(b * b for b in right))


def test_progress_and_metrics_are_counted(client: Client, people: dict, shelf: Shelf) -> None:
    submitted = [
        sum(r["status"] == "submitted" for r in record["responses"].values()) for record in shelf.records
    ]
    progress = client.request("GET", f"datasets/{shelf.id}/progress")
    assert (progress["total"], progress["completed"]) == (RECORDS, sum(n >= 2 for n in submitted))
    properties = {
        p["name"]: p["id"]
        for p in client.request("GET", f"me/datasets/{shelf.id}/metadata-properties")["items"]
    }
    topics = client.request("GET", f"metadata-properties/{properties['topic']}/metrics")
    wanted = {
        name: sum(name in (record["topic"] or ()) for record in shelf.records) for name in ("a", "b", "c d")
    }
    assert {entry["term"]: entry["count"] for entry in topics["values"]} == wanted
    sizes = client.request("GET", f"metadata-properties/{properties['size']}/metrics")
    assert (sizes["min"], sizes["max"]) == (0, 9)


def test_everyone_has_an_own_fixed_order_of_records(people: dict, shelf: Shelf) -> None:
    ann, bob = (ids(search(people[name], shelf, {})) for name in ("ann", "bob"))
    assert sorted(ann) == sorted(bob) and ann != bob
    assert ann == ids(search(people["ann"], shelf, {}))
