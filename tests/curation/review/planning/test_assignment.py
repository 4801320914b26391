"""Plans are balanced over people and over pairs, and so is every beginning of them."""

import json
import sys
from collections import Counter
from itertools import combinations
from math import sqrt
from pathlib import Path

import pytest

import curation.review.server.process as process
from curation.review.planning.assignment import plan

TRACES = [f"t{i}" for i in range(372)]
PEOPLE = ("ann", "bob", "cyd", "dee", "eve")


def queue(assigned: dict[str, tuple[str, ...]], person: str) -> list[str]:
    return [trace for trace, people in assigned.items() if person in people]


@pytest.mark.parametrize("size", range(2, 11))
@pytest.mark.parametrize("overlap", [1, 2, 3])
def test_people_and_pairs_get_the_same_number_of_traces(size: int, overlap: int) -> None:
    people = [f"r{i}" for i in range(size)]
    assigned = plan(TRACES, people, overlap, 42)
    assert {len(team) for team in assigned.values()} == {min(size, overlap)}
    loads = Counter(name for team in assigned.values() for name in team)
    met = Counter(pair for team in assigned.values() for pair in combinations(team, 2))
    pairs = [met[pair] for pair in combinations(people, 2)]
    assert max(loads.values()) - min(loads.values()) <= 2
    assert max(pairs) - min(pairs) <= 2


@pytest.mark.parametrize("people", [PEOPLE, PEOPLE[:4]])
@pytest.mark.parametrize("n", [50, 100, 186])
def test_after_n_traces_each_every_pair_shares_what_was_planned(people: tuple[str, ...], n: int) -> None:
    assigned = plan(TRACES, people, 2, 42)
    for one, other in combinations(people, 2):
        first, second = queue(assigned, one), queue(assigned, other)
        done = min(n, len(first))
        shared = set(first[:n]) & set(second[:n])
        assert abs(len(shared) - done / (len(people) - 1)) <= 2, (one, other, len(shared))


def test_a_plan_depends_on_its_seed_alone() -> None:
    assert plan(TRACES, PEOPLE, 2, 1) == plan(TRACES, tuple(reversed(PEOPLE)), 2, 1)
    assert plan(TRACES, PEOPLE, 2, 1) != plan(TRACES, PEOPLE, 2, 2)


def test_who_has_a_trace_keeps_it_and_who_must_not_have_it_gets_it_never() -> None:
    fixed = {"t0": ("zed",), "t1": ("ann", "bob", "cyd")}
    barred = dict.fromkeys(TRACES[:100], ("eve",))
    assigned = plan(TRACES, PEOPLE, 2, 42, fixed=fixed, barred=barred)
    assert "zed" in assigned["t0"] and len(assigned["t0"]) == 2
    assert assigned["t1"] == ("ann", "bob", "cyd")
    assert not any("eve" in assigned[trace] for trace in TRACES[:100])
    loads = Counter(name for team in assigned.values() for name in team)
    assert max(loads[name] for name in PEOPLE) - min(loads[name] for name in PEOPLE) <= 3


def test_everybody_gets_the_traces_that_are_for_everybody() -> None:
    assigned = plan(TRACES, PEOPLE, 2, 42, everybody=TRACES[::37], barred={"t37": ("bob",)})
    assert assigned["t0"] == PEOPLE and assigned["t37"] == ("ann", "cyd", "dee", "eve")
    assert len(assigned["t1"]) == 2


@pytest.mark.parametrize("n", [50, 100, 186])
def test_without_a_plan_the_orders_of_two_people_share_no_more_than_chance(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(process.INSIDE), *sys.path])
    from embedded.search import text

    orders = {name: sorted(TRACES, key=lambda id: text.shuffle(id, name)) for name in PEOPLE}
    total = len(TRACES)
    expected = n * n / total
    spread = sqrt(n * (n / total) * (1 - n / total) * (total - n) / (total - 1))
    for one, other in combinations(PEOPLE, 2):
        shared = len(set(orders[one][:n]) & set(orders[other][:n]))
        assert abs(shared - expected) < 4 * spread, (one, other, shared)


def test_the_review_server_writes_names_as_the_plan_does() -> None:
    source = (Path(process.INSIDE) / "embedded" / "search" / "queues.py").read_text(encoding="utf-8")
    from curation.review import records

    assert f"POSITION, ASSIGNED = {json.dumps(records.POSITION)}, {json.dumps(records.ASSIGNED)}" in source
