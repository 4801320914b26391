"""Two models beside each other: every prompt that both answered, once, and what differs."""

from collections import Counter
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.view.app import compare_page, pair_page
from curation.view.workplace import Workplace
from schemas.errors import DataError


@pytest.fixture
def scored(corpus: Store) -> Workplace:
    """Model a answered prompts 0 to 9, twice prompt 0; model b prompts 5 to 14 and prompt 0. b is inconsistent about even prompts."""
    asked = [("a", n) for n in range(10)] + [("a", 0)] + [("b", n) for n in (0, *range(5, 15))]
    rows: list[dict[str, Any]] = [
        {
            "trace_id": f"{model}{n}-{at}", "prompt_id": f"p{n}", "prompt": f"prompt number {n}", "model": model, "kind": "harmful",
            "strategy": "s", "reasoning": f"reasoning of {model}", "answer": "no", "sample_index": 0,
        }
        for at, (model, n) in enumerate(asked)
    ]  # fmt: skip
    corpus.append_rows("traces", rows)
    said = [
        {"trace_id": row["trace_id"], "pattern": "inconsistency", "annotator": "judge:j@1", "label": row["model"] == "b" and int(row["prompt_id"][1:]) % 2 == 0}
        for row in rows
    ]  # fmt: skip
    corpus.append_rows("annotations", said)
    return Workplace(corpus.root, reviewer="ann")


def test_prompts_are_paired_once_and_differences_come_first(scored: Workplace) -> None:
    pairing = scored.pairing({"left": ["a"], "right": ["b"]})
    lines = [scored.lines(pairing.rows[:, side].tolist(), {"show": ["1"]}) for side in (0, 1)]
    assert [line.opening for line in lines[0]] == [line.opening for line in lines[1]]
    assert sorted(line.opening[14:] for line in lines[0]) == ["0", "5", "6", "7", "8", "9"]
    assert [line.opening[14:] for line in lines[0][: pairing.changed]] == ["0", "6", "8"]
    assert pairing.alone == (5, 5)
    change = next(one for one in pairing.changes if one.pattern == "inconsistency")
    assert (change.both, change.left, change.right, change.neither) == (0, 0, 3, 3)


def test_the_selection_narrows_a_comparison(scored: Workplace) -> None:
    assert len(scored.pairing({"q": ["6"]}).rows) == 1
    assert len(scored.pairing({"kind": ["math"]}).rows) == 0
    assert len(scored.pairing({"model": ["a"]}).rows) == 6  # the compared facet itself does not narrow


def test_the_two_most_frequent_models_are_compared_by_default(scored: Workplace) -> None:
    assert {scored.pairing({}).left, scored.pairing({}).right} == {"a", "b"}
    assert len(scored.pairing({"by": ["strategy"], "left": ["s"], "right": ["s"]}).rows) == 22
    with pytest.raises(DataError, match="compare by one of kind, strategy"):
        scored.pairing({"by": ["pattern"]})


def test_each_pair_has_a_page_and_the_list_leads_to_it(scored: Workplace) -> None:
    page = compare_page(scored, {"left": ["a"], "right": ["b"]})
    assert page.count("/pair?") == 6 and "3 of 6 pairs differ" in page
    shown = Counter(
        side
        for at in range(6)
        for side in ("reasoning of a", "reasoning of b")
        if side in pair_page(scored, {"left": ["a"], "right": ["b"], "at": [str(at)], "show": ["1"]})
    )
    assert shown == {"reasoning of a": 6, "reasoning of b": 6}
    with pytest.raises(DataError, match="has 6 pairs; there is no pair 100"):
        pair_page(scored, {"at": ["99"]})


def test_an_empty_corpus_compares_nothing(corpus: Store) -> None:
    assert "0 of 0 pairs" in compare_page(Workplace(corpus.root, reviewer="ann"), {})
