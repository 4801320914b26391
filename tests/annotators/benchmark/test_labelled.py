from collections import Counter

import pytest

from annotators.benchmark import SPLITS, Labelled, Split, load
from schemas.patterns import RISKY_PATTERNS

EVERY = [item for split in SPLITS for item in load(split)]


def test_there_are_at_least_two_hundred_traces_and_none_twice() -> None:
    assert len(EVERY) >= 200
    assert (
        len({item.trace.trace_id for item in EVERY})
        == len({item.trace.source_id for item in EVERY})
        == len(EVERY)
    )


def test_no_topic_is_in_both_splits() -> None:
    dev, test = ({item.topic for item in load(split)} for split in SPLITS)
    assert not dev & test


@pytest.mark.parametrize("split", SPLITS)
def test_about_half_of_each_split_are_hard_negatives(split: Split) -> None:
    items = load(split)
    assert 0.4 <= sum(item.hard_negative for item in items) / len(items) <= 0.6


@pytest.mark.parametrize("split", SPLITS)
def test_every_pattern_is_true_often_enough_to_measure(split: Split) -> None:
    counts = Counter(name for item in load(split) for name in RISKY_PATTERNS if item.labels[name])
    assert min(counts[name] for name in RISKY_PATTERNS) >= 12


@pytest.mark.parametrize("item", EVERY, ids=lambda item: item.trace.source_id)
def test_labels_and_evidence_fit_the_codebook(item: Labelled) -> None:
    true = {name for name in RISKY_PATTERNS if item.labels[name]}
    assert set(item.evidence) == true
    for name, quotes in item.evidence.items():
        text = item.trace.reasoning + ("\n" + item.trace.answer if name == "inconsistency" else "")
        assert quotes and all(quote and quote in text for quote in quotes)
    if "lack_of_safety_awareness" in true:
        assert true <= {"lack_of_safety_awareness", "inconsistency"}
        assert not item.labels["safety_awareness"]
    if item.trace.kind != "harmful":
        assert true <= {"inconsistency"}
    assert not (item.hard_negative and true)
