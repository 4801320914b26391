"""Push, review, pull against the real server: nothing is lost, nothing happens twice, every offset cuts its words."""

from collections.abc import Callable

import pytest

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import dataset as datasets
from curation.review import pull, push, rounds
from curation.review.client import Client
from curation.review.rounds import RoundRecipe
from curation.review.spans import to_page
from schemas import ServerError
from tests.curation.review.conftest import added, changes

WEAK, INCONSISTENT = "weak_vacillation", "inconsistency"


@pytest.fixture
def nasty(corpus_of, nasty_texts) -> Store:
    texts = [
        {"reasoning": text, "answer": f"{name}: {text}", "prompt": text or "?"}
        for name, text in nasty_texts.items()
    ]
    spans = [
        {"field": "reasoning", "start": len(text) // 3, "end": len(text) // 3 + 5}
        for text in nasty_texts.values()
    ]
    annotations = [
        {
            "trace_id": f"t{i}",
            "pattern": WEAK,
            "annotator": "rules@1",
            "label": True,
            "score": 0.8,
            "spans": [span],
        }
        for i, span in enumerate(spans)
        if list(nasty_texts.values())[i]
    ]
    return corpus_of(texts, annotations)


@pytest.fixture
def shown(client: Client, request: pytest.FixtureRequest) -> Callable[..., datasets.Dataset]:
    """Push a corpus as a round named after the test; gives its dataset."""

    def _shown(corpus: Store, **settings: object) -> datasets.Dataset:
        push.run(corpus.root, recipe(request, **settings), client=client)
        dataset = datasets.find(client, round_name(request))
        assert dataset is not None
        return dataset

    return _shown


def round_name(request: pytest.FixtureRequest) -> str:
    return request.node.name[:60].replace("[", "-").replace("]", "")


def recipe(request: pytest.FixtureRequest, **settings: object) -> RoundRecipe:
    return RoundRecipe(name=round_name(request), **settings)


def stored(
    client: Client, dataset: datasets.Dataset, include: str = "responses,suggestions"
) -> dict[str, dict]:
    return {
        item["external_id"]: item
        for item in client.pages(f"datasets/{dataset.id}/records", 500, include=include)
    }


def values(patterns: tuple[str, ...] = ("none",), **more: object) -> dict:
    return {"patterns": list(patterns), "verdict": "keep", **more}


def said(corpus: Store, annotator: str = "human:ann") -> dict[tuple[str, str], bool | None]:
    query = "select trace_id, pattern, label from current_annotations where name = $name"
    return {(t, p): label for t, p, label in connect(corpus).execute(query, {"name": annotator}).fetchall()}


def test_nasty_texts_come_back_with_offsets_that_cut_the_same_words(
    nasty, nasty_texts, shown, client, people, request
) -> None:
    dataset = shown(nasty, blind=0)
    texts = dict(zip((f"t{i}" for i in range(len(nasty_texts))), nasty_texts.values(), strict=True))
    marked: dict[str, list[tuple[int, int]]] = {}
    for trace_id, record in stored(client, dataset).items():
        text = texts[trace_id]
        edges = [0, len(text) // 4, len(text) // 2, len(text)]
        marked[trace_id] = [
            (a, b)
            for a in edges
            for b in edges
            if a < b and "\r\n" not in (text[a - 1 : a + 1], text[b - 1 : b + 1])
        ]
        marks = [
            {"start": to_page(text, a), "end": to_page(text, b), "label": WEAK} for a, b in marked[trace_id]
        ]
        people["ann"].respond(record["id"], values((WEAK,), reasoning_spans=marks))
    pull.run(nasty.root, round=round_name(request), client=client)
    rows = (
        connect(nasty)
        .execute("select trace_id, spans from annotations where annotator = 'human:ann' and label")
        .fetchall()
    )
    found = {trace_id: [(span["start"], span["end"]) for span in spans] for trace_id, spans in rows}
    assert found == {trace_id: sorted(pairs) for trace_id, pairs in marked.items()}


def test_what_the_server_stores_is_escaped_text(nasty, shown, client) -> None:
    records = stored(client, shown(nasty, blind=0))
    assert records["t1"]["fields"]["reasoning"].startswith("&lt;think&gt;Let me see.&lt;/think&gt;")
    assert not any("<" in text for record in records.values() for text in record["fields"].values())
    assert "\r" not in records["t4"]["fields"]["reasoning"]


def test_pushing_again_changes_nothing(samples, shown, client, people_of, request) -> None:
    dataset = shown(samples, traces=30)
    before = stored(client, dataset)
    again = push.run(samples.root, recipe(request), client=client)
    assert changes(again) == (0, 0, 30)
    assert stored(client, dataset) == before
    assert again.summary["reviewers"] == sorted(people_of(client))  # other tests add people to the server
    assert {"ann", "bob", "cyd"} <= people_of(client).keys()


def test_pushing_again_renews_suggestions_and_keeps_answers(
    corpus_of, shown, client, people, request
) -> None:
    corpus = corpus_of([{"reasoning": "one two"}, {"reasoning": "three"}], [
        {"trace_id": "t0", "pattern": WEAK, "annotator": "rules@1", "label": True, "score": 0.9}
    ])  # fmt: skip
    dataset = shown(corpus, blind=0)
    record = stored(client, dataset)["t0"]
    people["ann"].respond(record["id"], values((WEAK,), comment="the persona"))
    corpus.append_rows("annotations", [
        {"trace_id": "t0", "pattern": WEAK, "annotator": "rules@2", "label": False, "score": 0.2},
        {"trace_id": "t1", "pattern": WEAK, "annotator": "rules@2", "label": True, "score": 0.7},
    ])  # fmt: skip
    again = push.run(corpus.root, recipe(request), client=client)
    assert changes(again) == (0, 2, 0)
    after = stored(client, dataset)
    assert suggested(dataset, after["t0"]) == ["none"] and suggested(dataset, after["t1"]) == [WEAK]
    assert after["t0"]["responses"][0]["values"]["comment"]["value"] == "the persona"
    assert after["t0"]["metadata"]["reason"] == record["metadata"]["reason"]


def test_a_suggestion_that_is_no_longer_made_is_taken_back(corpus_of, shown, client, request) -> None:
    row = {"trace_id": "t0", "pattern": WEAK, "label": True, "score": 0.9}
    corpus = corpus_of([{"reasoning": "one"}], [row | {"annotator": "rules@1"}])
    dataset = shown(corpus, blind=0)
    corpus.append_rows("annotations", [row | {"annotator": "rules@2", "label": None}])
    push.run(corpus.root, recipe(request), client=client)
    assert stored(client, dataset)["t0"]["suggestions"] == []


def suggested(dataset: datasets.Dataset, record: dict) -> list[str] | None:
    found = (s["value"] for s in record["suggestions"] if s["question_id"] == dataset.questions["patterns"])
    return next(found, None)


def test_blind_records_have_no_suggestion_on_the_server(samples, shown, client, request) -> None:
    dataset = shown(samples, traces=60, blind=0.5, where="risky is not null")
    blind = {task.trace_id for task in rounds.open_round(samples, round_name(request)).tasks if task.blind}
    records = stored(client, dataset)
    assert 15 < len(blind) < 45
    assert {trace_id for trace_id, record in records.items() if not record["suggestions"]} == blind


def test_drafts_and_discarded_reviews_are_kept_apart(samples, shown, client, people, request) -> None:
    records = stored(client, shown(samples, traces=4))
    one, two, three, _ = records
    people["ann"].respond(records[one]["id"], values((WEAK,)))
    people["ann"].respond(records[two]["id"], values((WEAK,)), "draft")
    people["ann"].respond(records[three]["id"], None, "discarded")
    pulled = pull.run(samples.root, round=round_name(request), client=client)
    assert (pulled.counts.kept, pulled.counts.filtered) == (1, {"draft": 1, "discarded": 1})
    assert pulled.counts.balance == 0
    assert {trace for trace, _ in said(samples)} == {one}
    statuses = connect(samples).execute("select trace_id, status from reviews").fetchall()
    assert dict(statuses) == {one: "submitted", two: "draft", three: "discarded"}


def test_pulling_again_changes_nothing_and_an_edit_makes_a_version(
    samples, shown, client, people, request
) -> None:
    records = stored(client, shown(samples, traces=3))
    trace_id = next(iter(records))
    response = people["ann"].respond(records[trace_id]["id"], values((WEAK,)))
    first = pull.run(samples.root, round=round_name(request), client=client)
    assert added(first) == (1, 5)
    files = sorted(path.name for path in samples.root.rglob("part-*"))
    again = pull.run(samples.root, round=round_name(request), client=client)
    assert added(again) == (0, 0)
    assert sorted(path.name for path in samples.root.rglob("part-*")) == files
    people["ann"].edit(response, values((INCONSISTENT,)))
    edited = pull.run(samples.root, round=round_name(request), client=client)
    assert added(edited) == (1, 5)
    assert said(samples)[trace_id, WEAK] is False and said(samples)[trace_id, INCONSISTENT] is True
    people["ann"].edit(response, None, "discarded")
    pull.run(samples.root, round=round_name(request), client=client)
    assert said(samples)[trace_id, INCONSISTENT] is None
    versions = (
        connect(samples)
        .execute("select distinct annotator from annotations where annotator like 'human:%'")
        .fetchall()
    )
    assert sorted(versions) == [("human:ann",), ("human:ann@2",), ("human:ann@3",)]


def test_a_pull_that_was_killed_between_its_tables_is_put_right(
    samples, shown, client, people, request
) -> None:
    records = stored(client, shown(samples, traces=3))
    trace_id = next(iter(records))
    before = set(samples.parts("annotations"))
    people["ann"].respond(records[trace_id]["id"], values((WEAK,)))
    pull.run(samples.root, round=round_name(request), client=client)
    for part in set(samples.parts("annotations")) - before:
        part.unlink()
    assert added(pull.run(samples.root, round=round_name(request), client=client)) == (0, 5)
    assert said(samples)[trace_id, WEAK] is True


def test_a_half_made_dataset_is_made_again(corpus_of, client, request) -> None:
    """As if the push had been killed between creating the dataset and publishing it."""
    corpus = corpus_of([{"reasoning": "one"}])
    name = round_name(request)
    workspace = client.request("POST", "workspaces", json={"name": name})
    client.request("POST", "datasets", json={"name": name, "workspace_id": workspace["id"]})
    assert push.run(corpus.root, recipe(request), client=client).summary["created"] == 1


def test_somebody_elses_dataset_of_the_same_name_is_left_alone(corpus_of, client, request) -> None:
    import argilla as rg

    name = round_name(request)
    workspace = rg.Workspace(name=name, client=client.sdk).create()
    settings = rg.Settings(fields=[rg.TextField(name="x")], questions=[rg.TextQuestion(name="y")])
    rg.Dataset(name=name, workspace=workspace, settings=settings, client=client.sdk).create()
    with pytest.raises(ServerError, match="is there and is no review round"):
        push.run(corpus_of([{"reasoning": "one"}]).root, recipe(request), client=client)


def test_a_reviewer_without_an_account_is_named(corpus_of, client, request) -> None:
    with pytest.raises(ServerError, match="no account for zed"):
        push.run(
            corpus_of([{"reasoning": "one"}]).root, recipe(request), client=client, reviewers=["ann", "zed"]
        )


def test_only_named_reviewers_are_let_in(corpus_of, client, request) -> None:
    corpus = corpus_of([{"reasoning": "one"}])
    pushed = push.run(corpus.root, recipe(request), client=client, reviewers=["bob"])
    assert pushed.summary["reviewers"] == ["bob"]


def test_pulling_a_round_that_is_not_on_the_server_says_what_to_do(corpus_of, client, request) -> None:
    corpus = corpus_of([{"reasoning": "one"}])
    rounds.open_or_create(corpus, recipe(request))
    with pytest.raises(ServerError, match="curate review push --round"):
        pull.run(corpus.root, round=round_name(request), client=client)


def test_a_wrong_key_and_a_wrong_address_are_explained(client) -> None:
    from curation.review.client import ArgillaServer

    with pytest.raises(ServerError, match="check --url and --api-key"):
        Client(ArgillaServer(client.url, "wrong.key"))
    with pytest.raises(ServerError, match="does not answer"):
        Client(ArgillaServer("http://127.0.0.1:9", "any.key"))
