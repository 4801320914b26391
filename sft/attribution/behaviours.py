"""What rows are ranked for: replies of scored models that show a behaviour, against replies that do not.

A behaviour is a weighted set of replies: +1 in all for those with the measure, -1 in all for those without. Its gradient is the one of the
difference of their losses, in which what every reply of the model has in common (language, format) falls away.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curation import console
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from schemas.choices import meant
from schemas.errors import DataError, UsageError
from schemas.ids import content_id
from sft.comparison import stage as comparison
from sft.comparison.judges import headline_of
from sft.comparison.results import ScoredModel
from sft.scoring.measures import MEASURES
from sft.scoring.suites import ReplyOutcome


class Replied(NamedTuple):
    """One reply and what it counts."""

    prompt: str
    reasoning: str
    answer: str
    weight: float
    turns: Sequence[Mapping[str, Any]] | None = None
    tools: str | None = None


class Behaviour(NamedTuple):
    """Replies that show a behaviour, and others that do not."""

    name: str
    replies: tuple[Replied, ...]

    @property
    def sides(self) -> tuple[int, int]:
        """How many replies show it, and how many do not."""
        return sum(one.weight > 0 for one in self.replies), sum(one.weight < 0 for one in self.replies)


class BehaviourChoice(NamedTuple):
    """Which outcomes are meant."""

    suite: str | None = None
    """Null: every suite that was scored, a behaviour each."""
    measure: str | None = None
    """The name of a measure; the suite's headline if null."""
    category: str | None = None
    prompt_id: str | None = None
    limit: int = 100
    """At most so many replies on either side, drawn by hash."""


def behaviours(
    scored: Path, evaluation: Path, wanted: BehaviourChoice, other: Path | None = None
) -> list[Behaviour]:
    """Read the behaviours from outcomes, and the texts of their replies from the evaluation corpus.

    Args:
        scored: a run, or a folder written by `sft score --out`.
        evaluation: the corpus that it was scored on.
        wanted: which outcomes are meant.
        other: scores of another model: only prompts that flipped between the two.

    Raises:
        DataError: if there are no scores, the suite's prompts were asked behind a template or with a begun reasoning, no reply with an answer
            shows the behaviour, or the corpus lacks the replies.
        UsageError: if there is no such suite or measure.
    """
    models = comparison.load([scored] if other is None else [scored, other])
    chosen: dict[str, list[tuple[ReplyOutcome, float]]] = {}
    for suite, title in _measures(models, wanted).items():
        name = ":".join(filter(None, [suite, wanted.measure, wanted.category, wanted.prompt_id]))
        told = [_answered(_labelled(model, suite, title, wanted), name, model) for model in models]
        pooled = told[0] if other is None else _flipped(*told)
        if sides := _sides(pooled, wanted.limit):
            chosen[f"{name}:flips" if other else name] = sides
    if not chosen:
        raise DataError(
            f"{scored}: no reply with the measure among those asked for"
            + (f" on prompts that flipped against {other}" if other else "")
            + "; choose another --suite, --measure or --category (`sft compare` shows the rates)"
        )
    texts = _texts(evaluation, [one.trace_id for sides in chosen.values() for one, _ in sides])
    return [
        Behaviour(name, tuple(texts[one.trace_id]._replace(weight=weight) for one, weight in sides))
        for name, sides in chosen.items()
    ]


def _measures(models: Sequence[ScoredModel], wanted: BehaviourChoice) -> dict[str, str]:
    """The title of the measure of each suite that is meant and whose prompts were asked as rows are trained on."""
    if wanted.measure is not None and wanted.measure not in MEASURES:
        raise UsageError(
            f"--measure: {wanted.measure!r} is not one of {', '.join(MEASURES)}{meant(wanted.measure, MEASURES)}"
        )
    known = {suite.suite: suite for suite in models[0].scores.suites}
    if wanted.suite is not None and wanted.suite not in known:
        raise UsageError(
            f"--suite: {wanted.suite!r} was not scored; {', '.join(known)} were{meant(wanted.suite, known)}"
        )
    names = [wanted.suite] if wanted.suite else list(known)
    title = MEASURES[wanted.measure].title if wanted.measure else None
    asked_otherwise = _asked_otherwise(models, names)
    if asked_otherwise and (wanted.suite or len(asked_otherwise) == len(names)):
        raise DataError(f"{'; '.join(asked_otherwise.values())}; choose another --suite")
    for told in asked_otherwise.values():
        console.say(f"attribute: {told}; the suite is left out")
    return {name: title or headline_of(known[name]) for name in names if name not in asked_otherwise}


def _asked_otherwise(models: Sequence[ScoredModel], names: Sequence[str]) -> dict[str, str]:
    """The suites whose replies continue a text that is not kept with them, and what that is."""
    return {
        one.suite: f"{one.suite}: its replies were given behind a {what}, without which they cannot be looked at"
        for model in models
        for one in model.scores.suites
        if one.suite in names and one.asked_how
        if (what := "template" if one.asked_how.template else one.asked_how.prefixes and "begun reasoning")
    }


def _answered(
    labelled: Sequence[tuple[ReplyOutcome, bool]], name: str, model: ScoredModel
) -> list[tuple[ReplyOutcome, bool]]:
    """Those with a complete answer: a text that was cut off does not end as a row does."""
    kept = [(one, label) for one, label in labelled if one.answered]
    if lost := len(labelled) - len(kept):
        console.say(
            f"attribute: {name}: {lost} of {len(labelled)} replies of {model.name} have no complete answer and are left out"
        )
    return kept


def _labelled(
    model: ScoredModel, suite: str, title: str, wanted: BehaviourChoice
) -> list[tuple[ReplyOutcome, bool]]:
    """The judged replies that are meant, and whether they have the measure (a score from a half up)."""
    return [
        (one, float(label) >= 0.5)
        for one in model.outcomes
        if one.suite == suite
        and wanted.category in (None, one.category)
        and wanted.prompt_id in (None, one.prompt_id)
        and (label := one.measures.get(title)) is not None
    ]


def _flipped(
    ours: Sequence[tuple[ReplyOutcome, bool]], theirs: Sequence[tuple[ReplyOutcome, bool]]
) -> list[tuple[ReplyOutcome, bool]]:
    """Both models' replies to the prompts on which most of one's have the measure and most of the other's have not."""
    majority = [_majority(side) for side in (ours, theirs)]
    keys = {key for key in majority[0].keys() & majority[1].keys() if majority[0][key] != majority[1][key]}
    return [
        (one, label)
        for side, most in zip((ours, theirs), majority, strict=True)
        for one, label in side
        if one.prompt_id in keys and label == most[one.prompt_id]
    ]


def _majority(labelled: Iterable[tuple[ReplyOutcome, bool]]) -> dict[str, bool]:
    """What most replies to a prompt are; prompts with a tie are left out."""
    counts: dict[str, int] = {}
    for one, label in labelled:
        counts[one.prompt_id] = counts.get(one.prompt_id, 0) + (1 if label else -1)
    return {key: count > 0 for key, count in counts.items() if count}


def _sides(labelled: Sequence[tuple[ReplyOutcome, bool]], limit: int) -> list[tuple[ReplyOutcome, float]]:
    """At most `limit` replies of each side with weights that sum to 1 and -1; none where no reply has the measure."""
    drawn: dict[bool, list[ReplyOutcome]] = {True: [], False: []}
    for one, label in sorted(labelled, key=lambda pair: content_id([pair[0].prompt_id, pair[0].trace_id])):
        if len(drawn[label]) < limit:
            drawn[label].append(one)
    if not drawn[True]:
        return []
    signs = {True: 1.0, False: -1.0}
    return [(one, signs[label] / len(side)) for label, side in drawn.items() for one in side]


def _texts(evaluation: Path, trace_ids: Sequence[str]) -> dict[str, Replied]:
    query = "select * from traces where list_contains($ids, trace_id)"
    rows = select(open_tables(Store(evaluation)), query, {"ids": list(trace_ids)}).to_pylist()
    found = {row["trace_id"]: _reply(row) for row in rows}
    if missing := [key for key in trace_ids if key not in found]:
        raise DataError(
            f"{evaluation}: {len(missing)} of {len(trace_ids)} replies are not in this corpus; name the one that was scored, "
            "or score the run again (replies that are there are not generated again)"
        )
    return found


def _reply(row: Mapping[str, Any]) -> Replied:
    turns = row["turns"]
    if row["system"] and not any(turn["role"] == "system" for turn in turns or ()):
        question = turns or [{"role": "user", "content": row["prompt"]}]
        turns = [{"role": "system", "content": row["system"]}, *question]
    return Replied(row["prompt"], row["reasoning"], row["answer"], 0.0, turns, row["tools"])
