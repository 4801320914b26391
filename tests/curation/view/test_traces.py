"""A trace's page: evidence in the right place, masked, and whatever is in the corpus."""

import pytest

from curation.corpus.store import Store
from curation.view.app import trace_page
from curation.view.traces import Evidence, stretches
from curation.view.workplace import Workplace


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], [("abcdef", ())]),
        ([(2, 4, 0)], [("ab", ()), ("cd", (0,)), ("ef", ())]),
        ([(1, 4, 0), (2, 6, 1)], [("a", ()), ("b", (0,)), ("cd", (0, 1)), ("ef", (1,))]),
        ([(0, 99, 0)], [("abcdef", (0,))]),
        ([(7, 9, 0), (4, 2, 0)], [("abcdef", ())]),
    ],
)
def test_every_letter_stands_under_its_evidence(spans: list, expected: list) -> None:
    pieces = stretches("abcdef", [Evidence(*span, "t", "p") for span in spans], shown=True)
    assert [(piece.text, piece.annotators) for piece in pieces] == expected


def test_a_masked_text_keeps_its_evidence_in_place() -> None:
    text = "I would 😀 scan the permit"
    (before, marked, _) = stretches(text, [Evidence(8, 14, 0, "t", "p")], shown=False)
    assert len(before.text) == 8 and len(marked.text) == 6 and "scan" not in marked.text


def test_texts_are_masked_until_they_are_asked_for(place: Workplace) -> None:
    trace_id = place.select({}).lines[0].trace.trace_id
    masked, shown = (trace_page(place, {"id": [trace_id], "show": [value]}) for value in ("0", "1"))
    assert (
        "privacy"
        not in masked.replace('title="', "").split("Origin")[0].split("<h2>Prompt")[1].split("<h2>")[0]
    )
    assert "Question 0 about privacy" in shown


def test_a_trace_with_turns_tools_and_nothing_else_has_a_page(corpus: Store) -> None:
    turn = {"role": "user", "content": "earlier <b>words</b>"}
    row = {"trace_id": "a/b?c&d", "prompt_id": "p", "prompt": "", "reasoning": "", "answer": "", "sample_index": 0, "turns": [turn], "tools": "[]", "system": "be kind"}  # fmt: skip
    corpus.append_rows("traces", [row])
    page = trace_page(Workplace(corpus.root, reviewer="ann"), {"id": ["a/b?c&d"], "show": ["1"]})
    assert "earlier &lt;b&gt;words" in page and "be kind" in page and "Nothing is annotated yet" in page
    assert "/trace?id=a%2Fb%3Fc%26d" in page or "/trace?id=a/b%3Fc%26d" in page


def test_an_empty_corpus_has_a_list(corpus: Store) -> None:
    place = Workplace(corpus.root, reviewer="ann")
    assert place.select({"q": ["x"], "page": ["7"]}).lines == [] and place.size == 0
