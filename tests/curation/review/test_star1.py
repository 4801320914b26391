"""Real traces of STAR-1: half of its 840 pushed, reviewed by three people with overlap two, pulled; agreement checked apart."""

import random
from itertools import combinations
from pathlib import Path

import pytest

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.ingest import stage as ingest
from curation.ingest.stage import IngestRecipe
from curation.review import dataset as datasets
from curation.review import gate, pull, push, status
from curation.review.rounds import RoundRecipe
from schemas import RISKY_PATTERNS
from tests.curation.review.conftest import added, changes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TRACES = 420
"""Five batches to push, and enough that chance alone makes no agreement."""
ROUND = RoundRecipe(name="star1", traces=TRACES, overlap=2, audit=1)
TEAM = ("ann", "bob", "cyd")
"""Other tests add people to the server that they share."""


@pytest.fixture(scope="module")
def star1(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("star1") / "corpus"
    ingest.run(folder, [str(shared_data / "star1.json")], IngestRecipe(kind="harmful"))
    return Store(folder)


@pytest.fixture(scope="module")
def reviewed(star1: Store, client, people) -> Store:
    """Three people take turns at the head of their own queues until everything was answered twice (the server's search lags at times)."""
    people = {name: people[name] for name in TEAM}
    assert push.run(star1.root, ROUND, client=client, reviewers=TEAM).summary["created"] == TRACES
    dataset = datasets.find(client, ROUND.name)
    truths = random.Random(5)
    labels = {trace_id: truths.random() < 0.4 for trace_id in sorted(star1.keys("traces"))}
    dice = random.Random(6)
    given: set[tuple[str, str]] = set()
    while len(given) < 2 * TRACES:
        for name, person in people.items():
            answers = {}
            for record in person.pending(dataset.id, 40):
                if (name, record["id"]) in given:  # the search still lists what was answered
                    continue
                seen = labels[record["external_id"]] ^ (dice.random() < 0.1)
                others = [pattern for pattern in RISKY_PATTERNS[1:] if dice.random() < 0.3]
                patterns = [*([RISKY_PATTERNS[0]] if seen else []), *others] or ["none"]
                answers[record["id"]] = {"patterns": patterns, "verdict": dice.choice(["keep", "drop"])}
            if answers:
                given |= {(name, record_id) for record_id in answers}
                person.respond_all(answers)
    pull.run(star1.root, round=ROUND.name, client=client)
    return star1


def pairs(corpus: Store, pattern: str) -> list[tuple[bool, bool]]:
    query = "select trace_id, label from annotations where annotator like 'human:%' and pattern = $pattern"
    given: dict[str, list[bool]] = {}
    for trace_id, label in connect(corpus).execute(query, {"pattern": pattern}).fetchall():
        given.setdefault(trace_id, []).append(label)
    assert {len(labels) for labels in given.values()} == {2}
    return [(a, b) for a, b in given.values()]


def alpha_for_two(labels: list[tuple[bool, bool]]) -> float:
    """Nominal alpha for two people and no gaps, from the coincidence matrix: another way than the product's."""
    differing = sum(a != b for a, b in labels)
    ones = sum(a + b for a, b in labels)
    values = 2 * len(labels)
    return 1 - (values - 1) * differing / (ones * (values - ones))


def test_every_trace_has_two_reviews_by_different_people(reviewed: Store) -> None:
    found = status.read(reviewed.root, ROUND.name)
    assert (found.traces, found.complete) == (TRACES, TRACES)
    assert sum(person.submitted for person in found.reviewers) == 2 * TRACES
    assert [person.pending for person in found.reviewers] == [0, 0, 0]
    rows = (
        connect(reviewed).execute("select trace_id, list(reviewer) from reviews group by trace_id").fetchall()
    )
    assert all(len(set(people)) == 2 for _, people in rows)
    shared = {frozenset(people) for _, people in rows}
    assert shared == {frozenset(pair) for pair in combinations(TEAM, 2)}


def test_agreement_equals_an_independent_computation(reviewed: Store) -> None:
    found = {row.pattern: row.agreement for row in status.read(reviewed.root, ROUND.name).patterns}
    for pattern in RISKY_PATTERNS:
        assert found[pattern].alpha == pytest.approx(alpha_for_two(pairs(reviewed, pattern)), abs=1e-12)
        assert (
            found[pattern].units == TRACES and found[pattern].low < found[pattern].alpha < found[pattern].high
        )
    assert found[RISKY_PATTERNS[0]].alpha > 0.5 and abs(found[RISKY_PATTERNS[1]].alpha) < 0.15


def test_the_gate_tells_the_patterns_on_which_people_only_guess(reviewed: Store) -> None:
    faults = gate.check(connect(reviewed), gate.AgreementWish(alpha_min=0.5))
    assert [fault.split(":")[0] for fault in faults] == list(RISKY_PATTERNS[1:])


def test_pushing_and_pulling_twice_changes_nothing(reviewed: Store, client) -> None:
    before = contents(reviewed)
    dataset = datasets.find(client, ROUND.name)
    on_server = list(datasets.responses(client, dataset))
    again = push.run(reviewed.root, ROUND, client=client)
    assert changes(again) == (0, 0, TRACES)
    assert added(pull.run(reviewed.root, round=ROUND.name, client=client)) == (0, 0)
    assert list(datasets.responses(client, dataset)) == on_server
    assert contents(reviewed) == before


def contents(corpus: Store) -> dict[Path, bytes]:
    """Every file but the manifests, which say what the last run did: nothing."""
    files = (path for path in corpus.root.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.parent.name != "manifests"}


def test_reviews_outrank_machines_in_the_consensus(reviewed: Store) -> None:
    agreed = connect(reviewed).execute(
        "select count(*), count(label) from verdicts where pattern = $pattern", {"pattern": RISKY_PATTERNS[0]}
    )
    both = [a for a, b in pairs(reviewed, RISKY_PATTERNS[0]) if a == b]
    assert agreed.fetchone() == (TRACES, len(both))
