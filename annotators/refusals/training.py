"""Trains the refusal classifier: voices are left out in turn to choose the threshold and to measure, then a reader learns from all.

`curate train-refusals` makes the shipped one so; no network, some quarter of an hour of CPU with bfloat16 units, half an hour and more without.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from annotators.embedding.learning import Advance
from annotators.embedding.vectors import SentenceVectors
from annotators.refusals.learning import RefusalSchedule, fit
from annotators.refusals.lessons import RefusalLesson, written_lessons
from annotators.refusals.model import Figures, RefusalCard, TrainedRefusals

NAME = "3"
COMMAND = "curate train-refusals --out FOLDER"
FOLDS = 4
"""Parts that the voices are dealt into: a part's answers are judged by a reader of the other parts."""
FALSE_REFUSALS = 0.05
"""Share of the left-out answers that do not refuse which the threshold may flag."""
HIGHEST = 0.999
"""Above it no threshold is chosen: a probability is never quite one."""
HALF = 0.5


class Unseen(NamedTuple):
    """An answer as a reader that has not seen its voice judges it."""

    lesson: RefusalLesson
    refuses: float
    """How likely, by the reader itself."""


def train(out: Path, schedule: RefusalSchedule | None = None, advance: Advance = int) -> RefusalCard:
    """Train, measure voice by voice, and write weights and card.

    Args:
        out: folder to write.
        schedule: how long, each time.
        advance: told after every step.

    Raises:
        MissingExtraError, EngineError: if the encoder cannot be loaded.
    """
    schedule = schedule or RefusalSchedule()
    encoder = SentenceVectors()
    lessons = written_lessons(encoder.tokenizer)
    found = unseen(lessons, encoder, schedule, advance)
    threshold = threshold_of(found)
    card = RefusalCard(
        name=NAME,
        command=COMMAND,
        examples=len(lessons),
        voices=voices(lessons),
        threshold=threshold,
        left_out_voice=figures(found, threshold),
        left_out_voice_at_half=figures(found, HALF),
    )
    TrainedRefusals(fit(lessons, encoder, schedule, advance), card).save(out)
    return card


def voices(lessons: Sequence[RefusalLesson]) -> list[str]:
    """The voices in a fixed order."""
    return sorted({lesson.voice for lesson in lessons})


def unseen(
    lessons: Sequence[RefusalLesson], encoder: SentenceVectors, schedule: RefusalSchedule, advance: Advance
) -> list[Unseen]:
    """Every answer, judged by a reader of the voices of the other parts.

    Args:
        lessons: what is learned from, all voices.
        encoder: lends what its lower layers make of the windows; it does not learn.
        schedule: how long, each time.
        advance: told after every step.
    """
    part = {voice: number % FOLDS for number, voice in enumerate(voices(lessons))}
    found = []
    for number in range(FOLDS):
        apart = SentenceVectors()
        apart.kept = encoder.kept
        reader = fit([one for one in lessons if part[one.voice] != number], apart, schedule, advance)
        away = [one for one in lessons if part[one.voice] == number]
        for one, scores in zip(away, reader.scores([one.document for one in away]), strict=True):
            found.append(Unseen(one, float(scores.softmax(0)[:2].sum())))
    return found


def threshold_of(found: Sequence[Unseen]) -> float:
    """The lowest threshold from one half on that keeps to the share of false refusals."""
    flagged = sorted((one.refuses for one in found if not one.lesson.refuses), reverse=True)
    return min(HIGHEST, round(max(HALF, flagged[int(len(flagged) * FALSE_REFUSALS)] + 1e-3), 3))


def figures(found: Sequence[Unseen], threshold: float) -> Figures:
    """How well a threshold tells refusals."""
    hits = sum(one.refuses >= threshold for one in found if one.lesson.refuses)
    wrong = sum(one.refuses >= threshold for one in found if not one.lesson.refuses)
    true = sum(one.lesson.refuses for one in found)
    return Figures(
        answers=len(found),
        precision=round(hits / max(1, hits + wrong), 4),
        recall=round(hits / max(1, true), 4),
        f1=round(2 * hits / max(1, hits + wrong + true), 4),
        false_refusals=round(wrong / max(1, len(found) - true), 4),
    )
