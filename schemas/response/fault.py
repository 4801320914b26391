"""The two outcomes of reading a response."""

from typing import NamedTuple


class Split(NamedTuple):
    """The two fields of a response."""

    reasoning: str
    answer: str


class Fault(NamedTuple):
    """Why a row cannot be used."""

    reason: str
    """Category for the counts, such as "no_think"."""
    detail: str
    """What is wrong, for people; quotes no text of the row."""
