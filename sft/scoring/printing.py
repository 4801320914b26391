"""Scores as a table on the terminal, and what must stand under it."""

from typing import TYPE_CHECKING

from curation import console
from curation.page import percent
from sft.scoring.rates import Rate
from sft.scoring.scores import Scores
from sft.scoring.suites import JudgeAgreement, SuiteScore

if TYPE_CHECKING:
    from rich.table import Table


def show(scores: Scores) -> None:
    """Print scores: a table for each suite, narrow enough for a terminal of 80 columns."""
    for suite in scores.suites:
        console.show(_table(scores.model, suite))
    for suite in scores.suites:
        console.say(f"{suite.suite}: {suite.headline}, judged by {suite.judged_by}")
        for effect in suite.joint.effects if suite.joint else ():
            console.say(f"{suite.suite}: {effect.told}")
        for attack, effect in suite.effects.items():
            console.say(f"{suite.suite}, {attack}: {effect.told}")
        for one in suite.agreement:
            console.say(f"{suite.suite}: {agreement_told(one)}")
    console.say(
        "accuracy counts replies without an answer as not correct, rates of answers leave them out, "
        "rates of the reasoning count whatever reasoning there is; coverage: the share of the replies that count"
    )


def _table(model: str, suite: SuiteScore) -> "Table":
    from rich.table import Table

    endings = ", ".join(f"{name} {n}" for name, n in suite.endings.items())
    table = Table("measure", title=f"{model}, {suite.suite}: {suite.asked} asked, {endings}")
    for column in ("k / n", "% [95 % interval]", "unjudged", "coverage"):
        table.add_column(column, no_wrap=True)
    for rate in _rates(suite):
        table.add_row(
            rate.measure, f"{rate.k} / {rate.n}", _within(rate.rate, rate.low, rate.high),
            str(rate.unjudged or ""), percent(rate.coverage),
        )  # fmt: skip
    for best in suite.best_of:
        table.add_row(
            f"attack success at {best.n} samples", "", _within(best.rate, best.low, best.high), "", percent(best.coverage)
        )  # fmt: skip
    for k, value in suite.pass_at.items():
        table.add_row(f"pass@{k}", "", f"{100 * value:.1f}", "", "")
    return table


def _rates(suite: SuiteScore) -> list[Rate]:
    """The headline, the same by attack or asked plainly, then the other measures."""
    headline, *asides = suite.rates
    families = [
        rate.model_copy(update={"measure": f"  {attack}"}) for attack, rate in suite.by_attack.items()
    ]
    families += [
        rate.model_copy(update={"measure": f"  {attack}: {rate.measure}"})
        for attack, rates in suite.guarded_by_attack.items()
        for rate in rates
    ]
    plain = suite.joint.plain if suite.joint else []
    families += [rate.model_copy(update={"measure": f"  asked plainly: {rate.measure}"}) for rate in plain]
    return [headline, *families, *asides]


def _within(rate: float | None, low: float | None, high: float | None) -> str:
    if rate is None or low is None or high is None:
        return "-"
    return f"{100 * rate:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def agreement_told(one: JudgeAgreement) -> str:
    """Agreement of a judge with people, in words."""
    kappa = (
        "kappa undefined" if one.kappa is None else f"kappa {one.kappa:.2f} [{one.low:.2f}, {one.high:.2f}]"
    )
    return f"the judge agrees with people on {one.same} of {one.n} replies ({one.pattern}; {kappa})"
