"""Labels saved on the page: each says once what it says."""

from curation.corpus.store import Store
from curation.review import ledger
from curation.review.reviews import Review
from curation.view import saving

FORM = {"pattern": ["none"], "verdict": ["keep"], "note": ["seen"]}


def trace_of(corpus: Store) -> str:
    return min(corpus.keys("traces"))


def test_a_form_that_is_sent_again_makes_no_second_version(filled: Store) -> None:
    trace = trace_of(filled)
    first = saving.save(filled, trace, "ann", FORM)
    assert saving.save(filled, trace, "ann", FORM) == first
    assert ledger.load(filled) == [first]
    saving.save(filled, trace, "ann", FORM | {"note": ["seen again"]})
    assert saving.save(filled, trace, "ann", FORM).updated_at > first.updated_at
    assert len(ledger.load(filled)) == 3


def test_a_form_that_is_sent_again_writes_the_annotations_that_a_crash_left_out(filled: Store) -> None:
    trace = trace_of(filled)
    saved = saving.save(filled, trace, "ann", FORM)
    before = filled.keys("annotations")
    for part in filled.parts("annotations"):
        if any(key in part.read_bytes() for key in (b"human:ann",)):
            part.unlink()
    assert filled.keys("annotations") < before
    assert saving.save(filled, trace, "ann", FORM) == saved
    assert filled.keys("annotations") == before


def test_the_same_label_counts_again_where_another_round_has_overruled_it(filled: Store) -> None:
    trace = trace_of(filled)
    first = saving.save(filled, trace, "ann", FORM)
    later = Review(
        "pilot",
        trace,
        "ann",
        "9999-01-01T00:00:00+00:00",
        "submitted",
        "drop",
        ("weak_vacillation",),
        (),
        None,
    )
    ledger.add(filled, [later])
    assert saving.save(filled, trace, "ann", FORM) != first
