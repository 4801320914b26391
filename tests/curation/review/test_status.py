"""How far a round is and what its reviewers make of it, from hand-made reviews."""

import pytest

from curation import console
from curation.review import reviews, status
from curation.review.planning.team import Team
from curation.review.reviews import Review
from curation.review.rounds import ReviewTask, Round, RoundRecipe
from curation.review.status import Label
from schemas.patterns import RISKY_PATTERNS

WEAK = "weak_vacillation"
ROUND = Round(RoundRecipe(name="r", overlap=2), [ReviewTask(f"t{i}", "audit", i < 2) for i in range(4)])


def review(trace: str, who: str, label: bool = True, at: str = "00:00", status: str = "submitted") -> Review:
    patterns = (WEAK,) if label else ("none",)
    return reviews.checked(
        Review("r", trace, who, f"2026-01-01T{at}:00+00:00", status, "keep", patterns, (), None)
    )


def labels(given: list[Review], suggested: bool | None = True) -> list[Label]:
    return [
        Label(r.trace_id, WEAK, f"human:{r.reviewer}", WEAK in r.patterns, suggested)
        for r in given
        if r.status == "submitted"
    ]


def found(given: list[Review], suggested: bool | None = True) -> status.Status:
    return status.status(ROUND, given, labels(given, suggested))


def test_progress_counts_the_latest_version_of_each_review() -> None:
    given = [
        review("t0", "ann"), review("t0", "bob"), review("t1", "ann", at="00:01"),
        review("t1", "ann", at="00:09", status="discarded"), review("t2", "ann", status="draft"),
    ]  # fmt: skip
    state = found(given)
    ann, bob = state.reviewers
    assert (state.traces, state.complete) == (4, 1)
    assert (ann.submitted, ann.draft, ann.discarded, ann.pending) == (1, 1, 1, 1)
    assert (bob.submitted, bob.pending) == (1, 3)


def test_a_trace_that_is_full_waits_for_nobody() -> None:
    state = found([review("t0", "ann"), review("t0", "bob"), review("t1", "cyd")])
    assert {person.reviewer: person.pending for person in state.reviewers} == {"ann": 3, "bob": 3, "cyd": 2}


def test_blind_and_suggested_agreement_are_told_apart() -> None:
    # t0 and t1 are blind; everyone says what the machine says only where they could see it
    given = [review("t0", "ann", False), review("t1", "ann", False), review("t2", "ann"), review("t3", "ann")]
    row = next(row for row in found(given).patterns if row.pattern == WEAK)
    assert (row.with_suggestion, row.blind) == (1.0, 0.0)


def test_without_a_machine_there_is_nothing_to_be_swayed_by() -> None:
    row = next(row for row in found([review("t0", "ann")], suggested=None).patterns if row.pattern == WEAK)
    assert (row.with_suggestion, row.blind) == (None, None)


def test_agreement_is_of_people_on_shared_traces() -> None:
    given = [review(f"t{i}", who, label=i % 2 == 0) for i in range(4) for who in ("ann", "bob")]
    row = next(row for row in found(given).patterns if row.pattern == WEAK)
    assert (row.agreement.alpha, row.agreement.units, row.true, row.false) == (1.0, 4, 4, 4)


@pytest.mark.parametrize(
    ("minutes", "seconds"),
    [([0, 1, 2, 3], 60), ([0, 1, 3, 4], 60), ([0, 1, 2, 3, 300, 301], 60), ([0, 1], None), ([], None), ([0, 2, 4, 6], 120)],
)  # fmt: skip
def test_time_per_trace_is_the_median_gap_without_breaks(minutes: list[int], seconds: float | None) -> None:
    moments = [f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00" for minute in minutes]
    assert status.seconds_per_trace(moments) == seconds


def test_an_empty_round_has_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    status.show(found([]))
    assert "0 of 4 traces have 2 reviews; verdicts: none yet" in capsys.readouterr().out
    assert console.plain(found([]))["patterns"][0]["agreement"]["alpha"] is None


def test_everybody_of_the_team_is_there_from_the_start_with_what_is_assigned_to_them() -> None:
    team = Team(("ann", "bob", "cyd@x"), {"t0": ("ann", "bob"), "t1": ("ann", "cyd@x"), "t2": ("bob",)})
    state = status.status(ROUND._replace(team=team), [review("t0", "ann"), review("t3", "bob")], [])
    # t3 is in no plan, and open: whoever has not answered it may
    assert {p.reviewer: (p.submitted, p.pending) for p in state.reviewers} == {
        "ann": (1, 2), "bob": (1, 2), "cyd_at_x": (0, 2),
    }  # fmt: skip


def test_disputes_are_listed_and_gold_is_scored(capsys: pytest.CaptureFixture[str]) -> None:
    gold = [
        ReviewTask("t0", "gold", False, {name: name == WEAK for name in RISKY_PATTERNS}),
        *ROUND.tasks[1:],
    ]
    given = [review("t0", "ann"), review("t0", "bob", False), review("t1", "ann"), review("t1", "bob")]
    state = status.status(ROUND._replace(tasks=gold), given, labels(given))
    assert {p.reviewer: p.gold[:2] for p in state.reviewers} == {"ann": (1, 1.0), "bob": (1, 0.8)}
    assert [(d.trace_id, d.patterns) for d in state.disputes] == [("t0", (WEAK,))]
    status.show(state)
    told = capsys.readouterr().out
    assert "1 disputed, 0 of them decided" in told and "t0: Weak vacillation (ann, bob)" in told
