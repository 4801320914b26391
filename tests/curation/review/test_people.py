"""Agreement of pairs, of marked words, and with known labels, from hand-made reviews."""

from curation.review import people, reviews
from curation.review.reviews import Mark, Review

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
    assert people.gold_score(votes, {"a": (WEAK,), "b": (WEAK,)}) == (2, (5 / 5 + 3 / 5) / 2, 0.5)
    assert people.gold_score(votes, {}) == (0, None, None)
