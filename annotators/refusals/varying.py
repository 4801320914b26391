"""Lessons told otherwise each time: a refusal put into help, help put to a refusal, a refusal taken out, openings added, sentences left out.

All sentences were read already, so it costs nothing. Nothing is put together whose class would be a guess: where it would be, only
whether the answer refuses is told.
"""

from collections.abc import Callable, Sequence
from random import Random

import torch
from torch import Tensor

from annotators.refusals.classes import COMPLIANCE, FULL, HELPING, IDLE, MORALISING, PARTIAL, REFUSING
from annotators.refusals.document import AnswerDocument
from annotators.refusals.lessons import UNKNOWN, RefusalLesson

VARIED = 0.5
"""Share of the lessons to which sentences are put, or of which the refusal is taken out."""
THINNED, LEFT_OUT = 0.5, 0.25
"""Share of the lessons that lose sentences, and the share that they lose."""
WIDEST = 5
"""Sentences of help that are put in at once."""
INTO_HELP, HELP_INTO_HELP = 0.4, 0.7
"""Cumulated shares of what happens to an answer that helps; the rest gets an idle opening."""
TAKEN_OUT = 0.5
"""Share of the partial refusals that lose what they decline; the rest gets more help."""
INTO_REFUSAL, REFUSED_TWICE = 0.4, 0.7
"""Cumulated shares of what happens to a full refusal: help, or another refusal; the rest gets idle sentences."""
Passage = tuple[RefusalLesson, list[int]]
"""A lesson, and numbers of sentences that follow each other in it."""


class RefusalVariations:
    """What may be put in place of what, gathered once from all lessons."""

    def __init__(self, lessons: Sequence[RefusalLesson]) -> None:
        told = [lesson for lesson in lessons if lesson.told]
        helpful = [lesson for lesson in told if lesson.answer_class == COMPLIANCE]
        self._refusing = _passages(told, lambda does: does[:, REFUSING] > 0)
        self._idle = _passages(told, lambda does: (does[:, IDLE] > 0) & (does[:, HELPING] == 0))
        self._helping = _passages(helpful, lambda does: (does[:, REFUSING] == 0) & (does[:, HELPING] > 0))

    def of(self, lesson: RefusalLesson, random: Random) -> RefusalLesson:
        """The lesson, told otherwise or not."""
        if not lesson.told:
            return lesson
        if random.random() < VARIED:
            lesson = self._mixed(lesson, random)
        return thinned(lesson, random) if random.random() < THINNED else lesson

    def _mixed(self, lesson: RefusalLesson, random: Random) -> RefusalLesson:
        chance = random.random()
        if lesson.answer_class in (MORALISING, COMPLIANCE):
            return self._of_help(lesson, random, chance)
        if lesson.answer_class == FULL:
            return self._of_refusal(lesson, random, chance)
        if chance < TAKEN_OUT and (rest := _help_alone(lesson)):
            return picked(lesson, rest)._replace(answer_class=UNKNOWN, refuses=False)
        return put(lesson, self._help(random), _anywhere(lesson, random), PARTIAL)

    def _of_help(self, lesson: RefusalLesson, random: Random, chance: float) -> RefusalLesson:
        if chance < INTO_HELP and _helps(lesson):
            return put(lesson, random.choice(self._refusing), _anywhere(lesson, random), PARTIAL)
        if chance < HELP_INTO_HELP:
            return put(lesson, self._help(random), _anywhere(lesson, random), lesson.answer_class)
        return put(lesson, random.choice(self._idle), 0, UNKNOWN)

    def _of_refusal(self, lesson: RefusalLesson, random: Random, chance: float) -> RefusalLesson:
        if chance < INTO_REFUSAL:
            passage, answer_class = self._help(random), PARTIAL
        elif chance < REFUSED_TWICE:
            passage, answer_class = random.choice(self._refusing), PARTIAL if _helps(lesson) else FULL
        else:
            passage, answer_class = random.choice(self._idle), FULL
        return put(lesson, passage, random.choice((0, len(lesson.does))), answer_class)

    def _help(self, random: Random) -> Passage:
        lesson, run = random.choice(self._helping)
        length = random.randint(min(2, len(run)), min(WIDEST, len(run)))
        start = random.randint(0, len(run) - length)
        return lesson, run[start : start + length]


def _helps(lesson: RefusalLesson) -> bool:
    return bool((lesson.does[:, HELPING] > 0).any())


def _help_alone(lesson: RefusalLesson) -> list[int]:
    """The sentences that do not refuse; none if these do not help."""
    rest = torch.nonzero(lesson.does[:, REFUSING] == 0).flatten().tolist()
    return rest if (lesson.does[rest, HELPING] > 0).any() else []


def _passages(lessons: Sequence[RefusalLesson], wanted: Callable[[Tensor], Tensor]) -> list[Passage]:
    return [(lesson, run) for lesson in lessons for run in _runs(wanted(lesson.does))]


def _runs(which: Tensor) -> list[list[int]]:
    runs: list[list[int]] = []
    for number in torch.nonzero(which).flatten().tolist():
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _anywhere(lesson: RefusalLesson, random: Random) -> int:
    return random.choice((0, len(lesson.does), random.randint(0, len(lesson.does))))


def put(host: RefusalLesson, passage: Passage, at: int, answer_class: int) -> RefusalLesson:
    """A lesson with sentences of another one put in before sentence `at`."""
    other, run = passage
    count = len(host.does)
    order = [*range(at), *(count + n for n in run), *range(at, count)]
    one, two = host.document, other.document
    base = sum(len(window.ends) for window in one.windows)
    rows = [*(one.kept or range(count)), *(base + n for n in (two.kept or range(len(two.bounds))))]
    bounds = [*one.bounds, *two.bounds]
    document = AnswerDocument(
        [*one.windows, *two.windows],
        [bounds[n] for n in order],
        list(range(len(order))),
        len(order),
        torch.cat([one.known, two.known])[order],
        [rows[n] for n in order],
    )
    does = torch.cat([host.does, other.does])[order]
    refuses = host.refuses or bool((does[:, REFUSING] > 0).any())
    return host._replace(document=document, does=does, answer_class=answer_class, refuses=refuses)


def picked(lesson: RefusalLesson, numbers: list[int]) -> RefusalLesson:
    """Some sentences of a lesson."""
    one = lesson.document
    rows = one.kept or list(range(len(one.bounds)))
    document = one._replace(
        bounds=[one.bounds[n] for n in numbers],
        numbers=list(range(len(numbers))),
        size=len(numbers),
        known=one.known[numbers],
        kept=[rows[n] for n in numbers],
    )
    return lesson._replace(document=document, does=lesson.does[numbers])


def thinned(lesson: RefusalLesson, random: Random) -> RefusalLesson:
    """A lesson without some sentences, never one that refuses, and never the last that helps."""
    keeps = [
        n for n in range(len(lesson.does)) if lesson.does[n, REFUSING] > 0 or random.random() >= LEFT_OUT
    ]
    if not keeps or len(keeps) == len(lesson.does):
        return lesson
    fewer = picked(lesson, keeps)
    return fewer if _helps(fewer) == _helps(lesson) else lesson
