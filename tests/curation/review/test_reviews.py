"""From responses to annotations: labels, offsets, versions, retractions. No server needed."""

import pytest

from curation.review import reviews
from curation.review.client import User
from curation.review.pull import reviewer_names
from curation.review.reviews import Mark, Review
from schemas import RISKY_PATTERNS, Annotation

WEAK, ADDITIONS, INCONSISTENT = "weak_vacillation", "harmful_additions", "inconsistency"
TEXTS = {"reasoning": "Well 😀\r\nI keep the <voice>.", "answer": "No."}


def review(patterns: tuple[str, ...] = (WEAK,), at: str = "1", **more: object) -> Review:
    base = Review("r", "t", "ann", at, "submitted", "keep", patterns, (), None)
    return reviews.checked(base._replace(**more))


def response(status: str = "submitted", **values: object) -> dict:
    given = {name: {"value": value} for name, value in values.items()}
    return {"status": status, "updated_at": "2026-01-01T00:00:00", "values": given}


def read(given: dict) -> Review:
    return reviews.from_response(given, TEXTS, "r", "t", "ann")


def labels(annotations: list[Annotation]) -> dict[str, bool | None]:
    return {annotation.pattern: annotation.label for annotation in annotations}


def test_ticked_patterns_are_true_and_the_others_false() -> None:
    assert labels(reviews.annotations(review((WEAK,)), "human:ann")) == {
        name: name == WEAK for name in RISKY_PATTERNS
    }


def test_none_means_that_all_five_are_false() -> None:
    assert set(labels(reviews.annotations(review(("none",)), "human:ann")).values()) == {False}


def test_page_offsets_become_code_points_that_cut_the_marked_words() -> None:
    # on the page the emoji counts as two and CRLF as one
    mark = read(response(patterns=[WEAK], reasoning_spans=[{"start": 10, "end": 14, "label": WEAK}])).spans[0]
    assert TEXTS["reasoning"][mark.start : mark.end] == "keep"
    assert mark.start == 10


def test_marks_of_a_pattern_that_is_not_ticked_do_not_count_but_are_kept() -> None:
    marks = (Mark(ADDITIONS, "reasoning", 0, 4), Mark(WEAK, "reasoning", 5, 6))
    found = review((WEAK,), spans=marks)
    evidence = {a.pattern: a.spans for a in reviews.annotations(found, "human:ann") if a.spans}
    assert set(evidence) == {WEAK} and len(found.spans) == 2
    assert found.contradictions == ("Harmful additions is marked and not ticked",)


def test_marks_count_only_in_the_field_that_the_codebook_judges_on() -> None:
    marks = (Mark(WEAK, "answer", 0, 2), Mark(INCONSISTENT, "answer", 0, 2))
    found = review((WEAK, INCONSISTENT), spans=marks)
    assert found.evidence == (Mark(INCONSISTENT, "answer", 0, 2),)


def test_a_mark_on_the_padding_behind_the_text_has_no_words() -> None:
    assert read(response(patterns=["none"], answer_spans=[{"start": 3, "end": 4, "label": WEAK}])).spans == ()


def test_a_discarded_response_without_values_is_read() -> None:
    found = read({"status": "discarded", "updated_at": "2026-01-01T00:00:00", "values": None})
    assert (found.status, found.patterns, found.verdict) == ("discarded", (), None)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (response(patterns=["vacillation"]), "unknown pattern vacillation"),
        (response(patterns=["none"], verdict="burn"), "unknown verdict 'burn'"),
        (
            response(patterns=["none"], reasoning_spans=[{"start": 0, "end": 1, "label": "none"}]),
            "unknown pattern none",
        ),
        (response(), "submitted without a pattern"),
        (response(status="pending", patterns=["none"]), "unknown status 'pending'"),
    ],
)
def test_what_is_no_review_is_refused(given: dict, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read(given)


def test_the_first_review_makes_annotations_without_a_version() -> None:
    found = reviews.due([review()], [])
    assert {a.annotator for a in found} == {"human:ann"} and len(found) == 5


def test_a_review_that_was_seen_before_makes_nothing() -> None:
    first = reviews.due([review()], [])
    assert reviews.due([review()], first) == []


def test_an_edited_review_makes_a_new_version_of_all_five() -> None:
    first = reviews.due([review()], [])
    second = reviews.due([review(), review(("none",), at="2")], first)
    assert {a.annotator for a in second} == {"human:ann@2"}
    third = reviews.due([review(), review(("none",), at="2"), review(at="3")], first + second)
    assert {a.annotator for a in third} == {"human:ann@3"} and labels(third)[WEAK] is True


def test_a_changed_comment_or_mark_is_an_edit_and_a_new_time_alone_is_none() -> None:
    first = reviews.due([review()], [])
    assert reviews.due([review(), review(at="2")], first) == []
    assert len(reviews.due([review(), review(at="2", comment="the persona")], first)) == 5
    assert len(reviews.due([review(), review(at="2", spans=(Mark(WEAK, "reasoning", 0, 4),))], first)) == 5


def test_a_review_that_is_taken_back_abstains_from_then_on() -> None:
    first = reviews.due([review()], [])
    gone = [review(), review(at="2", status="discarded")]
    second = reviews.due(gone, first)
    assert set(labels(second).values()) == {None} and second[0].annotator == "human:ann@2"
    assert reviews.due(gone, first + second) == []
    back = reviews.due([*gone, review(at="3")], first + second)
    assert labels(back)[WEAK] is True and back[0].annotator == "human:ann@3"


def test_drafts_alone_make_no_annotation() -> None:
    assert reviews.due([review(status="draft"), review(at="2", status="discarded")], []) == []


def test_a_draft_in_a_later_round_leaves_the_earlier_review_standing() -> None:
    first = reviews.due([review()], [])
    assert reviews.due([review(), review(at="2", round="s", status="draft")], first) == []


def test_people_are_kept_apart() -> None:
    found = reviews.due([review(), review(("none",), reviewer="bob")], [])
    assert {a.annotator for a in found} == {"human:ann", "human:bob"}


@pytest.mark.parametrize(
    ("username", "name"),
    [
        ("alice", "alice"),
        ("a@b.org", "a_at_b.org"),
        ("Zoë Ö", "Zoë_Ö"),
        ("x:y", "x_y"),
        ("@@", "at__at"),
        ("::", "someone"),
    ],
)
def test_any_username_makes_an_annotator(username: str, name: str) -> None:
    assert reviews.reviewer_name(username) == name
    Annotation(trace_id="t", pattern=WEAK, annotator=f"human:{name}@2", label=None)


def test_two_users_never_share_an_annotator() -> None:
    users = [
        User("11111111-1", "a@b", "annotator"),
        User("22222222-2", "a_at_b", "annotator"),
        User("3", "c", "owner"),
    ]
    assert reviewer_names(users) == {
        "11111111-1": "a_at_b-11111111",
        "22222222-2": "a_at_b-22222222",
        "3": "c",
    }


def test_what_a_review_says_and_takes_back_is_told() -> None:
    lack, strong = "lack_of_safety_awareness", "strong_vacillation"
    assert review(("none",)).contradictions == review((lack,)).contradictions == ()
    assert review((WEAK,), spans=(Mark(WEAK, "reasoning", 0, 4),)).contradictions == ()
    assert review((lack, "none")).contradictions == ('"none of these" beside Lack of safety awareness',)
    both = (Mark(strong, "reasoning", 0, 4),)
    assert review((lack, strong), spans=both).contradictions == (
        "Lack of safety awareness and Strong vacillation, which exclude each other",
    )
    assert review((WEAK,)).contradictions == ("Weak vacillation is ticked and not marked",)
    assert review(("none",), spans=(Mark(WEAK, "answer", 0, 4),)).contradictions == (
        "Weak vacillation is marked and not ticked",
        "Weak vacillation is marked in the answer, where it is not judged",
    )
