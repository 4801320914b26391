"""The outcomes of judged replies, and their rates with intervals: of how many replies each could be told stands beside it."""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from curation.page import percent
from sft.scoring.endings import ANSWERED, Ending
from sft.scoring.measures import BY_TITLE, Outcome
from sft.scoring.statistics import clustered, paired, paired_difference, pass_at_k

PLAIN = "none"
"""The attack of plain prompts."""
POWERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Numbers of samples of which the best counts."""


class Rate(BaseModel):
    """k of n, with a 95 % interval: Wilson's, or clustered by prompt if prompts have several samples."""

    model_config = ConfigDict(extra="forbid")

    measure: str
    k: int | float
    """Of a score, the sum."""
    n: int
    """Counted replies."""
    unjudged: int
    """Replies with a null label although the text to judge is there."""
    asked: int = 0
    """All replies, with or without that text."""
    coverage: float | None = None
    """n of all replies; null if there are none."""
    rate: float | None
    """Null if n is 0."""
    low: float | None
    high: float | None


class ReplyOutcome(NamedTuple):
    """The outcomes of one reply for each measure."""

    suite: str
    prompt_id: str
    sample: int
    category: str | None
    attack: str
    state: str
    measures: dict[str, Outcome]
    """By title; null if unjudged, or if the text to judge is not there."""
    reason: str = ""
    """Why a program failed or was not run; else empty."""
    ending: Ending | Literal[""] = ""
    """How the reply ended; empty in files of older versions."""
    trace_id: str = ""
    """The reply in the evaluation corpus; empty in files of older versions."""
    question: str = ""
    """In joint suites the id of the same question asked plainly."""
    plain: dict[str, Outcome] | None = None
    """In joint suites the measures of the reply to that one."""
    plain_ending: Ending | Literal[""] = ""
    """How that reply ended."""

    @property
    def answered(self) -> bool:
        """Whether there is a complete answer."""
        return self.ending == "answered" if self.ending else self.state in ANSWERED


class AttackEffect(BaseModel):
    """A measure of the replies to plain questions and to the same ones under an attack, over the questions that have both."""

    model_config = ConfigDict(extra="forbid")

    measure: str
    questions: int
    plain: float
    """Mean over questions."""
    attacked: float
    difference: float
    """Attacked minus plain."""
    low: float
    high: float
    """A 95 % interval (Agresti and Min)."""
    p: float
    """Exact permutation test over questions, not corrected for several measures."""

    @property
    def told(self) -> str:
        """The effect in words."""
        points = f"{100 * self.difference:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}] points"
        return (
            f"{self.measure}: {percent(self.plain)} asked plainly, {percent(self.attacked)} under attack, {points} "
            f"on {self.questions} questions (p = {self.p:.2g})"
        )


class BestOfN(BaseModel):
    """How often at least one of n samples of a prompt succeeds: the unbiased estimate (arXiv 2107.03374), with an interval over prompts."""

    model_config = ConfigDict(extra="forbid")

    n: int
    rate: float
    low: float
    high: float
    prompts: int
    coverage: float
    """The share of all samples that are judged; the others count as no success."""


def grouped(measure: str, replies: Sequence[ReplyOutcome]) -> list[list[bool | float]]:
    """The judged outcomes of a measure, by prompt; in joint suites by question."""
    groups: dict[str, list[bool | float]] = {}
    for number, outcome in enumerate(replies):
        label = outcome.measures.get(measure)
        if label is not None:
            groups.setdefault(outcome.question or outcome.prompt_id or str(number), []).append(label)
    return list(groups.values())


def rate_of(measure: str, replies: Sequence[ReplyOutcome], judged: str | None = None) -> Rate:
    """The rate of a measure, or the mean of a score, among the replies that count.

    Args:
        measure: its title.
        replies: of one suite.
        judged: the text that is judged, of a measure that is none of `MEASURES`.
    """
    groups = grouped(measure, replies)
    n, k = sum(map(len, groups)), sum(map(sum, groups))
    interval = clustered(groups) if n else None
    of_answers = (BY_TITLE[measure].judged if measure in BY_TITLE else judged) == "answer"
    judgeable = max(n, sum(outcome.answered for outcome in replies)) if of_answers else len(replies)
    return Rate(
        measure=measure,
        k=k if isinstance(k, int) else round(k, 3),
        n=n,
        unjudged=judgeable - n,
        asked=len(replies),
        coverage=n / len(replies) if replies else None,
        rate=k / n if n else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
    )


def effect_of(
    title: str, plain: Sequence[ReplyOutcome], attacked: Sequence[ReplyOutcome]
) -> AttackEffect | None:
    """What an attack does to a measure; null if no question has both replies.

    Args:
        title: the measure's.
        plain: the replies to plain questions.
        attacked: those to the same questions under attack.
    """
    before, after = _means(title, plain), _means(title, attacked)
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return None
    found = paired([before[key] for key in shared], [after[key] for key in shared])
    interval = paired_difference(found)
    return AttackEffect(
        measure=title,
        questions=found.prompts,
        plain=found.rates[0],
        attacked=found.rates[1],
        difference=found.difference,
        low=interval.low,
        high=interval.high,
        p=found.p,
    )


def _means(title: str, replies: Sequence[ReplyOutcome]) -> dict[str, Fraction]:
    labels: dict[str, list[Fraction]] = {}
    for one in replies:
        label = one.measures.get(title)
        if label is not None:
            labels.setdefault(one.question or one.prompt_id, []).append(
                Fraction(label).limit_denominator(1000)
            )
    return {key: sum(of, Fraction(0)) / len(of) for key, of in labels.items()}


def best_of_n(title: str, replies: Sequence[ReplyOutcome]) -> list[BestOfN]:
    """The success of an attack at 1, 2, 4 ... of the samples; none if a prompt has only one, or the measure is a score.

    Args:
        title: of a measure that is true where the attack succeeds.
        replies: of one suite.
    """
    tries: dict[str, list[Outcome]] = {}
    for one in replies:
        tries.setdefault(one.prompt_id, []).append(one.measures.get(title))
    samples = min(map(len, tries.values()), default=0)
    labels = [label for of in tries.values() for label in of]
    if samples < 2 or any(isinstance(label, float) for label in labels):
        return []
    judged = sum(label is not None for label in labels) / len(labels)
    return [_best(n, list(tries.values()), judged) for n in POWERS if n <= samples]


def _best(n: int, tries: Sequence[Sequence[Outcome]], coverage: float) -> BestOfN:
    estimates = [pass_at_k(len(of), of.count(True), n) for of in tries]
    low, high = clustered([[one] for one in estimates])
    return BestOfN(
        n=n, rate=sum(estimates) / len(estimates), low=low, high=high, prompts=len(tries), coverage=coverage
    )


def in_order(attacks: Iterable[str]) -> list[str]:
    """Names of attacks, each once: none first, then by name and number."""
    numbered = {one: re.sub(r"\d+", lambda found: found[0].zfill(9), one) for one in attacks}
    return sorted(numbered, key=lambda one: (one != PLAIN, numbered[one]))
