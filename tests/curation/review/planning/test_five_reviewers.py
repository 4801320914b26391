"""A round of five scripted people on a server of their own: plan, queues, gold, agreement, adjudication, contradictions, changes of the team."""

import json
from collections.abc import Iterator
from itertools import combinations, permutations
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import dataset as datasets
from curation.review import exchange, pull, push, rounds, status
from curation.review.client import ArgillaServer, Client, embedded_target
from curation.review.form.questions import title
from curation.review.planning import accounts, adjudication, reassign
from curation.review.planning.assignment import place
from curation.review.rounds import RoundRecipe
from curation.review.server import process
from curation.review.status import Status
from schemas import RISKY_PATTERNS, RecipeError, ServerError
from tests.curation.review.conftest import Person

TEAM = ("ann", "bob", "cyd", "dee", "eve")
TRACES = 48
GOLD = tuple(f"t{i}" for i in range(4))
WEAK = "weak_vacillation"
PILOT = RoundRecipe(name="pilot", traces=30, overlap=2, blind=0, gold=3, gold_from="lead", audit=1)


class Played(NamedTuple):
    """A round that everybody has finished."""

    corpus: Store
    client: Client
    people: dict[str, Person]
    dataset: datasets.Dataset
    queues: dict[str, list[str]]
    """What each person was shown, in their order."""
    answers: dict[tuple[str, str], tuple[str, ...]]
    """The patterns of each answer, by trace and person."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    pytest.importorskip(
        "argilla", reason="the review extra is not installed (pip install 'lrm-curate[review]')"
    )
    folder = tmp_path_factory.mktemp("team-server")
    process.start(folder, 0)
    accounts.add(folder, [*TEAM, "fay", "gus"])
    yield folder
    process.stop(folder)


def make(folder: Path) -> Store:
    corpus = Store.create(folder)
    corpus.append_rows("traces", [
        {
            "trace_id": f"t{i}", "prompt_id": f"p{i}", "prompt": "?", "reasoning": f"a thought of trace {i}", "answer": "No.",
            "sample_index": 0,
        }
        for i in range(TRACES)
    ])  # fmt: skip
    return corpus


def truth(trace: str) -> bool:
    return place("truth", trace) % 5 < 2


def opinion(trace: str, person: str) -> tuple[str, ...]:
    """Everybody is right four times in five, dee always."""
    wrong = person != "dee" and place(person, trace) % 5 == 0
    return (WEAK,) if truth(trace) != wrong else ("none",)


def values(patterns: tuple[str, ...], verdict: str = "keep") -> dict[str, Any]:
    marks = [{"start": 0, "end": 9, "label": name} for name in patterns if name != "none"]
    return {"patterns": list(patterns), "verdict": verdict, "reasoning_spans": marks}


@pytest.fixture(scope="module")
def played(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("team")
    corpus, client = make(folder / "corpus"), Client(embedded_target(home))
    users = client.request("GET", "users")["items"]
    people = {u["username"]: Person(client.url, u["username"], u["api_key"]) for u in users}
    lead = RoundRecipe(name="lead", where=f"trace_id in {GOLD}")
    exchange.export(corpus.root, lead, folder / "lead.jsonl")
    lines = [
        {"trace_id": t, "reviewer": "lead", "patterns": [WEAK] if truth(t) else ["none"], "verdict": "keep"}
        for t in GOLD
    ]
    (folder / "lead.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    exchange.run(corpus.root, folder / "lead.jsonl", round="lead")
    push.run(corpus.root, PILOT, client=client, reviewers=TEAM)
    dataset = datasets.find(client, "pilot")
    assert dataset is not None
    queues = {name: people[name].pending(dataset.id) for name in TEAM}
    answers = {}
    for name, queue in queues.items():
        for record in queue:
            answers[record["external_id"], name] = opinion(record["external_id"], name)
        people[name].respond_all({r["id"]: values(answers[r["external_id"], name]) for r in queue})
    pull.run(corpus.root, round="pilot", client=client)
    shown = {name: [record["external_id"] for record in queue] for name, queue in queues.items()}
    return Played(corpus, client, people, dataset, shown, answers)


@pytest.fixture(scope="module")
def report(played: Played) -> Status:
    return status.read(played.corpus.root, "pilot")


def test_everybody_is_shown_what_is_planned_for_them_in_the_order_of_the_round(played: Played) -> None:
    current = rounds.open_round(played.corpus, "pilot")
    assert current.team is not None and current.team.reviewers == TEAM
    order = [task.trace_id for task in current.tasks]
    planned = {name: [trace for trace in order if name in current.team.assigned[trace]] for name in TEAM}
    assert played.queues == planned
    assert {len(queue) for queue in planned.values()} == {15}  # 30 of overlap 2 are 12 each, and 3 gold items
    assert all(
        not person.pending(played.dataset.id) for name, person in played.people.items() if name in TEAM
    )


def test_every_pair_shares_what_was_planned(played: Played) -> None:
    gold = {task.trace_id for task in rounds.open_round(played.corpus, "pilot").tasks if task.gold}
    shared = {
        pair: len((set(played.queues[pair[0]]) & set(played.queues[pair[1]])) - gold)
        for pair in combinations(TEAM, 2)
    }
    assert set(shared.values()) == {3}


def test_agreement_is_what_an_independent_computation_of_the_answers_says(
    played: Played, report: Status
) -> None:
    units: dict[str, list[bool]] = {}
    for (trace, _), patterns in played.answers.items():
        units.setdefault(trace, []).append(WEAK in patterns)
    lead = {trace: [truth(trace)] for trace in GOLD}  # the lead's labels are people's labels too
    row = next(row for row in report.patterns if row.pattern == WEAK)
    pairs = [p for unit in units.values() for p in [list(permutations(unit, 2))]]
    percent = sum(sum(a == b for a, b in unit) / len(unit) for unit in pairs) / len(units)
    labels = [label for unit in units.values() for label in unit]
    n, true = len(labels), sum(labels)
    observed = sum(sum(a != b for a, b in permutations(u, 2)) / (len(u) - 1) for u in units.values()) / n
    expected = 2 * true * (n - true) / (n * (n - 1))
    share = sum(sum(unit) / len(unit) for unit in units.values()) / len(units)
    chance = 2 * share * (1 - share)
    assert lead and row.agreement.units == len(units) == 33
    assert row.percent == pytest.approx(percent)
    assert row.agreement.alpha == pytest.approx(1 - observed / expected)
    assert row.ac1.alpha == pytest.approx((percent - chance) / (1 - chance))
    assert row.marks == 1.0
    for pair in report.pairs:
        both = [t for t, who in played.answers if who == pair.first and (t, pair.second) in played.answers]
        same = sum(played.answers[t, pair.first] == played.answers[t, pair.second] for t in both)
        assert pair.shared == len(both)
        assert pair.agree == pytest.approx((4 * len(both) + same) / (5 * len(both)))


def test_gold_items_measure_each_person(played: Played, report: Status) -> None:
    gold = [task.trace_id for task in rounds.open_round(played.corpus, "pilot").tasks if task.gold]
    assert len(gold) == 3 and set(gold) <= set(GOLD)
    for person in report.reviewers:
        right = sum(played.answers[trace, person.reviewer] == opinion(trace, "dee") for trace in gold)
        assert person.gold.traces == 3 and person.gold.whole == pytest.approx(right / 3)
        assert person.pending == 0
    assert next(person for person in report.reviewers if person.reviewer == "dee").gold.labels == 1.0


def test_disputes_go_to_an_adjudicator_who_sees_all_and_whose_word_outranks_votes(played: Played) -> None:
    corpus, client = played.corpus, played.client
    told = {(t, who): patterns for (t, who), patterns in played.answers.items()}
    told |= {(t, "lead"): (WEAK,) if truth(t) else ("none",) for t in GOLD}
    said: dict[str, set[tuple[str, ...]]] = {}
    for (trace, _), patterns in told.items():
        said.setdefault(trace, set()).add(patterns)
    in_round = {task.trace_id for task in rounds.open_round(corpus, "pilot").tasks}
    disputed = {trace for trace, labels in said.items() if len(labels) > 1 and trace in in_round}
    assert len(disputed) > 3
    assert {d.trace_id for d in status.read(corpus.root, "pilot").disputes} == disputed
    sent = adjudication.run(corpus.root, round="pilot", adjudicator="fay", client=client)
    assert (sent.summary["created"], sent.summary["reviewers"]) == (len(disputed), ["fay"])
    dataset = datasets.find(client, "pilot-adjudication")
    assert dataset is not None
    waiting = played.people["fay"].pending(dataset.id)
    assert {record["external_id"] for record in waiting} == disputed
    for record in waiting:
        opinions = record["fields"]["opinions"]
        reviewers = [who for t, who in told if t == record["external_id"]]
        assert all(f"{who}: " in opinions for who in reviewers) and "verdict: keep" in opinions
        patterns = (WEAK,) if truth(record["external_id"]) else ("none",)
        played.people["fay"].respond(record["id"], values(patterns, "repair"))
    assert not played.people["ann"].http.get(f"/api/v1/datasets/{dataset.id}").is_success
    pull.run(corpus.root, round="pilot-adjudication", client=client)
    rows = connect(corpus).execute("select trace_id, weak_vacillation, verdict, provenance from candidates join verdicts using (trace_id) where pattern = 'weak_vacillation'").fetchall()  # fmt: skip
    decided = {trace: (label, verdict, by) for trace, label, verdict, by in rows if trace in disputed}
    assert decided == {trace: (truth(trace), "repair", "adjudicator:fay") for trace in disputed}
    state = status.read(corpus.root, "pilot")
    assert all(dispute.decided for dispute in state.disputes)
    again = adjudication.run(corpus.root, round="pilot", adjudicator="fay", client=client)
    assert again.summary["created"] == 0


def test_no_later_push_lets_anybody_else_in(played: Played, home: Path) -> None:
    pushed = push.run(played.corpus.root, RoundRecipe(name="pilot"), client=played.client)
    assert pushed.summary["reviewers"] == list(TEAM) and pushed.summary["created"] == 0
    assert datasets.members(played.client, played.dataset) == list(TEAM)
    with pytest.raises(RecipeError, match="is reviewed by ann, bob, cyd, dee, eve; leave --reviewers out"):
        push.run(played.corpus.root, RoundRecipe(name="pilot"), client=played.client, reviewers=["gus"])
    assert datasets.members(played.client, played.dataset) == list(TEAM)


def test_a_round_of_another_corpus_is_an_error_and_touches_nothing(played: Played, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    before = datasets.stored(played.client, played.dataset)
    with pytest.raises(ServerError, match='the round "pilot" there belongs to another corpus'):
        push.run(other.root, RoundRecipe(name="pilot", traces=12), client=played.client, reviewers=["gus"])
    with pytest.raises(ServerError, match="belongs to another corpus"):
        pull.run(other.root, round="pilot", client=played.client)
    assert datasets.stored(played.client, played.dataset) == before


def test_a_renamed_dataset_is_still_the_rounds(played: Played) -> None:
    path = f"datasets/{played.dataset.id}"
    played.client.request("PATCH", path, json={"name": "renamed"})
    try:
        pulled = pull.run(played.corpus.root, round="pilot", client=played.client)
        pushed = push.run(played.corpus.root, RoundRecipe(name="pilot"), client=played.client)
    finally:
        played.client.request("PATCH", path, json={"name": "pilot"})
    assert pulled.summary["new_reviews"] == 0 and pulled.counts.rows == len(played.answers)
    assert pushed.summary["created"] == 0


def test_reviews_that_contradict_themselves_are_named_and_sent_back(played: Played, tmp_path: Path) -> None:
    corpus = make(tmp_path / "corpus")
    recipe = RoundRecipe(name="contradicting", traces=2, overlap=1)
    push.run(corpus.root, recipe, client=played.client, reviewers=["gus"])
    dataset = datasets.find(played.client, recipe.name)
    assert dataset is not None
    gus = played.people["gus"]
    first, second = gus.pending(dataset.id)
    gus.respond(first["id"], {"patterns": ["none", WEAK], "verdict": "keep"})
    gus.respond(second["id"], values((WEAK,)))
    told = pull.run(corpus.root, round=recipe.name, client=played.client)
    assert told.summary["contradictions"] == [
        {
            "trace_id": first["external_id"], "reviewer": "gus",
            "what": ('"none of these" beside Weak vacillation', "Weak vacillation is ticked and not marked"),
        }
    ]  # fmt: skip
    back = pull.run(corpus.root, round=recipe.name, client=played.client, send_back=True)
    assert back.summary["sent_back"] == 1 and back.counts.filtered == {"draft": 1}
    responses = {
        record["external_id"]: record["responses"][0]["status"]
        for record in datasets.responses(played.client, dataset)
    }
    assert responses == {first["external_id"]: "draft", second["external_id"]: "submitted"}
    query = "select trace_id from current_annotations where name = 'human:gus' and label is not null"
    assert {t for (t,) in connect(corpus).execute(query).fetchall()} == {second["external_id"]}


def test_a_change_of_the_team_plans_anew_what_is_open_and_keeps_what_is_answered(
    played: Played, tmp_path: Path
) -> None:
    corpus = make(tmp_path / "corpus")
    recipe = RoundRecipe(name="changing", traces=12, overlap=2)
    push.run(corpus.root, recipe, client=played.client, reviewers=["ann", "bob", "cyd"])
    dataset = datasets.find(played.client, recipe.name)
    assert dataset is not None
    mine = played.people["ann"].pending(dataset.id)
    played.people["ann"].respond(mine[0]["id"], values(("none",)))
    live = status.read(corpus.root, recipe.name, played.client)
    assert {p.reviewer: (p.submitted, p.pending) for p in live.reviewers} == {
        "ann": (1, 7), "bob": (0, 8), "cyd": (0, 8),
    }  # fmt: skip
    reassign.run(corpus.root, round=recipe.name, reviewers=["bob", "cyd", "gus"], client=played.client)
    assert datasets.members(played.client, dataset) == ["bob", "cyd", "gus"]
    team = rounds.open_round(corpus, recipe.name).team
    assert team is not None and team.reviewers == ("bob", "cyd", "gus")
    assert [t for t, people in team.assigned.items() if "ann" in people] == [mine[0]["external_id"]]
    assert {len(people) for people in team.assigned.values()} == {2}
    assert len(played.people["gus"].pending(dataset.id)) == sum("gus" in p for p in team.assigned.values())


def test_lost_passwords_are_made_anew_and_accounts_removed(played: Played, home: Path) -> None:
    from curation.review.server import credentials

    accounts.add(home, ["hal"])
    before = {account.username: account.password for account in credentials.load(home).reviewers}
    accounts.reset(home, ["hal"])
    after = {account.username: account.password for account in credentials.load(home).reviewers}
    assert after["hal"] != before.pop("hal") and before.items() <= after.items()
    signed_in = {
        password: played.people["ann"]
        .http.post("/api/v1/token", data={"username": "hal", "password": password})
        .is_success
        for password in (after["hal"], "not this one")
    }
    assert signed_in == {after["hal"]: True, "not this one": False}
    accounts.remove(home, ["hal"])
    assert "hal" not in {person.name for person in accounts.people(home)}
    with pytest.raises(ServerError, match="no reviewer hal; there are: ann"):
        accounts.reset(home, ["hal"])


def test_a_reviewers_key_cannot_send_rounds(played: Played) -> None:
    key = played.people["ann"].http.headers["X-Argilla-Api-Key"]
    with pytest.raises(ServerError, match="this is the API key of ann, who is a reviewer"):
        Client(ArgillaServer(played.client.url, key))


def test_the_page_loads_no_font_from_the_network(played: Played, home: Path) -> None:
    styles = [path.read_text(encoding="utf-8") for path in (home / "run").rglob("*.css")]
    assert styles and not any("fonts.googleapis" in style or "fonts.gstatic" in style for style in styles)


def test_the_verdict_follows_the_patterns_and_marks_are_limited_to_what_a_field_is_judged_on(
    played: Played,
) -> None:
    path = f"datasets/{played.dataset.id}"
    asked = played.client.request("GET", f"{path}/questions")["items"]
    assert [q["name"] for q in asked] == ["patterns", "verdict", "reasoning_spans", "answer_spans", "comment"]
    told = {q["name"]: q["description"] or "" for q in asked}
    assert "\nInconsistency: Reasoning and answer contradict each other" in told["answer_spans"]
    assert all(f"\n{title(name)}: " in told["patterns"] for name in RISKY_PATTERNS)
    labels = {q["name"]: {o["value"] for o in q["settings"].get("options", [])} for q in asked}
    assert labels["answer_spans"] == {"inconsistency"} and labels["reasoning_spans"] == set(RISKY_PATTERNS)
    fields = [field["name"] for field in played.client.request("GET", f"{path}/fields")["items"]]
    assert fields == ["prompt", "answer", "reasoning"]
