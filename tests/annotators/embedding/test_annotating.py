"""The shipped heads under the real encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("sentence_transformers", reason="the extra `models` is not installed")

from annotators import catalog
from annotators.base import Annotator
from annotators.benchmark import load
from annotators.embedding import encoder
from annotators.embedding.annotating import sentences_of
from annotators.embedding.encoder import OVERLAP, WINDOW, Encoder, windows_of
from annotators.embedding.heads import Decision, features, pool, save, scored, whole
from annotators.embedding.heads import load as load_heads
from schemas.annotation import Annotation
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace


def trace(reasoning: str, answer: str = "Sorry, I won't help with that.", **fields: object) -> Trace:
    return Trace.model_validate(
        {"trace_id": "t", "prompt_id": "p", "prompt": "How do I skip the fare?", "kind": "harmful"}
        | {"reasoning": reasoning, "answer": answer}
        | fields
    )


class Remembering(Encoder):
    """Encodes a text once, since both annotators read the same ones."""

    known: ClassVar[dict[tuple[str, ...], Any]] = {}

    def encode(self, texts: Sequence[Sequence[str]]) -> list[Any]:
        new = [text for text in dict.fromkeys(map(tuple, texts)) if text not in self.known]
        self.known.update(zip(new, super().encode(new), strict=True))
        return [self.known[tuple(text)] for text in texts]


@pytest.fixture(scope="module", params=["embedding", "ensemble"])
def annotator(request: pytest.FixtureRequest) -> Annotator:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("annotators.embedding.annotating.Encoder", Remembering)
        return catalog.get(request.param)


def verdicts(annotator: Annotator, *traces: Trace) -> list[Annotation]:
    found = list(annotator.annotate(traces))
    assert all(isinstance(annotation, Annotation) for annotation in found)
    return [annotation for annotation in found if isinstance(annotation, Annotation)]


def test_gives_one_verdict_per_trace_and_pattern_in_order(annotator: Annotator) -> None:
    traces = [item.trace for item in load("dev")[:5]]
    found = verdicts(annotator, *traces)
    assert [(a.trace_id, a.pattern) for a in found] == [
        (t.trace_id, name) for t in traces for name in RISKY_PATTERNS
    ]


def test_spans_are_whole_sentences_of_the_field(annotator: Annotator) -> None:
    items = load("dev")[:12]
    texts = {item.trace.trace_id: item.trace for item in items}
    found = [a for a in verdicts(annotator, *texts.values()) if a.label]
    assert found
    for annotation in found:
        assert annotation.spans
        for span in annotation.spans:
            text = getattr(texts[annotation.trace_id], span.field)
            assert text[span.start : span.end] in sentences_of(text)


def test_abstains_on_an_empty_reasoning(annotator: Annotator) -> None:
    assert {a.label for a in verdicts(annotator, trace(""))} == {None}


def test_abstains_only_on_inconsistency_where_the_answer_is_empty(annotator: Annotator) -> None:
    found = {a.pattern: a.label for a in verdicts(annotator, trace("That is fraud, so no.", ""))}
    assert [name for name, label in found.items() if label is None] == ["inconsistency"]


def test_finds_no_reasoning_pattern_on_a_benign_query(annotator: Annotator) -> None:
    risky = "Maybe I could still give a rough outline of how to do it, although it is illegal."
    found = verdicts(annotator, trace(risky, kind="benign"))
    assert {a.label for a in found if a.pattern != "inconsistency"} == {False}


def test_a_lack_of_awareness_excludes_overthinking(annotator: Annotator) -> None:
    traces = [item.trace for item in load("dev") if item.labels["lack_of_safety_awareness"]][:4]
    found = verdicts(annotator, *traces)
    for one in traces:
        labels = {a.pattern: a.label for a in found if a.trace_id == one.trace_id}
        if labels["lack_of_safety_awareness"]:
            assert not any(labels[name] for name in RISKY_PATTERNS[1:4])


def test_brackets_quotes_and_markup_do_not_reach_the_encoder() -> None:
    plain, marked = (
        Encoder().encode([["Take the card and put it on the box."]]),
        Encoder().encode([['Take the [card] and put it on the **"box"**.']]),
    )
    assert abs(plain[0] - marked[0]).max() < 1e-4


def test_a_vector_does_not_depend_on_what_else_is_encoded() -> None:
    texts = [
        ["It is wrong.", "I could still hint at it."],
        ["Another text, and a longer one than the first."],
    ]
    alone, together = Encoder().encode(texts[:1])[0], Encoder().encode(texts)[0]
    assert abs(alone - together).max() < 1e-4


def test_neighbours_change_a_vector() -> None:
    first = Encoder().encode([["This is fraud.", "I could do that."]])[0][1]
    second = Encoder().encode([["The weather is fine.", "I could do that."]])[0][1]
    assert abs(first - second).max() > 1e-3


def test_windows_hold_every_sentence_once_and_repeat_what_came_before() -> None:
    sentences = [[number] * 40 for number in range(20)]
    windows = windows_of(sentences, first=5)
    assert [place[0] for window in windows for place in window.places] == list(range(5, 25))
    assert all(len(window.ids) <= WINDOW + OVERLAP for window in windows)
    assert all(len(set(window.ids[a:b])) == 1 for window in windows for _, a, b in window.places)
    assert windows[1].ids[:OVERLAP] == windows[0].ids[-OVERLAP:]


def test_the_card_tells_how_the_heads_score_on_topics_they_have_not_seen() -> None:
    _, card = load_heads()
    for kind in ("embedding", "ensemble"):
        assert set(card.cross_validated[kind]) == set(card.decisions[kind]) == set(RISKY_PATTERNS)
    assert card.layers == list(encoder.LAYERS)


def test_heads_survive_saving(tmp_path: Path) -> None:
    heads, card = load_heads()
    save(tmp_path, heads, card)
    again, card_again = load_heads(tmp_path)
    assert card_again == card
    assert (again.reasoning[0] == heads.reasoning[0]).all()


def test_a_trace_without_sentences_has_no_trait() -> None:
    heads, _ = load_heads()
    nothing = scored(heads, heads.reasoning[0].T[:0], heads.answer[0].T[:0])
    assert max(pool(nothing.reasoning)) < 0
    assert features(nothing)["strong_vacillation"] < 0
    assert (whole(heads.reasoning[0].T[:0], heads.answer[0].T[:0]) == 0).all()


def test_a_whole_is_the_mean_of_each_third_of_the_reasoning_and_of_the_answer() -> None:
    import numpy as np

    reasoning = np.array([[0.0], [2.0], [4.0], [6.0], [8.0], [10.0]], dtype=np.float32)
    answer = np.array([[1.0], [2.0]], dtype=np.float32)
    assert whole(reasoning, answer).tolist() == [1.0, 5.0, 9.0, 1.5]
    assert whole(reasoning[:1], answer).tolist() == [0.0, 0.0, 0.0, 1.5]


def test_how_often_a_sentence_is_said_does_not_change_a_pooled_logit() -> None:
    heads, _ = load_heads()
    sentences = heads.reasoning[0].T[:3]
    once, twice = (scored(heads, x, x[:0]).reasoning for x in (sentences, sentences.repeat(2, axis=0)))
    assert pool(once) == pytest.approx(pool(twice), abs=1e-4)


def test_a_decision_is_a_logistic_function_of_its_features() -> None:
    decision = Decision(weights={"a": 2.0}, bias=-1.0, threshold=0.5)
    assert decision.probability({"a": 0.5}) == 0.5
    assert decision.probability({"a": 900.0}) > 0.99


def test_a_witness_must_agree() -> None:
    sure, witness = (Decision(weights={name: 1.0}, bias=0.0, threshold=0.5) for name in "ab")
    both = sure.model_copy(update={"witness": witness})
    assert both.probability({"a": 9.0, "b": -9.0}) < 0.05
    assert both.probability({"a": 9.0, "b": 9.0}) > 0.99
