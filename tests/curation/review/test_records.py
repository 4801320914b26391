"""What reviewers see of a trace: text, suggestions, evidence, guidelines."""

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import records, rounds
from curation.review.form.questions import guidelines
from curation.review.records import Record
from curation.review.rounds import RoundRecipe
from schemas import CODEBOOK, RISKY_PATTERNS

WEAK, ADDITIONS = "weak_vacillation", "harmful_additions"


def shown(corpus: Store, **settings: object) -> dict[str, Record]:
    rounds.open_or_create(corpus, RoundRecipe(name="r", **{"blind": 0, **settings}))
    rows = [row for batch in rounds.records(connect(corpus), "r") for row in batch.to_pylist()]
    return {row["trace_id"]: records.record(row) for row in rows}


def verdict(
    pattern: str, label: bool | None, score: float | None = None, by: str = "rules@1", **more: object
) -> dict:
    return {"trace_id": "t0", "pattern": pattern, "annotator": by, "label": label, "score": score, **more}


def span(field: str, start: int, end: int) -> dict:
    return {"field": field, "start": start, "end": end}


def test_a_true_consensus_is_suggested_with_its_score_and_evidence(corpus_of) -> None:
    text = "I keep 😀 the <pirate> voice."
    start = text.index("<pirate>")
    evidence = [span("reasoning", start, start + 8), span("answer", 0, 2)]
    others = [verdict(name, False, 0.1) for name in RISKY_PATTERNS if name != WEAK]
    corpus = corpus_of(
        [{"reasoning": text, "answer": "No."}], [verdict(WEAK, True, 0.8, spans=evidence), *others]
    )
    labels, reasoning, answer = shown(corpus)["t0"].suggestions
    assert labels == ("patterns", [WEAK], [0.8], "rules v1")
    # one more than in Python: the page counts the emoji as two
    assert reasoning.value == [{"start": start + 1, "end": start + 9, "label": WEAK}] and reasoning.score == [
        0.8
    ]
    assert answer.value == [{"start": 0, "end": 2, "label": WEAK}]


def test_no_pattern_at_all_is_suggested_as_none(corpus_of) -> None:
    corpus = corpus_of([{"reasoning": "x"}], [verdict(name, False, 0.1) for name in RISKY_PATTERNS])
    labels = shown(corpus)["t0"].suggestions[0]
    assert (labels.value, labels.score) == (["none"], [0.9])


def test_nothing_is_suggested_where_no_annotator_has_an_opinion(corpus_of) -> None:
    corpus = corpus_of([{"reasoning": "x"}, {"reasoning": "y"}], [verdict(WEAK, None)])
    assert {record.suggestions == [] for record in shown(corpus).values()} == {True}


def test_other_peoples_reviews_are_never_suggested(corpus_of) -> None:
    corpus = corpus_of([{"reasoning": "x"}], [verdict(WEAK, False, 0.2)])
    record = shown(corpus)["t0"]
    corpus.append_rows("annotations", [verdict(WEAK, True, by="human:ann", spans=[span("reasoning", 0, 1)])])
    assert shown(corpus)["t0"] == record and record.suggestions[0].value == ["none"]


def test_evidence_of_an_outvoted_annotator_is_left_out(corpus_of) -> None:
    marks = [span("reasoning", 0, 1)]
    corpus = corpus_of(
        [{"reasoning": "xyz"}],
        [
            verdict(WEAK, True, 0.9, spans=marks), verdict(WEAK, False, 0.1, by="judge:m@1"),
            verdict(ADDITIONS, True, 0.9, by="judge:m@1"),
        ],
    )  # fmt: skip
    labels, reasoning, _ = shown(corpus)["t0"].suggestions
    assert (labels.value, reasoning.value, labels.agent) == ([ADDITIONS], [], "judge:m v1")


def test_none_is_not_filled_in_where_an_outvoted_annotator_found_something(corpus_of) -> None:
    corpus = corpus_of(
        [{"reasoning": "xyz"}], [verdict(WEAK, True, 0.9), verdict(WEAK, False, 0.1, by="judge:m@1")]
    )
    assert shown(corpus)["t0"].suggestions == []


def test_blind_records_carry_no_suggestion(corpus_of) -> None:
    corpus = corpus_of([{"reasoning": "xyz"}], [verdict(WEAK, True, 0.9)])
    assert shown(corpus, blind=1)["t0"].suggestions == []


def test_a_payload_changes_with_what_is_shown_and_with_nothing_else(corpus_of) -> None:
    corpus = corpus_of([{"reasoning": "xyz"}], [verdict(WEAK, False, 0.2)])
    before = shown(corpus)["t0"].payload
    assert shown(corpus)["t0"].payload == before
    corpus.append_rows("annotations", [verdict(WEAK, True, 0.9, by="rules@2")])
    assert shown(corpus)["t0"].payload != before


def test_the_guidelines_tell_every_pattern_with_its_examples() -> None:
    text = guidelines()
    for entry in (entry for entry in CODEBOOK if entry.name in RISKY_PATTERNS):
        assert entry.definition in text
        assert all(example in text for example in (*entry.present, *entry.absent))
    assert not any(entry.definition in text for entry in CODEBOOK if entry.name not in RISKY_PATTERNS)


def test_earlier_turns_stand_before_the_question(corpus_of) -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "reasoning": "Greet."},
        {"role": "user", "content": "prompt 0"},
    ]
    corpus = corpus_of([{"reasoning": "x", "prompt": "prompt 0", "turns": turns}], [])
    told = shown(corpus)["t0"].fields["prompt"]
    assert told.index("Hi") < told.index("(thinks) Greet.") < told.index("prompt 0")
    assert shown(corpus)["t0"].fields["reasoning"].strip() == "x"
