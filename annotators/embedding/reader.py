"""The reader: an encoder's sentence vectors, and small transformers over all sentences of a trace that judge them together.

A sentence is its tokens' mean from a middle layer (how it is said) and from the last one (what it says, tuned here). Two further
places in the sequence stand for the two conclusions, the reasoning's and the answer's. Each pattern is read twice: off a conclusion, for
what is *not* said and what contradicts, and off the strongest sentences, which are also its evidence.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from annotators.embedding.reading import FIELDS, Document, Window
from annotators.embedding.vectors import SentenceVectors
from schemas.patterns import RISKY_PATTERNS

HEADS = 2
WIDTH, DEPTH, ATTENTION_HEADS = 256, 2, 8
PLACES = 4
DROPOUT = 0.2
INPUT_DROPOUT = 0.3
NEVER = -15.0
"""Logit of a sentence that cannot show a pattern: it stands in another field."""
SHARPNESS = 1.5
"""Of the soft maximum over sentences."""
CONCLUSIONS = ("reasoning_refusal", "answer_refusal")
SHOWN = ("safety_awareness", *RISKY_PATTERNS[1:], "lack_of_safety_awareness")
"""What a sentence may show. In a pattern's place stands what speaks for it, or for a lack of awareness against it; the last is
the sentence that takes the task for a plain job, which is evidence and joins no verdict."""


Vectors = Mapping[Window, Tensor]
"""Sentence vectors by window."""


class Logits(NamedTuple):
    """What the reader makes of some traces, as logits."""

    sentences: Tensor
    """(traces, sentences, SHOWN)"""
    traces: Tensor
    """(traces, patterns)"""
    conclusions: Tensor
    """(traces, CONCLUSIONS)"""
    states: Tensor
    """(traces, width): what it made of reasoning and answer, for whoever learns anew from it."""


class SentenceContext(nn.Module):
    """A small transformer over the sentences of a text; further places, before the first, sum the text up."""

    def __init__(self, width: int, fields: int, summaries: int, places: int) -> None:
        super().__init__()
        self.scale, self.narrow = nn.LayerNorm(width), nn.Linear(width, WIDTH)
        self.field = nn.Embedding(fields + summaries, WIDTH)
        self.place = nn.Linear(places, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, ATTENTION_HEADS, 2 * WIDTH, DROPOUT, "gelu", batch_first=True, norm_first=True
        )
        self.context = nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(WIDTH)
        self.drop_input, self.drop = nn.Dropout(INPUT_DROPOUT), nn.Dropout(DROPOUT)
        self.summaries = summaries

    def together(self, vectors: Tensor, fields: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Summaries (texts, summaries, WIDTH), and sentences (texts, sentences, 2 * WIDTH), each alone and in context.

        Args:
            vectors: (texts, sentences, width).
            fields: (texts, sentences), the number of each sentence's field, -1 beyond the last.
            places: (texts, sentences, places), what else is known of a sentence.
        """
        own = gelu(self.narrow(self.drop_input(self.scale(vectors))))
        placed = own + self.field(fields.clamp(min=0)) + self.place(places)
        first = self.field.weight[-self.summaries :].expand(len(vectors), -1, -1)
        padded = pad(fields < 0, (self.summaries, 0), value=False)
        seen = self.norm(self.context(self.drop(torch.cat([first, placed], 1)), src_key_padding_mask=padded))
        return self.drop(seen[:, : self.summaries]), torch.cat(
            [self.drop(own), seen[:, self.summaries :]], -1
        )


class SentenceHead(SentenceContext):
    """Judges all sentences of a trace together."""

    def __init__(self, width: int) -> None:
        super().__init__(width, len(FIELDS), len(CONCLUSIONS), PLACES)
        self.sentence = nn.Linear(2 * WIDTH, len(SHOWN))
        self.trace = nn.Linear(WIDTH, len(RISKY_PATTERNS) - 1)
        self.pair = nn.Sequential(
            nn.Linear(4 * WIDTH, WIDTH), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, 1)
        )
        self.conclusion = nn.Linear(WIDTH, len(CONCLUSIONS))
        self.mix = nn.Parameter(torch.tensor([-0.5, 1.0, 1.0, 1.0, 0.5]))
        """Weight of the strongest sentences in each pattern; an aware sentence speaks against a lack."""
        nn.init.normal_(self.field.weight, std=0.02)

    def forward(self, vectors: Tensor, fields: Tensor, places: Tensor) -> Logits:
        """Judge sentence vectors (traces, sentences, width)."""
        conclusions, seen = self.together(vectors, fields, places)
        reasoning, answer = conclusions.unbind(1)
        sentences = self.sentence(seen).float()
        sentences = sentences.masked_fill(_elsewhere(fields), NEVER)
        pair = torch.cat([reasoning, answer, reasoning * answer, (reasoning - answer).abs()], -1)
        whole = torch.cat([self.trace(reasoning), self.pair(pair)], -1).float()
        strongest = torch.logsumexp(sentences[..., : len(RISKY_PATTERNS)] * SHARPNESS, 1) / SHARPNESS
        concluded = self.conclusion(conclusions).float()
        verdicts, states = whole + self.mix * strongest, torch.cat([reasoning, answer], -1)
        return Logits(sentences, verdicts, concluded.diagonal(dim1=1, dim2=2), states)


class Reader(nn.Module):
    """Documents in, logits out: one encoder, and several heads whose opinions are averaged."""

    def __init__(self, encoder: SentenceVectors) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleList(SentenceHead(encoder.width) for _ in range(HEADS)).to(encoder.device)

    def forward(self, documents: Sequence[Document], vectors: Vectors | None = None) -> list[Logits]:
        """What each head makes of some traces; none depends on another.

        Args:
            documents: the traces.
            vectors: what the encoder made of their windows, where that is known.
        """
        found = vectors or self.encoder(window for document in documents for window in document.windows)
        rows = [_row(document, found) for document in documents]
        fields = _fields(documents).to(rows[0].device)
        length = fields.shape[1]
        padded = torch.stack([pad(row.float(), (0, 0, 0, length - len(row))) for row in rows])
        places = _places(documents, length).to(padded)
        return [head(padded, fields, places) for head in self.heads]

    def read(self, documents: Sequence[Document]) -> Logits:
        """The mean of the heads' logits, and the states of all."""
        read = self(documents)

        def mean(part: int) -> Tensor:
            return torch.stack([logits[part] for logits in read]).float().mean(0)

        states = torch.cat([logits.states for logits in read], -1).float()
        return Logits(mean(0), mean(1), mean(2), states)


def _row(document: Document, found: Vectors) -> Tensor:
    every = torch.cat([found[window] for window in document.windows])
    return every if document.kept is None else every[document.kept]


def _fields(documents: Sequence[Document]) -> Tensor:
    """(traces, sentences): the number of each sentence's field, -1 beyond the last."""
    numbers = [[FIELDS.index(sentence.field) for sentence in document.sentences] for document in documents]
    length = max(map(len, numbers))
    return torch.tensor([row + [-1] * (length - len(row)) for row in numbers])


def _places(documents: Sequence[Document], length: int) -> Tensor:
    """(traces, sentences, PLACES): how far into its field, and whether it is the first, the last, one of the last three."""
    places = torch.zeros(len(documents), length, PLACES)
    for row, document in enumerate(documents):
        start = 0
        for field in FIELDS:
            count = sum(sentence.field == field for sentence in document.sentences)
            n = torch.arange(count)
            here = torch.stack([n / max(1, count), n == 0, n == count - 1, n >= count - 3], 1)
            places[row, start : start + count] = here
            start += count
    return places


def _elsewhere(fields: Tensor) -> Tensor:
    """(traces, sentences, SHOWN): where a sentence cannot show something."""
    outside = (fields != FIELDS.index("reasoning"))[..., None].repeat(1, 1, len(SHOWN))
    outside[..., SHOWN.index("inconsistency")] = fields < FIELDS.index("reasoning")
    return outside
