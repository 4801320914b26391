"""How many traces of each stratum a mix takes: allotments, ratios, repeats."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from curation.mix import quotas
from curation.mix.recipe import Part
from tests.curation.mix.builds import fault

Sizes = dict[tuple[str | None, ...], int]
SIZES = st.dictionaries(
    st.tuples(st.text(max_size=2) | st.none()), st.integers(1, 50), min_size=1, max_size=9
)


@given(SIZES, st.integers(1, 300), st.integers(1, 3))
def test_an_allotment_takes_what_is_asked_and_never_more_than_there_is(
    sizes: Sizes, take: int, repeat: int
) -> None:
    found = quotas.allot(sizes, Part(where="true", take=take, stratify_by=("x",), repeat=repeat)).quotas
    assert sum(found.values()) == min(take, repeat * sum(sizes.values()))
    assert all(0 <= found[cell] <= repeat * size for cell, size in sizes.items())


@given(SIZES, st.integers(1, 100), st.integers(1, 9), st.integers(9, 30))
def test_bounds_hold_for_every_stratum(sizes: Sizes, take: int, low: int, high: int) -> None:
    part = Part(where="true", take=take, stratify_by=("x",), at_least=low, at_most=high)
    allotment = quotas.allot(sizes, part)
    if allotment.shortages:
        assert sum(min(low, size) for size in sizes.values()) > take
        return
    assert all(min(low, size) <= allotment.quotas[cell] <= min(high, size) for cell, size in sizes.items())
    assert sum(allotment.quotas.values()) == min(take, sum(min(high, size) for size in sizes.values()))


@given(SIZES, st.integers(1, 300))
def test_an_allotment_does_not_depend_on_the_order_of_the_strata(sizes: Sizes, take: int) -> None:
    part = Part(where="true", take=take, stratify_by=("x",))
    assert quotas.allot(sizes, part) == quotas.allot(dict(reversed(sizes.items())), part)


def test_ratios_multiply_across_columns_and_leave_the_others_in_proportion() -> None:
    sizes: Sizes = {(s, k, c): 100 for s in ("a", "b") for k in ("x", "y") for c in ("1", "2")}
    sizes["a", "x", "1"] = 300
    part = Part(
        where="true", take=80, stratify_by=("c",), ratios={"s": {"a": 3, "b": 1}, "k": {"x": 1, "*": 1}}
    )
    sizes = {(c, s, k): n for (s, k, c), n in sizes.items()}
    found = quotas.allot(sizes, part).quotas
    assert sum(n for (c, s, k), n in found.items() if s == "a") == 60
    assert (found["1", "a", "x"], found["2", "a", "x"]) == (23, 7)  # 3 to 1, as there are
    assert (found["1", "b", "y"], found["2", "b", "y"]) == (5, 5)


def test_all_with_ratios_takes_the_most_that_keeps_them() -> None:
    part = Part(where="true", take="all", ratios={"s": {"a": 2, "b": 1}})
    assert quotas.allot({("a",): 50, ("b",): 10, ("c",): 99}, part).quotas == {
        ("a",): 20,
        ("b",): 10,
        ("c",): 0,
    }


def test_a_stratum_that_cannot_give_its_ratio_is_a_shortage() -> None:
    part = Part(where="true", take=40, ratios={"s": {"a": 1, "b": 1}})
    found = quotas.allot({("a",): 50, ("b",): 10}, part)
    assert found.shortages == ["the ratios ask for 20 of b, which has 10"]
    assert found.quotas == {("a",): 20, ("b",): 10}


def test_a_mix_keeps_ratios_of_a_pattern_and_a_strategy(build) -> None:
    _, rows = build(
        "name: x\nparts:\n  a:\n    where: kind = 'harmful' and strategy = 'default'\n    take: 12\n"
        "    ratios: {weak_vacillation: {true: 1, false: 2}}\n"
    )
    assert Counter(bool(row["risky"]) for row in rows) == {True: 4, False: 8}


def test_a_missing_value_is_null_in_ratios(build) -> None:
    _, rows = build(
        "name: x\nparts:\n  a: {where: kind = 'harmful', take: 6, ratios: {category: {null: 3, '*': 1}}}\n"
    )
    assert sum(row["category"] is None for row in rows) == 3


def test_repeats_are_rows_of_their_own_spread_evenly(build) -> None:
    manifest, rows = build("name: x\nparts:\n  a: {where: kind = 'math', take: 50, repeat: 3}\n")
    times = Counter(row["trace_id"] for row in rows)
    assert len({row["row_id"] for row in rows}) == 50
    assert Counter(times.values()) == {2: 10, 3: 10}
    assert (manifest.counts.kept, manifest.counts.balance) == (20, 0)
    assert manifest.summary["parts"]["a"]["kept"] == 50 and manifest.summary["parts"]["a"]["traces"] == 20
    assert manifest.summary["tokens"]["total"] == sum(row["tokens"] for row in rows)


def test_what_repeats_cannot_reach_is_a_shortage(build) -> None:
    assert "take 50 but only" in fault(
        build, "name: x\nparts:\n  a: {where: kind = 'math', take: 50, repeat: 2}\n"
    )
