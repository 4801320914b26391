"""Teaches a refusal reader: first its heads over a still encoder, then the encoder's third layer with them."""

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from annotators.embedding.learning import Advance, descend, pad_to
from annotators.embedding.reader import Vectors
from annotators.embedding.vectors import SentenceVectors
from annotators.refusals.lessons import UNKNOWN, RefusalLesson
from annotators.refusals.reader import Judgement, RefusalReader
from annotators.refusals.varying import RefusalVariations

BATCH = 24
RATE, RATE_TUNING = 5e-4, 3e-4
SMOOTH = 0.03
SENTENCES, CLASS = 1.0, 0.5
"""What the losses of sentences and of the class weigh against that of refusing."""


class RefusalSchedule(NamedTuple):
    """How long to learn."""

    still: int = 10
    """Passes over the lessons with the encoder as it is."""
    tuned: int = 4
    """Passes in which its third layer learns too."""
    seed: int = 0


def fit(
    lessons: Sequence[RefusalLesson],
    encoder: SentenceVectors,
    schedule: RefusalSchedule | None = None,
    advance: Advance = int,
) -> RefusalReader:
    """A reader that has learned from lessons.

    Args:
        lessons: what to learn from.
        encoder: MiniLM's first layers, untuned; becomes part of the reader.
        schedule: how long.
        advance: told after every step.
    """
    schedule = schedule or RefusalSchedule()
    torch.manual_seed(schedule.seed)
    random = Random(schedule.seed)  # noqa: S311
    reader = RefusalReader(encoder)
    encoder.for_learning()
    windows = [window for lesson in lessons for window in lesson.document.windows]
    for _ in encoder.keep(windows):
        advance(0)
    if schedule.still:
        encoder.eval()
        with torch.no_grad(), reader.encoder.precision():
            known = encoder(windows)
        _learn(reader, lessons, schedule.still, RATE, random, advance, known)
    if schedule.tuned:
        _learn(reader, lessons, schedule.tuned, RATE_TUNING, random, advance)
    encoder.for_reading()
    return reader.eval()


def _learn(
    reader: RefusalReader,
    lessons: Sequence[RefusalLesson],
    passes: int,
    rate: float,
    random: Random,
    advance: Advance,
    known: Vectors | None = None,
) -> None:
    """Learn for some passes: with known sentence vectors the heads alone, else the third layer as well."""
    variations = RefusalVariations(lessons)

    def lost(whole: list[RefusalLesson]) -> Any:
        batch = [variations.of(lesson, random) for lesson in whole]
        with reader.encoder.precision():
            readings = reader([lesson.document for lesson in batch], known)
        return sum(loss_of(reading, batch) for reading in readings) / len(readings)

    reader.train()
    plan = [batch for _ in range(passes) for batch in batches(lessons, random)]
    descend(reader.heads, None if known else reader.encoder, rate, plan, lost, advance)


def batches(lessons: Sequence[RefusalLesson], random: Random) -> list[list[RefusalLesson]]:
    """One pass, answers of about one length together."""
    ordered = sorted(lessons, key=lambda one: len(one.document.bounds) * random.uniform(0.8, 1.25))
    cut = [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]
    return random.sample(cut, len(cut))


def loss_of(reading: Judgement, batch: Sequence[RefusalLesson]) -> Tensor:
    """How far off the reader is: in whether the answer refuses, in its class, and in what its sentences do."""
    logits = reading.answers
    odds = torch.logsumexp(logits[:, :2], 1) - torch.logsumexp(logits[:, 2:], 1)
    truth = torch.tensor([float(lesson.refuses) for lesson in batch]) * (1 - 2 * SMOOTH) + SMOOTH
    refusing = binary_cross_entropy_with_logits(odds, truth.to(odds))
    classes = torch.tensor([lesson.answer_class for lesson in batch]).to(logits.device)
    known = bool((classes != UNKNOWN).any())
    right = cross_entropy(logits, classes, ignore_index=UNKNOWN, label_smoothing=SMOOTH) if known else 0.0
    length = reading.sentences.shape[1]
    does = torch.stack([pad_to(lesson.does, length) for lesson in batch]).to(logits)
    told = [pad_to(torch.full((len(lesson.does), 1), float(lesson.told)), length) for lesson in batch]
    weight = torch.stack(told).to(logits)
    each = binary_cross_entropy_with_logits(reading.sentences, does, weight.expand_as(does), reduction="none")
    return refusing + CLASS * right + SENTENCES * each.sum() / (weight.sum() + 1)
