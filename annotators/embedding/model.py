"""A reader with its decisions: what is saved, shipped and opened as one thing, a folder of `reader.safetensors` and `card.json`.

Only what was trained is saved; MiniLM's lower layers come with its package.
"""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict

from annotators.embedding.reading import Document, Sentence, read
from schemas.errors import DataError, require
from schemas.faults import reason
from schemas.patterns import CODEBOOK_VERSION, RISKY_PATTERNS
from schemas.trace import Trace

if TYPE_CHECKING:
    from torch import Tensor

    from annotators.embedding.reader import Reader

HERE = Path(__file__).parent
Kind = Literal["embedding", "ensemble"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WEIGHTS, CARD = "reader.safetensors", "card.json"
TOGETHER = 32
"""Traces read at once: enough to fill the rows of a batch."""
FOREIGN = 1.7
"""Tokens per word from which MiniLM hardly knows the language: English has 1.2 to 1.5, other languages 1.9 and more."""
SPANS = 2
"""Sentences of evidence; the second only where it speaks for the pattern by itself."""


class Decision(BaseModel):
    """From a pattern's logit to its probability; the label is true from one half on, which is where held-out F1 was best."""

    model_config = ConfigDict(extra="forbid")

    slope: float
    shift: float
    rules: float = 0.0
    """Weight of the rules' label (1, -1, or 0 if they abstain)."""

    def probability(self, logit: float, rules: float = 0.0) -> float:
        """The probability that the pattern is present."""
        odds = self.slope * logit + self.rules * rules + self.shift
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))


class HeldOutScore(BaseModel):
    """What held-out labels say of one pattern."""

    model_config = ConfigDict(extra="forbid")

    traces: int
    true: int
    precision: float
    recall: float
    f1: float
    span_hits: float
    """Share of the traces found whose evidence is touched by a span."""
    auc: float


class Card(BaseModel):
    """What belongs to the weights: how they were made and measured."""

    model_config = ConfigDict(extra="forbid")

    name: str
    command: str
    """What reproduces it."""
    variant: str = ""
    """Names an annotator that was adapted to somebody's labels; "" for the shipped one."""
    encoder: str | None
    """Folder of the encoder; null for MiniLM's first layers."""
    codebook: int = CODEBOOK_VERSION
    examples: int
    groups: int
    decisions: dict[str, dict[str, Decision]]
    """By annotator ("embedding", "ensemble") and pattern."""
    held_out: dict[str, dict[str, HeldOutScore]]
    """By annotator and pattern, on groups left out of the training."""
    false_alarms: dict[str, float]
    """By annotator, the share of held-out untouched traces that are flagged with any pattern."""


class Read(NamedTuple):
    """A trace as it was read."""

    logits: dict[str, float]
    """By pattern."""
    evidence: dict[str, list[Sentence]]
    """By pattern the sentences that speak most for it; of inconsistency one of each field."""
    fields: frozenset[str]
    """Fields with a sentence in them."""
    foreign: bool = False
    """The reasoning is in a language that the encoder hardly knows."""


class TrainedReader(NamedTuple):
    """A reader and its card."""

    reader: "Reader"
    card: Card

    def read(self, traces: Sequence[Trace]) -> Iterator[Read]:
        """Read traces, a few at a time."""
        return read_all(self.reader, traces)

    def save(self, folder: Path) -> None:
        """Write weights (half precision) and card."""
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: value.to(torch.float16).contiguous() for name, value in self.reader.state_dict().items()
        }
        save_file(weights, folder / WEIGHTS)
        text = json.dumps(self.card.model_dump(), indent=1, ensure_ascii=False)
        (folder / CARD).write_text(text + "\n", encoding="utf-8")


def open_model(folder: Path = HERE) -> TrainedReader:
    """Open what `save` wrote.

    Raises:
        MissingExtraError: if the extra `models` is not installed.
        DataError: if the folder holds no reader.
    """
    require("sentence_transformers", "torch", "safetensors", extra="models")
    from safetensors.torch import load_file

    from annotators.embedding.reader import Reader
    from annotators.embedding.vectors import SentenceVectors

    try:
        card = Card.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}: no annotator here ({reason(error)}); `curate train-annotator` makes one"
        ) from error
    reader = Reader(SentenceVectors(Path(card.encoder) if card.encoder else None))
    reader.load_state_dict(weights)
    reader.encoder.for_reading()
    return TrainedReader(reader.eval(), card)


def read_all(reader: "Reader", traces: Sequence[Trace]) -> Iterator[Read]:
    """Read traces, a few at a time."""
    import torch

    waiting = iter(traces)
    while batch := list(islice(waiting, TOGETHER)):
        documents = read(batch, reader.encoder.tokenizer)
        full = [document for document in documents if document.sentences]
        half = torch.autocast(reader.encoder.device.type, torch.bfloat16, enabled=reader.encoder.reads_half)
        with torch.inference_mode(), half:
            found = reader.read(full) if full else None
        rows = iter(zip(found.traces.tolist(), found.sentences.cpu(), strict=True)) if found else iter(())
        for document in documents:
            read_one = _read(document, *next(rows)) if document.sentences else Read({}, {}, frozenset())
            yield read_one._replace(foreign=reader.encoder.packs and document.pieces > FOREIGN)


def _read(document: Document, logits: Sequence[float], shown: "Tensor") -> Read:
    from annotators.embedding.reader import SHOWN

    rows = shown[: len(document.sentences)].tolist()
    evidence = {}
    for name in RISKY_PATTERNS:
        speaking = [row[SHOWN.index(name)] for row in rows]
        groups = ("reasoning", "answer") if name == "inconsistency" else ("reasoning",)
        chosen = [n for field in groups for n in _strongest(document, speaking, field, SPANS // len(groups))]
        evidence[name] = [document.sentences[n] for n in sorted(chosen)]
    fields = frozenset(sentence.field for sentence in document.sentences)
    return Read(dict(zip(RISKY_PATTERNS, logits, strict=True)), evidence, fields)


def _strongest(document: Document, speaking: Sequence[float], field: str, limit: int) -> list[int]:
    numbers = [n for n, sentence in enumerate(document.sentences) if sentence.field == field]
    numbers.sort(key=lambda n: -speaking[n])
    return [n for rank, n in enumerate(numbers[:limit]) if rank == 0 or speaking[n] > 0]
