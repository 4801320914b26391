"""Teaches a reader from labelled traces: first its own layers over a still encoder, which is cheap, then the encoder's upper layers with them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from annotators.embedding.examples import Example, Lesson, SentenceTargets, targets
from annotators.embedding.reader import CONCLUSIONS, Logits, Reader, Vectors
from annotators.embedding.reading import Document, read
from annotators.embedding.varying import Variations
from annotators.embedding.vectors import SentenceVectors
from schemas.patterns import RISKY_PATTERNS

BATCH = 24
ALIKE = 6
"""Examples of one group in a row: near twins in one batch, whose windows are read once."""
READER_RATE, READER_RATE_TUNING, ENCODER_RATE = 5e-4, 3e-4, 1e-4
READER_DECAY, ENCODER_DECAY = 0.05, 0.01
WARM_UP = 60
LOWEST = 0.02
SMOOTH_TRACE, SMOOTH_SENTENCE = 0.03, 0.01
TRUE_TRACE, TRUE_SENTENCE = 2.0, 4.0
"""What a true label weighs against a false one."""
SENTENCES, CONCLUDED = 1.5, 0.5
"""What the other two losses weigh against that of the verdicts."""
Advance = Callable[[int], object]
"""Told after every step."""
Batch = TypeVar("Batch")


class Schedule(NamedTuple):
    """How long to learn."""

    still: int = 8
    """Passes over the examples with the encoder as it is."""
    tuned: int = 3
    """Passes in which it learns too."""
    seed: int = 0


def steps(examples: Sequence[Example], schedule: Schedule) -> int:
    """How many steps a fit takes."""
    blank = [Lesson(example, Document([], []), SentenceTargets(Tensor(), Tensor())) for example in examples]
    plan = _plan(blank, Random(0))  # noqa: S311
    return len(plan) * (schedule.still + schedule.tuned)


def fit(
    examples: Sequence[Example],
    schedule: Schedule | None = None,
    base: Path | None = None,
    init: Reader | None = None,
    advance: Advance = int,
) -> Reader:
    """A reader that has learned from examples.

    Args:
        examples: what to learn from.
        schedule: how long.
        base: a folder with an encoder; None for MiniLM's first layers.
        init: a reader to go on from, which is changed; None for a fresh one.
        advance: told after every step.

    Raises:
        MissingExtraError, EngineError: if the encoder cannot be loaded.
    """
    schedule = schedule or Schedule()
    torch.manual_seed(schedule.seed)
    random = Random(schedule.seed)  # noqa: S311
    reader = init or Reader(SentenceVectors(base))
    reader.encoder.for_learning()
    lessons = prepared(examples, reader)
    windows = [window for lesson in lessons for window in lesson.document.windows]
    for _ in reader.encoder.keep(windows):
        advance(0)
    if schedule.still:
        reader.encoder.eval()
        with torch.no_grad(), reader.encoder.precision():
            known = reader.encoder(windows)
        _learn(reader, lessons, schedule.still, READER_RATE, random, advance, known)
    if schedule.tuned:
        _learn(reader, lessons, schedule.tuned, READER_RATE_TUNING, random, advance)
    reader.encoder.for_reading()
    return reader.eval()


def prepared(examples: Sequence[Example], reader: Reader) -> list[Lesson]:
    """Examples with their documents and targets; those without a sentence are left out."""
    documents = read([example.trace for example in examples], reader.encoder.tokenizer)
    pairs = zip(examples, documents, strict=True)
    return [Lesson(e, document, targets(e, document)) for e, document in pairs if document.sentences]


def _learn(
    reader: Reader,
    lessons: list[Lesson],
    passes: int,
    rate: float,
    random: Random,
    advance: Advance,
    known: Vectors | None = None,
) -> None:
    """Learn for some passes: with known sentence vectors the reader alone, else its encoder as well."""
    plan = [batch for _ in range(passes) for batch in _plan(lessons, random)]
    variations = Variations(lessons)

    def lost(whole: list[Lesson]) -> Any:
        batch = [variations.of(lesson, random) for lesson in whole]
        with reader.encoder.precision():
            readings = reader([lesson.document for lesson in batch], known)
        return sum(loss_of(reading, batch) for reading in readings) / len(readings)

    reader.train()
    descend(reader.heads, None if known else reader.encoder, rate, plan, lost, advance)


def descend(
    heads: nn.Module,
    encoder: SentenceVectors | None,
    rate: float,
    plan: Sequence[Batch],
    lost: Callable[[Batch], Any],
    advance: Advance = int,
) -> None:
    """One step for each batch of a plan; with an encoder its upper layers learn as well.

    Args:
        heads: what learns at `rate`.
        encoder: learns at a rate of its own.
        rate: at its highest, after the warm-up.
        plan: the batches, in order.
        lost: a batch's loss.
        advance: told after every step.
    """
    tuned = [p for p in encoder.parameters() if p.requires_grad] if encoder else []
    own = list(heads.parameters())
    descent = torch.optim.AdamW(
        [
            {"params": own, "lr": rate, "weight_decay": READER_DECAY},
            {"params": tuned, "lr": ENCODER_RATE, "weight_decay": ENCODER_DECAY},
        ]
    )
    pace = torch.optim.lr_scheduler.LambdaLR(
        descent, lambda step: min(1.0, (step + 1) / WARM_UP) * max(LOWEST, 1 - step / len(plan))
    )
    for batch in plan:
        lost(batch).backward()
        torch.nn.utils.clip_grad_norm_([*own, *tuned], 1.0)
        descent.step()
        descent.zero_grad()
        pace.step()
        advance(1)


def _plan(lessons: Sequence[Lesson], random: Random) -> list[list[Lesson]]:
    """One pass in batches: groups together, and of about one length, since a batch is as long as its longest trace."""
    groups: dict[str, list[Lesson]] = {}
    for lesson in lessons:
        groups.setdefault(lesson.example.group, []).append(lesson)
    longest = {
        name: max(len(lesson.document.sentences) for lesson in group) for name, group in groups.items()
    }
    batches: list[list[Lesson]] = [[]]
    for name in sorted(groups, key=lambda name: longest[name] * random.uniform(0.8, 1.25)):
        group = random.sample(groups[name], len(groups[name]))
        for start in range(0, len(group), ALIKE):
            if len(batches[-1]) >= BATCH:
                batches.append([])
            batches[-1] += group[start : start + ALIKE]
    return random.sample(batches, len(batches))


def loss_of(reading: Logits, batch: Sequence[Lesson]) -> Tensor:
    """How far off the reader is: in its verdicts, in its sentences, and in the two conclusions where these are known."""
    device = reading.traces.device
    truth, known = _labels(batch, RISKY_PATTERNS)
    weight = known * torch.tensor([[lesson.example.weight] for lesson in batch])
    verdicts = _loss(reading.traces, truth.to(device), weight.to(device), TRUE_TRACE, SMOOTH_TRACE)
    length = reading.sentences.shape[1]
    shown, counted = (
        torch.stack([pad_to(getattr(lesson.targets, part), length) for lesson in batch]).to(device)
        for part in SentenceTargets._fields
    )
    sentences = _loss(reading.sentences, shown, counted, TRUE_SENTENCE, SMOOTH_SENTENCE)
    truth, known = _labels(batch, CONCLUSIONS)
    concluded = _loss(reading.conclusions, truth.to(device), known.to(device), 1.0, SMOOTH_TRACE)
    return verdicts + SENTENCES * sentences + CONCLUDED * concluded


def _loss(logits: Tensor, truth: Tensor, weight: Tensor, true: float, smooth: float) -> Tensor:
    """Cross entropy, the mean of each column, summed over the columns."""
    target = truth * (1 - 2 * smooth) + smooth
    each = cross_entropy(logits.float(), target, weight, reduction="none", pos_weight=torch.tensor(true))
    columns = each.flatten(0, -2).sum(0) / (weight.flatten(0, -2).sum(0) + 1)
    return columns.sum()


def _labels(batch: Sequence[Lesson], names: Sequence[str]) -> tuple[Tensor, Tensor]:
    rows = [[lesson.example.labels.get(name) for name in names] for lesson in batch]
    truth = torch.tensor([[float(label or False) for label in row] for row in rows])
    return truth, torch.tensor([[float(label is not None) for label in row] for row in rows])


def pad_to(rows: Tensor, length: int) -> Tensor:
    """Rows of zeros added up to a length."""
    return torch.nn.functional.pad(rows, (0, 0, 0, length - len(rows)))
