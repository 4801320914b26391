"""Alpha against Krippendorff's own worked example and against the definition written out pair by pair."""

import random
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from annotators.statistics.agreement import (
    agreement,
    by_unit,
    cohen,
    fleiss,
    gwet,
    pairwise_agreement,
    percent_agreement,
)

# Krippendorff (2011), section C: four observers, twelve units, "." is a missing value.
PUBLISHED = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}


def by_definition(units: list[list[object]]) -> float | None:
    """Alpha pair by pair: observed disagreement within units against that of all values thrown together."""
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    observed = sum(sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units) / max(
        1, len(values)
    )
    pairs = list(permutations(values, 2))
    expected = sum(a != b for a, b in pairs) / max(1, len(pairs))
    return 1 - observed / expected if expected else None


def test_alpha_of_the_published_example():
    rows = [
        (unit, value)
        for line in PUBLISHED.values()
        for unit, value in enumerate(line.split())
        if value != "."
    ]
    found = agreement(by_unit(rows))
    assert found.alpha is not None and round(found.alpha, 3) == 0.743
    assert found.units == 11  # the twelfth has one value and pairs with nothing


@given(st.lists(st.lists(st.sampled_from(["yes", "no", "odd"]), max_size=4), max_size=12))
def test_alpha_equals_its_definition(units):
    found, wanted = agreement(units).alpha, by_definition(units)
    assert (found is None) == (wanted is None)
    assert wanted is None or abs(found - wanted) < 1e-9


def test_alpha_is_undefined_where_everybody_always_says_the_same():
    assert agreement([[False, False]] * 40) == (None, None, None, 40)


def test_perfect_agreement_on_varied_labels_is_one():
    assert agreement([[True, True], [False, False]] * 20)[:3] == (1.0, 1.0, 1.0)


def test_the_interval_holds_alpha_narrows_with_more_traces_and_repeats():
    dice = random.Random(3)

    def labels(n: int) -> list[list[bool]]:
        truths = [dice.random() < 0.4 for _ in range(n)]
        return [[truth, truth if dice.random() < 0.85 else not truth] for truth in truths]

    few, many = agreement(labels(40)), agreement(labels(1000))
    assert few.low < few.alpha < few.high
    assert many.high - many.low < (few.high - few.low) / 2
    units = labels(50)
    assert agreement(units) == agreement(units)


def test_agreement_of_pairs_is_the_share_of_equal_ones():
    assert pairwise_agreement([(True, True), (True, False), (False, False), (False, False)]) == 0.75
    assert pairwise_agreement([]) is None


LABELS = st.sampled_from(["yes", "no", "odd"])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_cohens_kappa_is_that_of_scikit_learn(pairs):
    found = cohen(pairs)
    if len({label for pair in pairs for label in pair}) < 2:
        assert found == (None, None, None, len(pairs))
    else:
        assert abs(found.alpha - cohen_kappa_score(*zip(*pairs, strict=True))) < 1e-9


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(LABELS, min_size=3, max_size=3), min_size=1, max_size=40))
def test_fleiss_kappa_is_that_of_statsmodels(units):
    found = fleiss(units)
    if len({label for unit in units for label in unit}) < 2:
        assert found.alpha is None
    else:
        assert abs(found.alpha - fleiss_kappa(aggregate_raters(units)[0])) < 1e-9


def test_kappas_have_intervals_and_nothing_to_say_of_nothing():
    pairs = [(True, True)] * 30 + [(False, False)] * 40 + [(True, False)] * 6
    found = cohen(pairs)
    assert found.low < found.alpha < found.high and found.units == 76
    assert abs(fleiss(pairs).alpha - found.alpha) < 0.05
    assert cohen([]) == fleiss([]) == fleiss([[True], [False]]) == (None, None, None, 0)


def ac1_by_definition(units: list[list[bool]]) -> float:
    """Gwet (2008): agreement beyond what raters would share who guess at random where a label is hard."""
    units = [unit for unit in units if len(unit) > 1]
    same = sum(
        sum(a == b for a, b in permutations(unit, 2)) / (len(unit) * (len(unit) - 1)) for unit in units
    ) / len(units)
    share = sum(sum(unit) / len(unit) for unit in units) / len(units)
    chance = 2 * share * (1 - share)
    return (same - chance) / (1 - chance)


@given(st.lists(st.lists(st.booleans(), max_size=4), min_size=1, max_size=30))
@settings(max_examples=50)
def test_ac1_is_what_its_definition_says(units: list[list[bool]]) -> None:
    found = gwet(units)
    assert found.units == sum(len(unit) > 1 for unit in units)
    if found.units:
        assert abs(found.alpha - ac1_by_definition(units)) < 1e-9


def test_ac1_is_high_where_a_pattern_is_rare_and_people_agree_though_alpha_is_low() -> None:
    units = [[False, False]] * 97 + [[True, False]] * 3
    assert agreement(units).alpha < 0.1 and gwet(units).alpha > 0.95
    assert percent_agreement(units) == 0.97 and percent_agreement([[True]]) is None
    assert gwet([[False, False]] * 5).alpha == 1.0
