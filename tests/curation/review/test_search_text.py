"""The text part of the search engine by itself: it needs neither Argilla nor SQL."""

import json
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.review.server.process import INSIDE


@pytest.fixture(scope="module")
def text() -> Iterator[object]:
    sys.path.insert(0, str(INSIDE))
    try:
        from embedded.search import text as module

        yield module
    finally:
        sys.path.remove(str(INSIDE))


def score(text, body: str, query: str) -> float:
    return text.score(json.dumps({"a": body, "b": "elsewhere"}), query, f"a{text.FIELD_SEPARATOR}b")


@pytest.mark.parametrize(
    ("query", "body", "found"),
    [
        ("permit", "a parking PERMIT.", True),
        ("permit", "permits", False),
        ("permit*", "permits", True),
        ("parking permit", "permit for parking", True),
        ("parking permit", "parking only", False),
        ('"parking permit"', "a parking\npermit", True),
        ('"parking permit"', "permit parking", False),
        ("parking | garden", "the garden", True),
        ("garden -parking", "the garden", True),
        ("garden -parking", "garden parking", False),
        ("-parking", "the garden", True),
        ("permit elsewhere", "permit", True),
        ("élan", "ÉLAN vital", True),
        ("拒绝", "我应该拒绝。", True),
        ("שלום", "שלום עולם", True),
        ("c++", "c", True),
        ("e.g", "e.g. this", True),
        ("snake_case", "a snake_case name", True),
        ("100%", "100 percent", True),
    ],
)
def test_a_query_finds_what_it_says(text, query: str, body: str, found: bool) -> None:
    assert (score(text, body, query) > 0) is found


def test_more_hits_score_higher_up_to_a_limit(text) -> None:
    assert score(text, "a b a", "a") > score(text, "a b", "a")
    assert score(text, "a " * 50, "a") == score(text, "a " * 10, "a") == text.MAX_HITS


def test_only_the_named_fields_are_searched(text) -> None:
    assert text.score(json.dumps({"a": "permit", "b": "x"}), "permit", "b") == 0.0


@pytest.mark.parametrize("query", ["", "  ", '""', "|", "-", "*", "???"])
def test_a_query_without_words_is_empty(text, query: str) -> None:
    assert text.parse(query) == []


@given(st.text(max_size=60), st.text(st.sampled_from('ab é"|-* ßK'), max_size=12))
def test_the_cheap_test_never_hides_a_match(body: str, query: str) -> None:
    sys.path.insert(0, str(INSIDE))
    from embedded.search import text

    stored = json.dumps({"a": body})
    if text.score(stored, query, "a") > 0:
        ascii_lower = stored.encode("ascii").lower().decode()  # LIKE ignores case of ASCII letters only
        assert any(all(piece in ascii_lower for piece in pieces) for pieces in text.required_pieces(query))


def test_each_person_has_an_own_fixed_order(text) -> None:
    ids = [f"record {i}" for i in range(30)]
    orders = {seed: sorted(ids, key=lambda id: text.shuffle(id, seed)) for seed in ("ann", "bob")}
    assert orders["ann"] != orders["bob"] != ids
    assert orders["ann"] == sorted(ids, key=lambda id: text.shuffle(id, "ann"))
