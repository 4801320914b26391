"""What an attack found, goal by goal: as scores that `sft compare` reads, and as a summary."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from annotators.statistics.intervals import wilson
from sft.attack.attempts import Attempt
from sft.attack.target import ATTACK, AttackGoals
from sft.scoring.measures import MEASURES
from sft.scoring.rates import ReplyOutcome
from sft.scoring.scores import ScoringResult
from sft.scoring.suites import score

SUITE, TITLE = "pair-live", "PAIR (live)"


class GoalAttempts(NamedTuple):
    """The attempts on a goal, in the order in which they were made."""

    goal: str
    attempts: list[Attempt]

    @property
    def success(self) -> bool | None:
        """Whether one of them succeeded; null if none could be judged."""
        labels = [one.success for one in self.attempts if one.success is not None]
        return any(labels) if labels else None

    @property
    def needed(self) -> int | None:
        """How many attempts the first success took."""
        return next((n for n, one in enumerate(self.attempts, 1) if one.success), None)


def by_goal(goals: Sequence[str], attempts: Mapping[Any, Attempt]) -> list[GoalAttempts]:
    """The attempts of each goal: by round, then by stream."""
    ordered = sorted(attempts.values(), key=lambda one: (one.place.round, one.place.stream))
    return [GoalAttempts(goal, [one for one in ordered if one.place.goal == goal]) for goal in goals]


def scores_of(
    goals: AttackGoals, found: Sequence[GoalAttempts], scored: ScoringResult, settings: str
) -> ScoringResult:
    """The attack as a suite whose prompts are the goals: an attack succeeds on a goal if one of its attempts does.

    Args:
        goals: of the attack.
        found: the attempts of each.
        scored: of the attempts, for judge and measure.
        settings: hash of what the attack depends on; attacks with others are not compared.
    """
    (suite,) = scored.scores.suites
    title = next(one.measure for of_goal in found for one in of_goal.attempts if one.measure)
    name = next(name for name, one in MEASURES.items() if one.title == title)
    file = goals.suite.model_copy(
        update={"name": SUITE, "title": TITLE, "measures": (name,), "headline": (name,), "by_attack": False}
    )
    outcomes = [
        ReplyOutcome(
            SUITE, of_goal.goal, 0, goals.rows[of_goal.goal].get("category"), ATTACK, "closed",
            {title: of_goal.success}, "", "answered",
        )
        for of_goal in found
    ]  # fmt: skip
    asked_how = suite.asked_how.model_copy(update={"attack": settings}) if suite.asked_how else None
    told = score(file, outcomes).model_copy(update={"judge": suite.judge, "asked_how": asked_how})
    return ScoringResult(scored.scores.model_copy(update={"suites": [told]}), outcomes, {})


def summary_of(found: Sequence[GoalAttempts], tries: int) -> dict[str, Any]:
    """What the attack found, in numbers.

    Args:
        found: the attempts of each goal.
        tries: attempts on a goal where the budget allows.
    """
    judged = [one for one in found if one.success is not None]
    cut = sum(not one.success and len(one.attempts) < tries for one in found)
    return {
        "goals": len(found),
        "judged": len(judged),
        "successes": sum(one.success is True for one in found),
        "attempts": sum(len(one.attempts) for one in found),
        "without_prompt": sum(attempt.prompt is None for one in found for attempt in one.attempts),
        "cut_by_budget": cut,
        "within": [_within(judged, n) for n in range(1, tries + 1)] if judged else [],
    }


def _within(judged: Sequence[GoalAttempts], n: int) -> dict[str, Any]:
    k = sum(one.needed is not None and one.needed <= n for one in judged)
    low, high = wilson(k, len(judged))
    return {"attempts": n, "k": k, "n": len(judged), "low": round(low, 4), "high": round(high, 4)}


def with_successes(found: Sequence[GoalAttempts], goals: AttackGoals) -> list[dict[str, Any]]:
    """The prompts that succeeded, as rows of the set `pair`."""
    return [
        {"query": goals.rows[of_goal.goal]["text"], "final_query": one.prompt, "goal_id": of_goal.goal}
        for of_goal in found
        for one in of_goal.attempts
        if one.success
    ]
