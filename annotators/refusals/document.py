"""Answers as the refusal reader takes them in: the windows of what is read, and what is known of each sentence beside its words."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from annotators.embedding.reading import Window
from annotators.embedding.reading import read as read_documents
from annotators.refusals.reading import CUES, OwnWords, read
from schemas.trace import Trace

CUE_NAMES = tuple(cue for several in CUES.values() for cue in several)
PARDONED, WORDS = len(CUE_NAMES), len(CUE_NAMES) + 1
LONG = 30
"""Words of a long sentence."""
MANY = 8
"""Sentences of a long answer."""
PLACES = WORDS + 1 + 6
"""What is known of a sentence: cues, whether it only sounds like a refusal, its length, and six numbers of its place."""


class AnswerDocument(NamedTuple):
    """What is read of an answer."""

    windows: list[Window]
    bounds: list[tuple[int, int]]
    """Of each sentence, in code points of the answer."""
    numbers: list[int]
    """Of each sentence among all of the answer's."""
    size: int
    """Sentences of the whole answer."""
    known: Tensor
    """Cues, pardon and length of each sentence; (sentences, WORDS + 1)."""
    kept: list[int] | None = None
    """Rows among the windows' sentences, if these are not all or not in order."""

    @property
    def pardoned(self) -> Tensor:
        """Sentences that only sound like a refusal, or are somebody else's."""
        return self.known[:, PARDONED] > 0

    def places(self) -> Tensor:
        """(sentences, PLACES)"""
        n = torch.tensor(self.numbers, dtype=torch.float)
        after = self.size - 1 - n
        where = [n == 0, after == 0, after < 3, n / max(1, self.size), torch.full_like(n, self.size == 1), torch.full_like(n, self.size > MANY)]  # fmt: skip
        return torch.cat([self.known, torch.stack([w.float() for w in where], 1)], 1)


def documents(answers: Sequence[str], tokenizer: Any) -> list[AnswerDocument]:
    """The documents of answers, with the tokens of a fast tokenizer."""
    said = [read(answer) for answer in answers]
    rows = iter(read_documents([_as_trace(part.text) for one in said for part in one.parts], tokenizer))
    return [_document(one, [next(rows) for _ in one.parts]) for one in said]


def _document(said: OwnWords, parts: Sequence[Any]) -> AnswerDocument:
    bounds, numbers, known = [], [], []
    for part, document in zip(said.parts, parts, strict=True):
        for place, sentence in enumerate(document.sentences):
            number = part.first + place
            words = len(part.text[sentence.start : sentence.end].split())
            cues = [number in said.cues[cue] for cue in CUE_NAMES]
            known.append([*map(float, cues), float(number in said.pardoned), min(words, LONG) / LONG])
            bounds.append((part.start + sentence.start, part.start + sentence.end))
            numbers.append(number)
    windows = [window for document in parts for window in document.windows]
    return AnswerDocument(windows, bounds, numbers, said.size, torch.tensor(known).reshape(-1, WORDS + 1))


def _as_trace(answer: str) -> Trace:
    return Trace(
        trace_id="0" * 32, prompt_id="0" * 32, prompt="", reasoning="", answer=answer, source_file="", source_line=1
    )  # fmt: skip
