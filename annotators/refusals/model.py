"""The refusal reader with its card: what is saved, shipped and opened as one thing, a folder of `weights.safetensors` and `card.json`.

The surprise: the odds of refusing are shifted so that the label is true from one half on, though the threshold was chosen for few
false refusals among voices that were left out (docs/decisions/0013-a-refusal-reader.md).
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from annotators.refusals.classes import CLASSES, REFUSING
from schemas.errors import DataError, require
from schemas.faults import reason

if TYPE_CHECKING:
    from torch import Tensor

    from annotators.refusals.document import AnswerDocument
    from annotators.refusals.reader import RefusalReader

HERE = Path(__file__).parent
WEIGHTS, CARD = "weights.safetensors", "card.json"
TOGETHER = 64
"""Answers read at once."""


class Figures(BaseModel):
    """How well "refuses" is found."""

    model_config = ConfigDict(extra="forbid")

    answers: int
    precision: float
    recall: float
    f1: float
    false_refusals: float
    """Share of the answers that do not refuse."""


class RefusalCard(BaseModel):
    """What belongs to the weights: how they were made and measured."""

    model_config = ConfigDict(extra="forbid")

    name: str
    command: str
    examples: int
    voices: list[str]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    """The reader's own probability of refusing from which the label is true."""
    left_out_voice: Figures
    """Each voice judged by a reader of others, at the threshold, which was chosen on these very answers."""
    left_out_voice_at_half: Figures
    """The same where a probability of one half is enough: nothing was chosen."""


class Verdict(NamedTuple):
    """What the classifier finds in an answer."""

    probabilities: dict[str, float]
    """Of each class; they add up to 1."""
    refusing: list[tuple[int, int]]
    """The sentences that decline, the clearest first; the clearest alone if none does."""


class TrainedRefusals(NamedTuple):
    """A reader and its card."""

    reader: "RefusalReader"
    card: RefusalCard

    def verdicts(self, answers: Sequence[str]) -> Iterator[Verdict | None]:
        """Judge answers in order, a few at a time; null where there is no sentence."""
        from annotators.refusals.document import documents

        waiting = iter(answers)
        while batch := list(islice(waiting, TOGETHER)):
            read = documents(batch, self.reader.encoder.tokenizer)
            full = [document for document in read if document.bounds]
            found = self.reader.judged(full) if full else None
            rows = iter(zip(found.sentences, found.answers, strict=True)) if found else iter(())
            for document in read:
                yield self._verdict(document, *next(rows)) if document.bounds else None

    def _verdict(self, document: "AnswerDocument", sentences: "Tensor", scores: "Tensor") -> Verdict:
        scores = scores.clone()
        scores[:2] -= math.log(self.card.threshold / (1 - self.card.threshold))
        likely = dict(zip(CLASSES, scores.softmax(0).tolist(), strict=True))
        refusing = sentences[: len(document.bounds), REFUSING].tolist()
        order = sorted(range(len(refusing)), key=lambda n: -refusing[n])
        clear = [document.bounds[n] for rank, n in enumerate(order) if rank == 0 or refusing[n] > 0]
        return Verdict(likely, clear)

    def save(self, folder: Path) -> None:
        """Write weights (half precision) and card."""
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: value.to(torch.float16).contiguous() for name, value in self.reader.state_dict().items()
        }
        save_file(weights, folder / WEIGHTS)
        (folder / CARD).write_text(self.card.model_dump_json(indent=1) + "\n", encoding="utf-8")


def open_model(folder: Path = HERE) -> TrainedRefusals:
    """Open what `save` wrote; the shipped model by default.

    Raises:
        MissingExtraError: if the extra `models` is not installed.
        EngineError: if MiniLM cannot be loaded.
        DataError: if the folder holds no refusal classifier.
    """
    require("sentence_transformers", "torch", "safetensors", extra="models")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from annotators.embedding.vectors import SentenceVectors
    from annotators.refusals.reader import RefusalReader

    reader = RefusalReader(SentenceVectors())
    try:
        card = RefusalCard.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
        reader.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folder}: no refusal classifier here ({reason(error)}); `curate train-refusals` makes one"
        ) from error
    reader.encoder.for_reading()
    return TrainedRefusals(reader.eval(), card)
