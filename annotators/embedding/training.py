"""The whole way to an annotator: learn from most hands, then learn decisions from those that the weights have not seen.

`curate train-annotator` makes the shipped one so.
"""

from pathlib import Path
from typing import NamedTuple

from torch.optim.swa_utils import AveragedModel

from annotators.benchmark import edits, labelled
from annotators.embedding.deciding import decided
from annotators.embedding.examples import Example, from_labelled, untouched
from annotators.embedding.learning import Advance, Schedule, fit, steps
from annotators.embedding.model import Card, TrainedReader
from annotators.embedding.reader import Reader

NAME = "9"
COMMAND = "curate train-annotator --star1 star1.json --real-text real_text"
CALIBRATION_HANDS = ("n23", "n24", "n25", "n26", "n27", "n28", "n29", "t3", "t4")
"""Held out for the decisions; what others made of the same sources is left out."""
FURTHER = Schedule(still=0, tuned=2, seed=1)
"""The passes over whose last two thirds the weights are averaged."""
EVERY = 5
"""Steps between two weights that are averaged."""


class Lessons(NamedTuple):
    """What is learned from, and what was held back."""

    learn: list[Example]
    calibrate: list[Example]
    """Of hands that share no source with `learn`."""
    clean: list[Example]
    """Untouched traces that are never learned from."""
    skipped: dict[str, int]
    """Rows of the labelled set that could not be put together, by reason."""

    @property
    def held_out(self) -> list[Example]:
        """What decisions are learned from."""
        return [*self.calibrate, *self.clean]


def gather(star1: Path | None, real_text: Path | None) -> Lessons:
    """All labelled rows but those that are only measured on (some hands, the test split), and untouched traces of STAR-1.

    Args:
        star1: STAR-1's file; without it only rows that were written anew can be used.
        real_text: a folder of further rows in full.

    Raises:
        DataError: if a file cannot be read.
    """
    sources = edits.star1(star1) if star1 else {}
    further = labelled.load_folder(real_text) if real_text else []
    loaded = edits.load(sources, *(hand for hand in edits.hands() if hand not in edits.HELD_OUT))
    measured = edits.held_out_sources()
    items, further = (
        [item for item in found if item.source not in measured] for found in (loaded.items, further)
    )
    held = [item for item in items if item.batch in CALIBRATION_HANDS]
    rest = [*labelled.load("dev"), *(item for item in items if item.batch not in CALIBRATION_HANDS)]
    away = {item.source for item in held}
    published = edits.untouched(sources, further)
    learn = [*from_labelled([*rest, *further]), *untouched(published.learn)]
    clean = [*published.decide, *(trace for trace in published.learn if trace.source_id in away)]
    return Lessons(
        learn=[example for example in learn if example.group not in away],
        calibrate=from_labelled(held),
        clean=untouched(clean),
        skipped=loaded.skipped,
    )


def train(
    lessons: Lessons, schedule: Schedule | None = None, base: Path | None = None, advance: Advance = int
) -> TrainedReader:
    """A model with weights from `lessons.learn`, and decisions and figures from the rest.

    Args:
        lessons: what to learn from.
        schedule: how long.
        base: a folder with an encoder; None for MiniLM's first layers.
        advance: told after every step; `length` says how many there are.

    Raises:
        MissingExtraError: if the extra `models` is not installed.
        EngineError: if the encoder cannot be loaded.
    """
    card = Card(
        name=NAME,
        command=COMMAND,
        encoder=str(base) if base else None,
        examples=len(lessons.learn),
        groups=len({example.group for example in lessons.learn}),
        decisions={},
        held_out={},
        false_alarms={},
    )
    reader = _averaged(fit(lessons.learn, schedule, base, advance=advance), lessons.learn, advance)
    return decided(TrainedReader(reader, card), lessons.held_out)


def length(lessons: Lessons, schedule: Schedule) -> int:
    """How many steps `train` takes."""
    return steps(lessons.learn, schedule) + steps(lessons.learn, FURTHER)


def _averaged(reader: Reader, examples: list[Example], advance: Advance) -> Reader:
    """The reader after further passes, with the mean of the weights on the way (stochastic weight averaging, arXiv 1803.05407)."""
    reader.encoder.for_learning()  # in full precision, as the mean is taken
    kept, reader.encoder.kept = reader.encoder.kept, {}
    mean, done = AveragedModel(reader), 0
    reader.encoder.kept = kept
    first = steps(examples, FURTHER) // 3

    def step(count: int) -> None:
        nonlocal done
        advance(count)
        done += count
        if count and done > first and done % EVERY == 0:
            mean.update_parameters(reader)

    fit(examples, FURTHER, init=reader, advance=step)
    if mean.n_averaged:
        reader.load_state_dict(mean.module.state_dict())
    return reader


def redecided(model: TrainedReader, lessons: Lessons) -> TrainedReader:
    """The shipped weights with decisions learned anew."""
    found = decided(model, lessons.held_out)
    return found._replace(
        card=found.card.model_copy(update={"name": NAME, "command": f"{COMMAND} --keep-weights"})
    )
