"""The labelled set as the heads learn from it: sentence vectors, and which sentences are known to show what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from annotators.benchmark import Labelled
from annotators.embedding.annotating import sentences_of, vectors_of
from annotators.embedding.encoder import Encoder
from annotators.embedding.heads import REASONING_TRAITS
from schemas.patterns import RISKY_PATTERNS

if TYPE_CHECKING:
    from annotators.embedding.heads import Array

FOLDS = 12


class Example(NamedTuple):
    """A labelled trace, ready to be learned from."""

    item: Labelled
    reasoning: "Array"
    answer: "Array"
    shown: "Array"
    """(sentences, traits): 1 where a sentence is written evidence."""
    known: "Array"
    """(sentences, traits): 1 where it is known whether a sentence shows the trait."""


def prepare(items: Sequence[Labelled], encoder: Encoder | None = None) -> list[Example]:
    """Encode labelled traces and find their evidence among the sentences."""
    import numpy as np

    examples = []
    vectors = vectors_of(encoder or Encoder(), [item.trace for item in items])
    for item, (reasoning, answer) in zip(items, vectors, strict=True):
        shown = np.zeros((len(reasoning), len(REASONING_TRAITS)), dtype=np.float32)
        known = np.zeros_like(shown)
        sentences = sentences_of(item.trace.reasoning)
        for number, trait in enumerate(REASONING_TRAITS):
            quotes = item.evidence.get(trait, [])
            if quotes:
                shown[:, number] = [overlaps(sentence, quotes) for sentence in sentences]
                known[:, number] = shown[:, number]
            elif trait in RISKY_PATTERNS:
                known[:, number] = 1
        examples.append(Example(item, reasoning, answer, shown, known))
    return examples


def overlaps(sentence: str, quotes: Sequence[str]) -> bool:
    """Whether a sentence and a piece of evidence hold one another."""
    return any(sentence in quote or quote in sentence for quote in quotes)


def folds(examples: Sequence[Example]) -> list[tuple[list[int], list[int]]]:
    """Training and held-out numbers; a batch, and with it its topics, is wholly in one or the other."""
    from sklearn.model_selection import GroupKFold

    batches = [example.item.batch for example in examples]
    splitter = GroupKFold(min(FOLDS, len(set(batches))))
    return [(list(a), list(b)) for a, b in splitter.split(batches, groups=batches)]
