"""A text as the rules see it: its sentences, and which cues occur in each.

Rules combine cues by set arithmetic over sentence numbers: `text.having("hedge") & text.having("partial")`.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Literal

from annotators.rules.bank import Bank
from annotators.sentences import split
from schemas.annotation import Span

Field = Literal["reasoning", "answer"]
Numbers = frozenset[int]
"""Indices of sentences in the text."""
NONE: Numbers = frozenset()


class Reading:
    """One field of a trace, read with one cue bank."""

    def __init__(self, field: Field, text: str, bank: Bank) -> None:
        self.field: Field = field
        self._bank = bank
        self._data = text.encode("utf-8")
        self._ascii = len(self._data) == len(text)
        self._sentences = split(self._data)
        self._numbers: dict[str, Numbers] = {}
        self.cues = bank.cues_in(self._data)
        """The cues without gaps that occur in the text."""

    @property
    def size(self) -> int:
        """How many sentences there are."""
        return len(self._sentences.starts)

    def having(self, *cues: str) -> Numbers:
        """The sentences that contain at least one of these cues."""
        if len(cues) == 1:
            return self._sentences_with(cues[0])
        return NONE.union(*map(self._sentences_with, cues))

    def counting(self, cue: str, least: int) -> Numbers:
        """The sentences that contain a cue at least `least` times."""
        counts = Counter(self._places(cue))
        return frozenset(number for number, count in counts.items() if count >= least)

    def outnumbering(self, cue: str, pardon: str) -> Numbers:
        """The sentences that contain a cue more often than the cue that takes it back."""
        counts = Counter(self._places(cue))
        if counts:
            counts.subtract(self._places(pardon))
        return frozenset(number for number, count in counts.items() if count > 0)

    def count(self, cue: str) -> int:
        """How often a cue occurs in the text."""
        return len(self._places(cue))

    def naming(self, names: Iterable[str]) -> Numbers:
        """The sentences that contain one of these names, case-sensitive."""
        numbers = set()
        for name in names:
            word = name.encode("utf-8")
            at = self._data.find(word)
            while at >= 0:
                numbers.add(self._sentences.index_of(at))
                at = self._data.find(word, at + len(word))
        return frozenset(numbers)

    def scope(self, cue: str) -> Numbers:
        """The sentences from one with this cue to the end of its paragraph."""
        covered = set()
        for start in self.having(cue):
            for number in range(start, self.size):
                if number > start and number in self._paragraph_starts:
                    break
                covered.add(number)
        return frozenset(covered)

    def spans(self, chosen: Numbers, limit: int) -> tuple[Span, ...]:
        """The first few of these sentences as evidence, in code points."""
        starts, end = self._sentences.starts, self._sentences.end
        return tuple(
            Span(field=self.field, start=self._points(starts[number]), end=self._points(end(number)))
            for number in sorted(chosen)[:limit]
        )

    def _sentences_with(self, cue: str) -> Numbers:
        if cue not in self._numbers:
            self._numbers[cue] = frozenset(self._places(cue))
        return self._numbers[cue]

    def _places(self, cue: str) -> list[int]:
        """The sentence of each occurrence of a cue; a sentence is listed as often as the cue occurs in it."""
        if cue not in self.cues and cue not in self._bank.gap_cues:
            return []
        return [self._sentences.index_of(start) for start in self._bank.starts(cue, self._data)]

    @cached_property
    def _paragraph_starts(self) -> Numbers:
        starts, end = self._sentences.starts, self._sentences.end
        return frozenset(n for n in range(1, self.size) if self._data.count(b"\n", end(n - 1), starts[n]) > 1)

    def _points(self, offset: int) -> int:
        return offset if self._ascii else len(self._data[:offset].decode("utf-8"))
