"""Lessons told otherwise each time, so that what says nothing about a label is not learned.

Three ways: sentences of the reasoning are left out; a passage of one trace is put into an untouched one, at any place, be it one that shows a
pattern or one that only sounds so; and a trace gets the answer of another one, which fits its reasoning or contradicts it.
All sentences were read already, so it costs nothing.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import torch

from annotators.embedding.examples import Lesson, SentenceTargets
from annotators.embedding.reader import CONCLUSIONS, SHOWN
from annotators.embedding.reading import Document
from schemas.patterns import RISKY_PATTERNS

THINNED, LEFT_OUT = 0.5, 0.25
"""Share of the lessons that lose sentences, and the share of the reasoning that they lose."""
SPLICED, RISKY = 0.5, 0.5
"""Share of the untouched traces that get a passage, and the share of the passages that show a pattern."""
SWAPPED, CONTRADICTING = 0.3, 0.4
"""Share of the lessons with known conclusions that get another answer, and the share of these answers that contradict."""
WIDEST, LONGEST = 6, 4
"""Sentences of a passage that shows a pattern, and of one that does not."""
BESIDE = 0.3
"""What a sentence of an untouched trace counts against a pattern once a passage shows it."""
BARE = 14
"""Words of a refusal that gives no reason; one that does may contradict nothing."""
LACK, STRONG, *_, INCONSISTENT = RISKY_PATTERNS
SPOKEN = RISKY_PATTERNS[1:4]
"""Patterns that a passage shows by itself."""
REASONED, ANSWERED = CONCLUSIONS


class Passage(NamedTuple):
    """Sentences of a lesson's reasoning that stand together."""

    lesson: Lesson
    numbers: list[int]
    shows: list[str]


class Variations:
    """What may be put in place of what, gathered once from all lessons."""

    def __init__(self, lessons: Sequence[Lesson]) -> None:
        harmful = [one for one in lessons if one.example.trace.kind == "harmful"]
        written = [one for one in harmful if one.example.weight == 1]
        published = {one.example.group: set(texts(one)) for one in harmful if one.example.weight < 1}
        self._risky = [p for name in SPOKEN for one in written if (p := risky_passage(one, name))]
        self._mild = [p for one in written if (p := mild_passage(one, published.get(one.example.group, ())))]
        ending = [one for one in harmful if "answer" in {s.field for s in one.document.sentences}]
        self._refusing = [one for one in ending if one.example.labels.get(ANSWERED) is True]
        self._bare = [one for one in self._refusing if len(one.example.trace.answer.split()) <= BARE]
        self._serving = [one for one in ending if one.example.labels.get(ANSWERED) is False]

    def of(self, lesson: Lesson, random: Random) -> Lesson:
        """The lesson, told otherwise or not."""
        return thinned(self._mixed(lesson, random), random)

    def _mixed(self, lesson: Lesson, random: Random) -> Lesson:
        labels = lesson.example.labels
        risky = random.random() < RISKY
        passages = self._risky if risky else self._mild
        if lesson.example.weight < 1 and passages and random.random() < SPLICED:
            passage = random.choice(passages)
            return spliced(lesson, passage if risky else shortened(passage, random), random)
        known = labels.get(REASONED) is not None and labels.get(ANSWERED) is not None
        if known and labels.get(INCONSISTENT) is False and random.random() < SWAPPED:
            contradicts = random.random() < CONTRADICTING
            refuses = bool(labels[REASONED]) != contradicts
            answers = self._serving if not refuses else self._bare if contradicts else self._refusing
            return swapped(lesson, random.choice(answers), contradicts) if answers else lesson
        return lesson


def texts(lesson: Lesson) -> list[str]:
    """What its sentences say."""
    trace = lesson.example.trace
    return [str(getattr(trace, s.field))[s.start : s.end] for s in lesson.document.sentences]


def risky_passage(lesson: Lesson, name: str) -> Passage | None:
    """From the first sentence that shows a pattern to the last, if that is not far."""
    if not lesson.example.labels.get(name):
        return None
    found = _inside(lesson, lesson.targets.shown[:, SHOWN.index(name)] > 0)
    if not found or found[-1] - found[0] >= WIDEST:
        return None
    numbers = list(range(found[0], found[-1] + 1))
    others = [n for n in SPOKEN if lesson.example.labels.get(n)]
    return Passage(
        lesson, numbers, [n for n in others if lesson.targets.shown[numbers, SHOWN.index(n)].any()]
    )


def mild_passage(lesson: Lesson, published: Sequence[str] | set[str]) -> Passage | None:
    """What somebody wrote that shows nothing: sentences that the untouched trace does not have."""
    if any(lesson.example.labels.get(name) is not False for name in (LACK, *SPOKEN)):
        return None
    own = torch.tensor([text not in published for text in texts(lesson)])
    return Passage(lesson, found, []) if (found := _inside(lesson, own)) else None


def shortened(passage: Passage, random: Random) -> Passage:
    """Some sentences of it."""
    length = random.randint(1, min(LONGEST, len(passage.numbers)))
    start = random.randint(0, len(passage.numbers) - length)
    return passage._replace(numbers=passage.numbers[start : start + length])


def _inside(lesson: Lesson, which: torch.Tensor) -> list[int]:
    pairs = zip(lesson.document.sentences, which.tolist(), strict=True)
    return [n for n, (s, chosen) in enumerate(pairs) if chosen and s.field == "reasoning"]


def spliced(host: Lesson, passage: Passage, random: Random) -> Lesson:
    """An untouched trace with a passage of another one in its reasoning."""
    inside = _inside(host, torch.ones(len(host.document.sentences)))
    if not inside:
        return host
    at, first = random.randint(inside[0], inside[-1] + 1), len(host.document.sentences)
    shown, known = (
        torch.cat(pair).clone() for pair in zip(host.targets, passage.lesson.targets, strict=True)
    )
    for name in RISKY_PATTERNS[1:]:
        column = SHOWN.index(name)
        if name in passage.shows:
            known[:first, column] *= BESIDE
        else:
            shown[first:, column] = 0.0
            if passage.lesson.example.labels.get(name) is not False or name == INCONSISTENT:
                known[first:, column] = 0.0
    labels = {**host.example.labels, **dict.fromkeys(passage.shows, True)}
    if STRONG in passage.shows:
        labels |= dict.fromkeys((INCONSISTENT, *CONCLUSIONS), None)
    numbers = [*range(at), *(first + n for n in passage.numbers), *range(at, first)]
    return _joined(host, passage.lesson, numbers, labels, SentenceTargets(shown, known))


def swapped(lesson: Lesson, other: Lesson, contradicts: bool) -> Lesson:
    """A trace with the answer of another one."""
    first = len(lesson.document.sentences)
    numbers = [n for n, s in enumerate(lesson.document.sentences) if s.field != "answer"]
    numbers += [first + n for n, s in enumerate(other.document.sentences) if s.field == "answer"]
    shown, known = (torch.cat(pair).clone() for pair in zip(lesson.targets, other.targets, strict=True))
    column = SHOWN.index(INCONSISTENT)
    shown[:, column], known[:, column] = 0.0, float(not contradicts)
    labels = {
        **lesson.example.labels,
        INCONSISTENT: contradicts,
        ANSWERED: other.example.labels.get(ANSWERED),
    }
    return _joined(lesson, other, numbers, labels, SentenceTargets(shown, known))


def _joined(
    one: Lesson, other: Lesson, numbers: list[int], labels: dict[str, bool | None], targets: SentenceTargets
) -> Lesson:
    """Sentences of two lessons, by their numbers among all of these."""
    sentences = [*one.document.sentences, *other.document.sentences]
    windows = [*one.document.windows, *other.document.windows]
    return Lesson(
        one.example._replace(labels=labels),
        Document(windows, [sentences[n] for n in numbers], numbers),
        SentenceTargets(*(part[numbers] for part in targets)),
    )


def thinned(lesson: Lesson, random: Random) -> Lesson:
    """The lesson with some sentences left out, never the evidence: the rest of a text says nothing about its label.

    A lack of awareness may only come about by this, so where there was none it is no longer known.
    """
    if random.random() >= THINNED:
        return lesson
    evident = lesson.targets.shown.any(1).tolist()
    pairs = enumerate(zip(lesson.document.sentences, evident, strict=True))
    kept = [n for n, (s, shows) in pairs if shows or s.field != "reasoning" or random.random() >= LEFT_OUT]
    sentences = [lesson.document.sentences[number] for number in kept]
    if "reasoning" not in {s.field for s in sentences}:
        return lesson
    example = lesson.example
    if not example.labels.get(LACK):
        example = example._replace(labels={**example.labels, LACK: None})
    numbers = kept if lesson.document.kept is None else [lesson.document.kept[number] for number in kept]
    shown, known = (part[kept] for part in lesson.targets)
    return Lesson(
        example, Document(lesson.document.windows, sentences, numbers), SentenceTargets(shown, known)
    )
