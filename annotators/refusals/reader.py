"""The refusal reader: what each sentence of an answer does, and what the answer does, read together.

The encoder and the transformer over sentences are the embedding annotator's; the tuned layer and the weights are its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from annotators.embedding.reader import SHARPNESS, SentenceContext
from annotators.embedding.reading import Window
from annotators.embedding.vectors import SentenceVectors
from annotators.refusals.classes import CLASSES, DOES, IDLE, REFUSING
from annotators.refusals.document import PLACES, AnswerDocument

HEADS = 2
PARDONED = -2.0
"""The highest logit of refusing that a sentence keeps if it only sounds like a refusal."""
NEVER = -15.0
"""Logit of what is no sentence."""
LIMIT = 6.0
"""Beyond it no logit of a sentence says more."""
TOGETHER = 64
"""Answers judged at once."""


class Judgement(NamedTuple):
    """What a head makes of some answers, as logits."""

    sentences: Tensor
    """(answers, sentences, DOES)"""
    answers: Tensor
    """(answers, CLASSES)"""


class RefusalHead(SentenceContext):
    """Judges all sentences of an answer together."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1, 1, PLACES)
        self.sentence = nn.Linear(self.norm.normalized_shape[0] * 2, len(DOES))
        self.answer = nn.Linear(self.norm.normalized_shape[0], len(CLASSES))
        self.mix = nn.Linear(len(DOES), len(CLASSES))
        nn.init.normal_(self.field.weight, std=0.02)

    def forward(self, vectors: Tensor, fields: Tensor, places: Tensor, pardoned: Tensor) -> Judgement:
        """Judge sentence vectors (answers, sentences, width)."""
        summary, seen = self.together(vectors, fields, places)
        logits = self.sentence(seen).float()
        capped = torch.where(pardoned, logits[..., REFUSING].clamp(max=PARDONED), logits[..., REFUSING])
        logits = torch.cat([capped[..., None], logits[..., IDLE:]], -1)
        logits = logits.masked_fill((fields < 0)[..., None], NEVER)
        strongest = torch.logsumexp(logits * SHARPNESS, 1) / SHARPNESS
        return Judgement(
            logits, (self.answer(summary[:, 0]) + self.mix(strongest.clamp(-LIMIT, LIMIT))).float()
        )


class RefusalReader(nn.Module):
    """Documents in, logits out."""

    def __init__(self, encoder: SentenceVectors) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleList(RefusalHead(encoder.width) for _ in range(HEADS)).to(encoder.device)

    def forward(
        self, documents: Sequence[AnswerDocument], vectors: Mapping[Window, Tensor] | None = None
    ) -> list[Judgement]:
        """What each head makes of some answers; none depends on another."""
        found = vectors or self.encoder(window for document in documents for window in document.windows)
        rows = [_row(document, found) for document in documents]
        length = max(map(len, rows))
        padded = torch.stack([pad(row.float(), (0, 0, 0, length - len(row))) for row in rows])
        places = torch.stack([pad(d.places(), (0, 0, 0, length - len(d.bounds))) for d in documents])
        pardoned = torch.stack([pad(d.pardoned, (0, length - len(d.bounds))) for d in documents])
        lengths = torch.tensor([len(row) for row in rows])
        fields = -(torch.arange(length)[None] >= lengths[:, None]).long()
        on = padded.device
        return [head(padded, fields.to(on), places.to(on), pardoned.to(on)) for head in self.heads]

    def scores(self, documents: Sequence[AnswerDocument]) -> Iterator[Tensor]:
        """Logits of the classes, a few answers at a time; of answers with sentences."""
        for start in range(0, len(documents), TOGETHER):
            yield from self.judged(documents[start : start + TOGETHER]).answers

    def judged(self, documents: Sequence[AnswerDocument]) -> Judgement:
        """The mean of the heads' logits, without learning."""
        half = torch.autocast(self.encoder.device.type, torch.bfloat16, enabled=self.encoder.reads_half)
        with torch.inference_mode(), half:
            heads = self(documents)
        return Judgement(*(torch.stack(part).float().mean(0).cpu() for part in zip(*heads, strict=True)))


def _row(document: AnswerDocument, found: Mapping[Window, Tensor]) -> Tensor:
    every = torch.cat([found[window] for window in document.windows])
    return every if document.kept is None else every[document.kept]
