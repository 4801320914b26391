"""Facets: the counts are those of SQL over `candidates`, alone and together, and follow what is said."""

import pytest

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.view.workplace import Workplace


def count(corpus: Store, where: str) -> int:
    query = f"select count(*) as n from candidates where {where}"
    return int(select(connect(corpus), query)["n"][0].as_py())


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({}, "true"),
        ({"strategy": ["improved"]}, "strategy = 'improved'"),
        ({"strategy": ["improved", "default"], "kind": ["math"]}, "kind = 'math'"),
        ({"category": [""]}, "category is null"),
        ({"category": ["", "theft"]}, "category is null or category = 'theft'"),
        ({"pattern": ["weak_vacillation"]}, "weak_vacillation"),
        ({"pattern": [""], "kind": ["harmful"]}, "not weak_vacillation and kind = 'harmful'"),
        ({"annotator": ["rules"]}, '"rules".weak_vacillation'),
        ({"disputed": ["weak_vacillation"]}, "false"),
        ({"strategy": ["nothing of the kind"]}, "false"),
        ({"unknown": ["facet"]}, "true"),
        ({"q": ["privacy"], "strategy": ["default"]}, "contains(prompt, 'privacy') and strategy = 'default'"),
    ],
)
def test_a_selection_is_what_sql_selects(place: Workplace, filled: Store, query: dict, where: str) -> None:
    assert place.select(query).total == count(filled, where)


def test_counts_ignore_what_is_chosen_in_the_facet_itself(place: Workplace) -> None:
    counts = place.select({"strategy": ["improved"]}).counts
    assert dict(counts["strategy"]) == {"default": 50, "improved": 30}
    assert dict(counts["kind"]) == {"harmful": 30}


def test_people_who_disagree_are_seen(filled: Store) -> None:
    place = Workplace(filled.root, reviewer="ann")
    trace_id = place.select({"pattern": ["weak_vacillation"]}).lines[0].trace.trace_id
    place.save(trace_id, {"pattern": ["none"], "verdict": ["keep"]})
    fresh = Workplace(filled.root, reviewer="bob")
    for seen in (place, fresh):
        assert seen.select({"pattern": ["weak_vacillation"]}).total == 9
        assert seen.select({"disputed": ["weak_vacillation"]}).total == 1
        assert [line.trace.trace_id for line in seen.select({"verdict": ["keep"]}).lines] == [trace_id]
    assert not place.stale() and not fresh.stale()


def test_the_list_says_when_others_have_added_something(place: Workplace, filled: Store) -> None:
    row = {
        "trace_id": "new",
        "prompt_id": "p",
        "prompt": "x",
        "reasoning": "",
        "answer": "",
        "sample_index": 0,
    }
    filled.append_rows("traces", [row])
    assert place.stale() and place.size == 80
    assert place.trace("new").row["prompt"] == "x"


def test_mixes_are_a_facet_of_their_own(build, filled: Store, tmp_path) -> None:
    build("name: x\nparts:\n  a: {where: \"kind = 'math'\", take: 5}\n")
    place = Workplace(filled.root, [tmp_path / "mix"], reviewer="ann")
    selected = place.select({"mix": ["mix"]})
    assert selected.total == 5 and dict(selected.counts["kind"]) == {"math": 5}
    taken = place.taken_by(selected.lines[0].trace.trace_id)
    assert [(row["mix"], row["part"]) for row in taken] == [("mix", "a")]


def test_the_neighbours_are_those_of_the_selection(place: Workplace) -> None:
    query = {"pattern": ["weak_vacillation"]}
    ids = [line.trace.trace_id for line in place.select(query).lines]
    first, second, last = (place.around(query, trace_id) for trace_id in (ids[0], ids[1], ids[-1]))
    assert (first.earlier, first.following, first.position, first.total) == (None, ids[1], 1, 10)
    assert (second.earlier, second.following) == (ids[0], ids[2])
    assert (last.earlier, last.following, last.position) == (ids[-2], None, 10)
    outside = place.select({"pattern": [""]}).lines[0].trace.trace_id
    assert place.around(query, outside).position == 0
