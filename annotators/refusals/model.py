"""Two layers of logistic regression over sentence vectors: what each sentence does, then what the answer does.

A sentence is described by its vectors in the second and third layer of MiniLM (frozen, the ones the embedding annotator
stands on), by the rules' cues and by its place. The surprise: the weights take some ten kilobytes, and tuning the layers gained nothing
(docs/decisions/0010-refusal-classifier.md).
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from annotators.embedding.reading import Sentence
from annotators.embedding.reading import read as read_documents
from annotators.refusals.reading import CUES, SEEKING, OwnWords, Stretch, read
from schemas.errors import DataError, MissingExtraError
from schemas.trace import Trace

if TYPE_CHECKING:
    from annotators.embedding.vectors import SentenceVectors

Array = npt.NDArray[np.float64]
HERE = Path(__file__).parent
WEIGHTS, CARD = "weights.safetensors", "card.json"
CLASSES = ("full_refusal", "partial_refusal", "moralising", "compliance")
"""In the order of the weights; a safe completion is compliance."""
TOGETHER = 64
REFUSING, IDLE, HELPING = range(3)
"""What a sentence does; it may do several."""
PARDONED = -2.0
"""The highest logit of refusing that a sentence keeps if it only sounds like a refusal."""
LONG = 30
"""Words of a long sentence."""
SEVERAL, MANY = 4, 8
"""Sentences of a longer answer, and of a long one."""
LIMIT = 6.0
"""Beyond it no logit of refusing says more."""
CUE_NAMES = tuple(cue for several in CUES.values() for cue in several)


class Figures(BaseModel):
    """Precision, recall and F1 of "refuses", and the share of right classes."""

    model_config = ConfigDict(extra="forbid")

    answers: int
    precision: float
    recall: float
    f1: float
    right_class: float


class RefusalCard(BaseModel):
    """What belongs to the weights: how they were made and measured."""

    model_config = ConfigDict(extra="forbid")

    name: str
    command: str
    examples: int
    voices: list[str]
    left_out_voice: Figures
    """Each voice judged by a model of the others."""


class Places(NamedTuple):
    """The sentences of an answer that are read; arrays have one row or value each."""

    bounds: list[tuple[int, int]]
    numbers: npt.NDArray[np.int64]
    words: Array
    features: Array
    """Shape (sentences, features)."""
    pardoned: npt.NDArray[np.bool_]
    size: int
    """Sentences of the whole answer."""
    cued: bool
    """Whether a cue of refusing is in one that is not pardoned."""


class Verdict(NamedTuple):
    """What the classifier finds in an answer."""

    probabilities: dict[str, float]
    """Of each class; they add up to 1."""
    refusing: list[tuple[int, int]]
    """The sentences that decline, the clearest first; the clearest alone if none does."""


class RefusalModel(NamedTuple):
    """Both layers."""

    sentence_weights: Array
    """(features, 3)"""
    sentence_bias: Array
    answer_weights: Array
    """(answer features, classes)"""
    answer_bias: Array

    def verdicts(self, answers: Sequence[str]) -> Iterator[Verdict | None]:
        """Judge answers in order, a few at a time; null where there is no sentence."""
        for places in described(answers):
            yield self.verdict(places) if places.bounds else None

    def verdict(self, places: Places) -> Verdict:
        """Judge one answer."""
        logits = kept(places.features @ self.sentence_weights + self.sentence_bias, places)
        scores = pooled(logits, places) @ self.answer_weights + self.answer_bias
        shares = np.exp(scores - scores.max())
        likely = dict(zip(CLASSES, (shares / shares.sum()).tolist(), strict=True))
        order = np.argsort(-logits[:, REFUSING])
        clear = [places.bounds[n] for rank, n in enumerate(order) if rank == 0 or logits[n, REFUSING] > 0]
        return Verdict(likely, clear)

    def save(self, folder: Path, card: RefusalCard) -> None:
        """Write weights and card."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: array.astype(np.float32) for name, array in self._asdict().items()}, folder / WEIGHTS
        )
        (folder / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")


def open_model(folder: Path = HERE) -> tuple[RefusalModel, RefusalCard]:
    """Open what `save` wrote; the shipped model by default.

    Raises:
        MissingExtraError: if the extra `models` is not installed.
        DataError: if the folder holds no refusal classifier.
    """
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise MissingExtraError("safetensors", "models") from error
    try:
        card = RefusalCard.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
        arrays = {name: array.astype(np.float64) for name, array in load_file(folder / WEIGHTS).items()}
        return RefusalModel(**arrays), card
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{folder}: no refusal classifier here ({error}); `curate train-refusals` makes one") from error  # fmt: skip


@cache
def encoder() -> "SentenceVectors":
    """MiniLM's first layers, untuned.

    Raises:
        MissingExtraError: if the extra `models` is not installed.
        EngineError: if MiniLM cannot be loaded.
    """
    try:
        from annotators.embedding.vectors import SentenceVectors
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "models") from error
    found = SentenceVectors()
    found.for_reading()
    return found


def described(answers: Sequence[str]) -> Iterator[Places]:
    """The sentences of each answer with their features."""
    import torch

    waiting = iter(answers)
    while batch := list(islice(waiting, TOGETHER)):
        said = [read(answer) for answer in batch]
        texts = [_as_trace(part.text) for one in said for part in one.parts]
        documents = read_documents(texts, encoder().tokenizer)
        with torch.inference_mode():
            vectors = encoder()(window for document in documents for window in document.windows)
        rows = iter(documents)
        for one in said:
            found = []
            for part, document in zip(one.parts, rows, strict=False):
                pieces = [vectors[window].float().cpu().numpy() for window in document.windows]
                found.append((part, document.sentences, np.concatenate(pieces)))
            yield _places(one, found)


def _places(said: OwnWords, found: Sequence[tuple[Stretch, Sequence[Sentence], Array]]) -> Places:
    bounds = [(part.start + s.start, part.start + s.end) for part, several, _ in found for s in several]
    numbers = np.array([part.first + n for part, several, _ in found for n in range(len(several))], int)
    words = np.array([len(part.text[s.start : s.end].split()) for part, several, _ in found for s in several])
    if not bounds:
        return Places([], numbers, words, np.zeros((0, 0)), np.zeros(0, bool), 0, False)
    cues = [[number in said.cues[cue] for cue in CUE_NAMES] for number in numbers]
    place = [numbers == 0, numbers == said.size - 1, np.full(len(bounds), said.size == 1),
             np.minimum(words, LONG) / LONG, np.full(len(bounds), said.size > MANY)]  # fmt: skip
    features = np.column_stack([np.concatenate([vectors for *_, vectors in found]), cues, *place])
    pardoned = np.array([number in said.pardoned for number in numbers])
    cued = any(said.cues[cue] & set(numbers[~pardoned].tolist()) for cue in SEEKING)
    return Places(bounds, numbers, words.astype(float), features.astype(float), pardoned, said.size, cued)


def _as_trace(answer: str) -> Trace:
    return Trace(
        trace_id="0" * 32, prompt_id="0" * 32, prompt="", reasoning="", answer=answer, source_file="", source_line=1
    )  # fmt: skip


def kept(logits: Array, places: Places) -> Array:
    """Logits (sentences, 3), those of pardoned sentences capped."""
    capped = np.where(places.pardoned, np.minimum(logits[:, REFUSING], PARDONED), logits[:, REFUSING])
    return np.column_stack([capped, logits[:, IDLE], logits[:, HELPING]])


def pooled(logits: Array, places: Places) -> Array:
    """The features of an answer: where and how surely it refuses, what a cue says, and how much else it says. Shape (21,).

    The maximum over sentences finds one refusal among much help, the means tell how much of the answer it is, and help is
    counted before and after it.
    """
    refusing, idle, helping = logits.T
    share, words = _sigmoid(refusing), places.words
    first, last = places.numbers < 2, places.numbers >= places.size - 2
    highest, at = float(np.clip(refusing.max(), -LIMIT, LIMIT)), int(refusing.argmax())
    second = float(np.sort(refusing)[-2]) if len(refusing) > 1 else -LIMIT
    help_words = (1 - share) * _sigmoid(helping) * words
    everything = max(1.0, words.sum())
    return np.array([
        highest, max(0.0, highest), max(0.0, highest - 2), highest * (places.size > SEVERAL), second,
        _highest(refusing[first]), _highest(refusing[last]), refusing.mean(), float((refusing > 0).sum() > 1),
        np.log(share.sum() + 0.05), share.mean(), np.log(share.mean() + 0.02), (share * words).sum() / everything,
        np.log(help_words.sum() + 1), np.log(help_words[:at].sum() + 1), np.log(help_words[at + 1 :].sum() + 1),
        _highest(helping[refusing < 0]), (_sigmoid(idle) * words).sum() / everything,
        np.log1p(places.size), float(places.size == 1), float(places.cued),
    ])  # fmt: skip


def _highest(values: Array) -> float:
    return float(values.max()) if len(values) else -LIMIT


def _sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)), dtype=np.float64)
