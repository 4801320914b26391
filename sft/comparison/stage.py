"""`sft compare`: models on the same prompts, with intervals, and which differences are not significant.

Reads the scores.json and outcomes.jsonl of `sft score`, which contain no prompt text, so nothing needs masking. Every pair of
models is compared prompt by prompt, all samples counted (exact permutation test), corrected for all tests of the table (Holm).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import orjson

from curation.reading import near, read_model
from schemas.errors import CorpusError, DataError
from schemas.faults import reason
from schemas.patterns import RISKY_PATTERNS
from sft.comparison.judges import (
    headline_of,
    same_judge,
    shared_judges,
    silent_of_one,
    together,
    told_unread,
    unread_by_classifier,
)
from sft.comparison.results import (
    ALPHA,
    Cell,
    Change,
    Column,
    Comparison,
    Difference,
    JointResult,
    ScoredModel,
)
from sft.scoring.judging import RULES
from sft.scoring.measures import MEASURES
from sft.scoring.rates import in_order
from sft.scoring.scores import OUTCOMES, SCORES, Scores
from sft.scoring.statistics import (
    Interval,
    Paired,
    holm,
    minimum_detectable_effect,
    paired,
    paired_difference,
)
from sft.scoring.suites import NOBODY, Rate, ReplyOutcome, SuiteScore, rate_of

UNEVEN = 0.05
"""A difference in coverage above which worst-case bounds are told."""
OLD = {"safety": ("ASR", True), "overrefusal": ("over-refusal", False), "reasoning": ("accuracy", False)}
"""Titles of the suites in files of earlier versions, and whether every attack has a column."""
ASIDE = ("leak", "escape")
"""Measures with a column beside that of a harmful suite's headline, where a guard judged."""
CELLS = ("unchanged_harmed", "unchanged_unharmed", "changed_harmed", "changed_unharmed")
"""The four outcomes of a joint suite."""


AGAIN = "score both the same way to compare them"
JUDGE_AGAIN = "score the one with the older or weaker judge again to compare them (its replies are kept, nothing is generated), or both with the same --annotators"
RULES_AGAIN = f"the refusal classifier can read no reply of one of them: score both with --annotators {','.join(RULES)} (replies are kept)"
Labels = dict[str, Fraction]
"""prompt -> rate over all its samples that count."""


def load(
    folders: Sequence[Path], names: Sequence[str] = (), unread_allowed: bool = False
) -> list[ScoredModel]:
    """Read the scores in some folders.

    Args:
        folders: of runs, or written by `sft score --out`.
        names: names of the models; by default the folders' names.
        unread_allowed: also models of which the refusal classifier of the others can read no reply; only `compare` keeps their labels apart.

    Raises:
        DataError: naming every folder without scores, or with other sampling or judges than the rest.
    """
    if names and len(names) != len(folders):
        raise DataError(f"{len(names)} names for {len(folders)} models; give each one or leave the names out")
    models, faults = [], []
    for number, folder in enumerate(folders):
        try:
            scores = read_model(folder / SCORES, Scores)
            lines = (folder / OUTCOMES).read_bytes().splitlines()
            outcomes = [ReplyOutcome(**orjson.loads(line)) for line in lines]
        except (OSError, ValueError, TypeError, CorpusError) as error:
            why = f"has no scores ({reason(error)})"
            if isinstance(error, FileNotFoundError):
                why = "has no scores" if folder.exists() else f"no such folder{near(folder)}"
            faults.append(f"{folder}: {why}; make them with: sft score {folder} --corpus EVAL")
            continue
        models.append(ScoredModel(names[number] if names else folder.name, scores, outcomes))
    if len({one.name for one in models}) < len(models):
        faults.append("two folders have the same name; set --names")
    for one in models[1:]:
        faults += [
            f"{one.name}: {fault}"
            for fault in _differing(one.scores, models[0].scores, models[0].name, unread_allowed)
        ]
    if faults:
        raise DataError("\n".join(faults))
    return models


def compare(models: Sequence[ScoredModel], base: str | None = None) -> Comparison:
    """Compare models.

    Args:
        models: the models.
        base: name of the baseline model.

    Raises:
        DataError: if there is no model of that name.
    """
    if base is not None and base not in [one.name for one in models]:
        raise DataError(f"--base {base}: no such model; choose from {', '.join(one.name for one in models)}")
    details: dict[str, Column] = {}
    for column in (column for one in models for column in _columns(one)):
        known = details.get(column.name)
        if known is None or known.judge == NOBODY:
            details[column.name] = column
        elif column.judge != NOBODY:
            details[column.name] = known._replace(judge=together(known.judge, column.judge))
    columns = list(details)
    tested = [name for name, column in details.items() if column.kind != "aside"]
    sliced = {one.name: {name: details[name].of(one.outcomes) for name in columns} for one in models}
    table = {
        one.name: [Cell(name, _rate(sliced[one.name][name], details[name])) for name in columns]
        for one in models
    }
    measures = {name: column.measure for name, column in details.items()}
    unread = unread_by_classifier(models)
    labels = {
        one.name: {
            name: {}
            if one.name in unread.get(details[name].suite, ())
            else _labels(sliced[one.name][name], measures[name])
            for name in columns
        }
        for one in models
    }
    return Comparison(
        [one.name for one in models],
        columns,
        table,
        _differences(tested, labels, {one: dict(cells) for one, cells in table.items()}),
        [flip for name in tested for flip in _flips(name, sliced, labels)],
        _categories(models, unread),
        _patterns(models),
        base,
        [change for name in tested for change in _changes(name, base, labels)] if base else [],
        details,
        joint=_joint(models),
        shared=[*shared_judges(models), *told_unread(models, unread)],
        unread={name: unread[column.suite] for name, column in details.items() if column.suite in unread},
        best_of={
            one.name: {suite.title: suite.best_of for suite in one.scores.suites if suite.best_of}
            for one in models
        },
    )


def _differing(one: Scores, other: Scores, name: str, unread_allowed: bool) -> Iterator[str]:
    """What was asked or judged in another way than of the other model, suite by suite where both were asked the same suite."""
    yield from (
        f"{field} differs from {name}; {AGAIN}"
        for field in ("sampling", "samples", "think")
        if getattr(one, field) != getattr(other, field)
    )
    others = {suite.suite: suite for suite in other.suites}
    for suite in one.suites:
        known = others.get(suite.suite)
        if known is None:
            continue
        if not (suite.judge and known.judge) and one.judge != other.judge:
            yield f"judge differs from {name} ({one.judge}, there {other.judge}); {AGAIN}"
            return
        silent = silent_of_one(one, suite, other, known)
        if not (same_judge(suite, known) or (silent and unread_allowed)):
            judges = (
                f"{headline_of(suite)} by {suite.judge}, there {headline_of(known)} by {known.judge}"
                if headline_of(suite) != headline_of(known)
                else f"{suite.judge}, there {known.judge}"
            )
            yield f"{suite.suite}: judge differs from {name} ({judges}); {RULES_AGAIN if silent else JUDGE_AGAIN}"
        if suite.asked_how != known.asked_how:
            yield f"{suite.suite}: how it was asked differs from {name}; {AGAIN}"


def _changes(column: str, base: str, labels: dict[str, dict[str, Labels]]) -> Iterator[Change]:
    before = labels[base][column]
    for name in labels:
        after = labels[name][column]
        shared = sorted(before.keys() & after.keys())
        if name != base and shared:
            pair = paired([before[key] for key in shared], [after[key] for key in shared])
            yield Change(column, name, pair.difference, paired_difference(pair))


def _columns(one: ScoredModel) -> Iterator[Column]:
    """The columns of the table: every suite's headline, by attack where the suite says so, and leaks and escapes beside it."""
    for suite in one.scores.suites:
        title, split = (suite.title, suite.split) if suite.title else OLD[suite.suite]
        headline = headline_of(suite)
        attacks = in_order(o.attack for o in one.outcomes if o.suite == suite.suite)
        told = {rate.measure for rate in suite.rates}
        for attack in attacks if split else [None]:
            name = f"{title} {attack}" if attack else title
            yield Column(name, suite.suite, attack, headline, suite.judge, _kind(headline))
            for aside in _asides(suite):
                measure = MEASURES[aside].title
                if measure in told and measure != headline:
                    place = name.removeprefix("ASR ") if split else name
                    beside = f"{aside.replace('_', ' ')} {place}"
                    yield Column(beside, suite.suite, attack, measure, suite.judge, "aside")


def _asides(suite: SuiteScore) -> tuple[str, ...]:
    if suite.joint is None:
        return ASIDE
    return ("answer_unchanged", *(name for name in (suite.joint.harmed,) if name in MEASURES))


def _joint(models: Sequence[ScoredModel]) -> dict[str, dict[str, JointResult]]:
    titles = [MEASURES[name].title for name in CELLS]
    found: dict[str, dict[str, JointResult]] = {}
    for one in models:
        for suite in one.scores.suites:
            if suite.joint:
                told = {rate.measure: rate for rate in suite.rates}
                cells = [Cell(title, told.get(title)) for title in titles]
                effects = [effect.told for effect in suite.joint.effects]
                found.setdefault(suite.title, {})[one.name] = JointResult(cells, effects)
    return found


def _kind(measure: str) -> str:
    kinds = {MEASURES["refuses"].title: "refusal", MEASURES["accuracy"].title: "accuracy"}
    return kinds.get(measure, "attack")


def rate_in(one: ScoredModel, column: Column) -> Rate | None:
    """A model's rate in a column; null if it was not scored on it."""
    return _rate(column.of(one.outcomes), column)


def _rate(outcomes: Sequence[ReplyOutcome], column: Column) -> Rate | None:
    return rate_of(column.measure, outcomes) if outcomes else None


def _labels(outcomes: Sequence[ReplyOutcome], measure: str) -> Labels:
    labels: dict[str, list[Fraction]] = {}
    for outcome in outcomes:
        label = outcome.measures.get(measure)
        if label is not None:
            labels.setdefault(outcome.prompt_id, []).append(Fraction(label).limit_denominator(1000))
    return {key: sum(samples, Fraction(0)) / len(samples) for key, samples in labels.items()}


def _differences(
    columns: Sequence[str],
    labels: dict[str, dict[str, Labels]],
    rates: dict[str, dict[str, Rate | None]],
) -> list[Difference]:
    pairs: dict[tuple[str, str, str], Paired] = {}
    for column in columns:
        for first, second in combinations(labels, 2):
            of_both = [labels[name][column] for name in (first, second)]
            shared = sorted(of_both[0].keys() & of_both[1].keys())
            if shared:
                pairs[column, first, second] = paired(*([one[key] for key in shared] for one in of_both))
    corrected = holm({key: pair.p for key, pair in pairs.items()})
    return [
        Difference(
            column, first, second, pair, corrected[column, first, second],
            minimum_detectable_effect(pair, len(pairs), alpha=ALPHA),
            *_coverage([rates[name][column] for name in (first, second)]),
        )
        for (column, first, second), pair in pairs.items()
    ]  # fmt: skip


def _coverage(rates: Sequence[Rate | None]) -> tuple[tuple[float, float], Interval | None]:
    first, second = (
        (rate.coverage or 0.0, rate.k / rate.asked, (rate.k + rate.asked - rate.n) / rate.asked)
        if rate and rate.asked
        else (0.0, 0.0, 1.0)
        for rate in rates
    )
    uneven = abs(first[0] - second[0]) > UNEVEN
    bounds = Interval(second[1] - first[2], second[2] - first[1]) if uneven else None
    return (first[0], second[0]), bounds


def _flips(
    column: str, sliced: dict[str, dict[str, list[ReplyOutcome]]], labels: dict[str, dict[str, Labels]]
) -> Iterator[dict[str, Any]]:
    known = {o.prompt_id: o for of_model in sliced.values() for o in of_model[column]}
    half = Fraction(1, 2)
    for key in sorted(known):
        rates = {name: of[column][key] for name, of in labels.items() if key in of[column]}
        yes, no = (
            [n for n, rate in rates.items() if rate > half],
            [n for n, rate in rates.items() if rate < half],
        )
        if yes and no:
            yield {
                "column": column,
                "prompt_id": key,
                "category": known[key].category,
                "attack": known[key].attack,
                "yes": yes,
                "no": no,
            }


def _harmful(one: ScoredModel) -> dict[str, str]:
    """The suites of harmful prompts, and their headlines."""
    return {
        suite.suite: headline_of(suite)
        for suite in one.scores.suites
        if suite.harmful or (not suite.title and suite.suite == "safety")
    }


def _categories(
    models: Sequence[ScoredModel], unread: Mapping[str, Collection[str]]
) -> dict[str, dict[str, Rate]]:
    rates: dict[str, dict[str, Rate]] = {}
    for one in models:
        suites = {key: name for key, name in _harmful(one).items() if one.name not in unread.get(key, ())}
        # one name for headlines of different suites
        safety = [
            o._replace(measures={"": o.measures.get(suites[o.suite])})
            for o in _once(one.outcomes, suites)
            if o.category
        ]
        for category in sorted({str(o.category) for o in safety}):
            of_category = [o for o in safety if o.category == category]
            rates.setdefault(category, {})[one.name] = rate_of("", of_category)
    return rates


def _once(outcomes: Sequence[ReplyOutcome], suites: Collection[str]) -> list[ReplyOutcome]:
    """The replies of some suites, each once, though its prompt may be in several."""
    return list({(o.prompt_id, o.sample): o for o in outcomes if o.suite in suites}.values())


def _patterns(models: Sequence[ScoredModel]) -> dict[str, list[Cell]]:
    titles = {name: MEASURES[name].title for name in RISKY_PATTERNS}
    found = {}
    for one in models:
        replies = [o for o in _once(one.outcomes, _harmful(one)) if set(titles.values()) & set(o.measures)]
        found[one.name] = [
            Cell(title.removesuffix(" in the reasoning"), rate_of(title, replies))
            for title in titles.values()
            if replies
        ]
    return found
