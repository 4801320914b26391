"""A reader with its decisions: what is saved, shipped and opened as one thing, a folder of `reader.safetensors` and `card.json`.

Only what was trained is saved; MiniLM's lower layers come with its package.
"""

import json
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

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
WEIGHTS, CARD, OWN = "reader.safetensors", "card.json", "own.safetensors"
TOGETHER = 16
"""Traces read at once, however many cores there are: what is packed together moves scores in their last digits."""
FOREIGN = 1.7
"""Tokens per word from which MiniLM hardly knows the language: English has 1.2 to 1.5, other languages 1.9 and more."""
SPANS = 2
"""Sentences of evidence; the second only where it speaks for the pattern by itself."""


class Decision(BaseModel):
    """From a pattern's logit to its probability; the label is true from one half on, where the expected F1 was best on the rows that it comes from."""

    model_config = ConfigDict(extra="forbid")

    slope: float
    shift: float
    rules: float = 0.0
    """Weight of the rules' label (1, -1, or 0 if they abstain)."""
    own: tuple[float, ...] = Field(default=(), exclude=True)
    """Weights of the reader's states, learned from somebody's labels; kept in a file of their own."""

    def probability(self, logit: float, rules: float = 0.0, states: Sequence[float] = ()) -> float:
        """The probability that the pattern is present."""
        if self.own and len(self.own) != len(states):
            raise DataError(
                f"{OWN}: {len(self.own)} weights for {len(states)} states: it was learned on another reader; adapt again with "
                "`curate train-annotator --labels`"
            )
        odds = self.slope * logit + self.rules * rules + self.shift + sum(map(mul, self.own, states))
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
    states: tuple[float, ...] = ()
    """What the reader made of reasoning and answer."""


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
        own = {
            f"{kind}.{name}": torch.tensor(decision.own)
            for kind, decisions in self.card.decisions.items()
            for name, decision in decisions.items()
            if decision.own
        }
        save_file(own, folder / OWN)
        text = json.dumps(self.card.model_dump(), indent=1, ensure_ascii=False)
        (folder / CARD).write_text(text + "\n", encoding="utf-8")


def open_model(folder: Path = HERE) -> TrainedReader:
    """Open what `save` wrote.

    Raises:
        MissingExtraError: if the extra `models` is not installed.
        DataError: if the folder holds no reader.
    """
    require("sentence_transformers", "torch", "safetensors", extra="models")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from annotators.embedding.reader import Reader
    from annotators.embedding.vectors import SentenceVectors

    try:
        card = Card.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
        for place, own in (load_file(folder / OWN) if (folder / OWN).exists() else {}).items():
            kind, name = place.split(".")
            card.decisions[kind][name].own = tuple(own.tolist())
        reader = Reader(SentenceVectors(Path(card.encoder) if card.encoder else None))
        reader.load_state_dict(weights)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folder}: no annotator here ({reason(error)}); `curate train-annotator` makes one"
        ) from error
    reader.encoder.for_reading()
    return TrainedReader(reader.eval(), card)


def read_all(reader: "Reader", traces: Sequence[Trace]) -> Iterator[Read]:
    """Read traces, a few at a time and several times at once: one core each, since cores that wait for each other stand still when others work."""
    import torch

    threads = torch.get_num_threads() if reader.encoder.device.type == "cpu" else 1
    batches = (traces[start : start + TOGETHER] for start in range(0, len(traces), TOGETHER))
    documents = (read(batch, reader.encoder.tokenizer) for batch in batches)
    if threads == 1 or len(traces) <= TOGETHER:
        for batch in documents:
            yield from _read_batch(reader, batch)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            begun: deque[Future[list[Read]]] = deque()
            for batch in documents:
                begun.append(pool.submit(_read_batch, reader, batch))
                if len(begun) > threads:
                    yield from begun.popleft().result()
            while begun:
                yield from begun.popleft().result()
    finally:
        torch.set_num_threads(threads)


def _read_batch(reader: "Reader", documents: Sequence[Document]) -> list[Read]:
    import torch

    full = [document for document in documents if document.sentences]
    half = torch.autocast(reader.encoder.device.type, torch.bfloat16, enabled=reader.encoder.reads_half)
    with torch.inference_mode(), half:
        found = reader.read(full) if full else None
    parts = (found.traces.tolist(), found.sentences.cpu(), found.states.tolist()) if found else ((), (), ())
    rows = zip(*parts, strict=True)
    return [
        (_read(one, *next(rows)) if one.sentences else Read({}, {}, frozenset()))._replace(
            foreign=reader.encoder.packs and one.pieces > FOREIGN
        )
        for one in documents
    ]


def _read(document: Document, logits: Sequence[float], shown: "Tensor", states: Sequence[float]) -> Read:
    from annotators.embedding.reader import SHOWN

    rows = shown[: len(document.sentences)].tolist()
    evidence = {}
    for name in RISKY_PATTERNS:
        speaking = [row[SHOWN.index(name)] for row in rows]
        groups = ("reasoning", "answer") if name == "inconsistency" else ("reasoning",)
        chosen = [n for field in groups for n in _strongest(document, speaking, field, SPANS // len(groups))]
        evidence[name] = [document.sentences[n] for n in sorted(chosen)]
    fields = frozenset(sentence.field for sentence in document.sentences)
    return Read(dict(zip(RISKY_PATTERNS, logits, strict=True)), evidence, fields, states=tuple(states))


def _strongest(document: Document, speaking: Sequence[float], field: str, limit: int) -> list[int]:
    numbers = [n for n, sentence in enumerate(document.sentences) if sentence.field == field]
    numbers.sort(key=lambda n: -speaking[n])
    return [n for rank, n in enumerate(numbers[:limit]) if rank == 0 or speaking[n] > 0]
