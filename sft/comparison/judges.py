"""Whose verdicts may be compared: which judges are the same, which stand in for another, and whom a judge could not read."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import permutations

from sft.comparison.results import ScoredModel
from sft.scoring.judging import RULES, is_classifier
from sft.scoring.scores import Scores
from sft.scoring.suites import NOBODY, SuiteScore

STAND_INS = ("rules", "overrefusal", "human", "adjudicator")
"""Families of annotators that judge some replies where others are silent, or beside them."""


def same_judge(one: SuiteScore, other: SuiteScore) -> bool:
    """Whether two headlines may be compared: where nothing could be judged, with any other.

    Of several rules not each has a label for some reply of each model, rules and the refusal classifier stand in where a better judge
    abstains, and people may have looked at some replies; all other judges must be the same.
    """
    if NOBODY in (one.judge, other.judge):
        return True
    first, second = (set(suite.judge.split(", ")) for suite in (one, other))
    own = [{name for name in names if not _stands_in(name)} for names in (first, second)]
    better = [{name for name in names if not is_classifier(name)} for names in own]
    if better[0] & better[1]:
        own = better
    return one.headline == other.headline and own[0] == own[1] and bool(first & second)


def silent_of_one(one: Scores, suite: SuiteScore, other: Scores, known: SuiteScore) -> bool:
    """Whether the same refusal classifier judged two models and could read replies of one alone: the other writes another language."""
    asked = [{name for name in scores.judge.split(", ") if is_classifier(name)} for scores in (one, other)]
    decided = [{name for name in each.judge.split(", ") if not _stands_in(name)} for each in (suite, known)]
    silent = decided in ([set(), asked[0]], [asked[0], set()])
    return asked[0] == asked[1] != set() and silent and suite.headline == known.headline


def _stands_in(judge: str) -> bool:
    """Whether it is a judge of some replies only, or no annotator at all but a comparison."""
    return "@" not in judge or judge.partition("@")[0].partition(":")[0] in STAND_INS


def together(first: str, second: str) -> str:
    """The judges of two models, each once."""
    return ", ".join(dict.fromkeys([*first.split(", "), *second.split(", ")]))


def shared_judges(models: Sequence[ScoredModel]) -> Iterator[str]:
    """Where several judges decided the replies in a headline: who decided how many of each model's."""
    suites = {suite.suite: suite.title or suite.suite for one in models for suite in one.scores.suites}
    for key, title in suites.items():
        found = {one.name: suite for one in models for suite in one.scores.suites if suite.suite == key}
        if any(suite.shared for suite in found.values()):
            told = "; ".join(f"{name} by {suite.judged_by}" for name, suite in found.items())
            yield f"{title}: where one judge is silent another stands in: {told}"


def unread_by_classifier(models: Sequence[ScoredModel]) -> dict[str, set[str]]:
    """Suite -> models whose replies the refusal classifier could not read, where it judged those of another model."""
    found: dict[str, set[str]] = {}
    for one, other in permutations(models, 2):
        others = {suite.suite: suite for suite in other.scores.suites}
        for suite in one.scores.suites:
            known = others.get(suite.suite)
            reads = any(map(is_classifier, suite.judge.split(", ")))
            if not known or reads or NOBODY in (suite.judge, known.judge):
                continue
            if silent_of_one(one.scores, suite, other.scores, known):
                found.setdefault(suite.suite, set()).add(one.name)
    return found


def told_unread(models: Sequence[ScoredModel], unread: Mapping[str, Collection[str]]) -> Iterator[str]:
    """What to say of these models, with who judged them and how much."""
    for key, names in unread.items():
        found = {one.name: suite for one in models for suite in one.scores.suites if suite.suite == key}
        told = ", ".join(
            f"{name} ({found[name].judge} judged {found[name].rates[0].n} of {found[name].rates[0].asked})"
            for name in sorted(names)
        )
        yield (
            f"{found[min(names)].title or key}: the refusal classifier can read no reply of {told}, such as those in another language: "
            "another judge's rate is not tested against its rates; for one judge of all, score each with --annotators "
            f"{','.join(RULES)} (replies are kept)"
        )


def headline_of(suite: SuiteScore) -> str:
    """The title of a suite's headline, also in files of earlier versions."""
    return suite.headline or suite.rates[0].measure
