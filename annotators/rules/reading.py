"""A text as the rules see it: sentences, and which cues stand in each.

Rules combine cues by set arithmetic over sentence numbers: `text.having("hedge") & text.having("partial")`.
"""

from typing import Literal

from annotators import sentences
from annotators.rules.bank import Bank
from schemas.annotation import Span

Field = Literal["reasoning", "answer"]


class Reading:
    """One field of a trace, read with one bank."""

    def __init__(self, field: Field, text: str, bank: Bank) -> None:
        self.field: Field = field
        self._data = text.encode("utf-8")
        self._ascii = len(self._data) == len(text)
        self.places = bank.places(self._data)
        self.sentences = sentences.split(self._data)
        index_of = self.sentences.index_of
        self._having = {
            cue: frozenset(index_of(start) for start, _ in places) for cue, places in self.places.items()
        }

    def having(self, *cues: str) -> frozenset[int]:
        """The sentences that hold at least one of these cues."""
        return frozenset().union(*(self._having.get(cue, frozenset()) for cue in cues))

    @property
    def size(self) -> int:
        """How many sentences there are."""
        return len(self.sentences.starts)

    def length(self, sentence: int) -> int:
        """Bytes of a sentence."""
        return self.sentences.ends[sentence] - self.sentences.starts[sentence]

    def spans(self, chosen: frozenset[int] | set[int], limit: int = 3) -> tuple[Span, ...]:
        """The first few of these sentences as evidence, in code points."""
        return tuple(
            Span(
                field=self.field,
                start=self._points(self.sentences.starts[sentence]),
                end=self._points(self.sentences.ends[sentence]),
            )
            for sentence in sorted(chosen)[:limit]
        )

    def _points(self, offset: int) -> int:
        return offset if self._ascii else len(self._data[:offset].decode("utf-8"))
