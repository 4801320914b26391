"""Agreement of pairs, of marked words, and with known labels, from hand-made reviews."""

from curation.review import people, reviews
from curation.review.form.questions import FIVE, ReviewForm
from curation.review.reviews import GivenValue, Mark, Review
from schemas.codebooks import Codebook

WEAK, ADDITIONS = "weak_vacillation", "harmful_additions"


def vote(trace: str, who: str, *patterns: str, marks: tuple[Mark, ...] = ()) -> Review:
    moment = "2026-01-01T00:00:00+00:00"
    return reviews.checked(
        Review("r", trace, who, moment, "submitted", "keep", patterns or ("none",), marks, None)
    )


def test_each_pair_is_compared_on_the_traces_that_both_judged() -> None:
    votes = [
        vote("a", "bob", WEAK),
        vote("a", "ann", WEAK),
        vote("b", "ann"),
        vote("b", "bob", WEAK, ADDITIONS),
    ]
    rows = people.pairs([*votes, vote("c", "cyd")], ["ann", "bob", "cyd"])
    assert [(row.first, row.second, row.shared) for row in rows] == [
        ("ann", "bob", 2), ("ann", "cyd", 0), ("bob", "cyd", 0),
    ]  # fmt: skip
    assert rows[0].agree == (5 / 5 + 3 / 5) / 2 and rows[1].agree is None


def test_marks_agree_by_the_code_points_that_both_marked() -> None:
    one = vote("a", "ann", WEAK, marks=(Mark(WEAK, "reasoning", 0, 10),))
    other = vote(
        "a", "bob", WEAK, marks=(Mark(WEAK, "reasoning", 5, 10), Mark(ADDITIONS, "reasoning", 0, 99))
    )
    assert people.marks_agree([one, other], WEAK) == 2 * 5 / 15
    assert people.marks_agree([one, vote("a", "cyd", WEAK)], WEAK) is None


def test_the_gold_score_counts_labels_and_whole_traces() -> None:
    votes = [vote("a", "ann", WEAK), vote("b", "ann", ADDITIONS), vote("c", "ann")]
    weak = {name: name == WEAK for name in FIVE.names}
    assert people.gold_score(votes, {"a": weak, "b": weak}) == (2, (5 / 5 + 3 / 5) / 2, 0.5)
    assert people.gold_score(votes, {}) == (0, None, None)


def test_an_entry_that_the_known_labels_leave_open_is_not_compared() -> None:
    found = people.gold_score([vote("a", "ann", WEAK, ADDITIONS)], {"a": {WEAK: True}})
    assert found == (1, 1.0, 1.0)


def test_an_answer_that_decides_nothing_is_neither_right_nor_wrong() -> None:
    book = Codebook.model_validate(
        {"name": "clerk", "version": 1, "description": "d",
         "entries": {"clerk_tone": {"field": "answer", "definition": "How rude it is.", "levels": ["polite", "rude"]}}}
    )  # fmt: skip
    left_open = vote("a", "ann")._replace(
        patterns=(), form=ReviewForm("clerk", 1, tuple(book.entries.values()))
    )
    decided = left_open._replace(trace_id="b", values=(GivenValue("clerk_tone", 1),))
    gold = {"a": {"clerk_tone": True}, "b": {"clerk_tone": False}}
    assert people.gold_score([left_open], gold) == (0, None, None)
    assert people.gold_score([left_open, decided], gold) == (1, 0.0, 0.0)
    [pair] = people.pairs([left_open, decided._replace(trace_id="a", reviewer="bob")], ["ann", "bob"])
    assert (pair.shared, pair.agree) == (1, None)
