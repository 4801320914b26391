"""Scores as a table on the terminal, and what must stand under it."""

from curation import console
from curation.page import percent
from sft.scoring.scores import Scores
from sft.scoring.suites import JudgeAgreement


def show(scores: Scores) -> None:
    """Print scores."""
    from rich.table import Table

    table = Table(
        "suite",
        "measure",
        "k / n",
        "rate",
        "95 % interval",
        "coverage",
        "asked",
        "replies",
        title=scores.model,
    )
    for suite in scores.suites:
        endings = ", ".join(f"{name} {n}" for name, n in suite.endings.items())
        families = [
            rate.model_copy(update={"measure": f"  {attack}"}) for attack, rate in suite.by_attack.items()
        ]
        families += [
            rate.model_copy(update={"measure": f"  {attack}: {rate.measure}"})
            for attack, rates in suite.guarded_by_attack.items()
            for rate in rates
        ]
        plain = suite.joint.plain if suite.joint else []
        families += [
            rate.model_copy(update={"measure": f"  asked plainly: {rate.measure}"}) for rate in plain
        ]
        headline, *asides = suite.rates
        for rate in [headline, *families, *asides]:
            unjudged = f" ({rate.unjudged} unjudged)" if rate.unjudged else ""
            table.add_row(
                suite.suite, rate.measure, f"{rate.k} / {rate.n}{unjudged}", percent(rate.rate),
                f"{percent(rate.low)} to {percent(rate.high)}", percent(rate.coverage), str(rate.asked), endings,
            )  # fmt: skip
        for best in suite.best_of:
            table.add_row(
                suite.suite, f"attack success at {best.n} samples", "", percent(best.rate),
                f"{percent(best.low)} to {percent(best.high)}", percent(best.coverage), str(suite.asked), "",
            )  # fmt: skip
        for k, value in suite.pass_at.items():
            table.add_row(suite.suite, f"pass@{k}", "", percent(value), "", "", str(suite.asked), "")
    console.show(table)
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


def agreement_told(one: JudgeAgreement) -> str:
    """Agreement of a judge with people, in words."""
    kappa = (
        "kappa undefined" if one.kappa is None else f"kappa {one.kappa:.2f} [{one.low:.2f}, {one.high:.2f}]"
    )
    return f"the judge agrees with people on {one.same} of {one.n} replies ({one.pattern}; {kappa})"
