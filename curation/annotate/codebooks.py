"""The codebooks that annotators label: those of the corpus, and those that come with an annotator and are added to it."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from annotators.structure.grammar import codebook
from curation.codebook.stage import add
from curation.codebook.stored import known
from curation.codebook.structures import find_structure, is_structure
from curation.corpus.store import Store
from schemas.codebooks import Codebook, shipped, shipped_names


class JudgedCodebooks(NamedTuple):
    """What annotators label, and what they labelled before."""

    in_force: Mapping[str, Codebook] = MappingProxyType({})
    """By name."""
    earlier: tuple[Codebook, ...] = ()
    """Their versions that are no longer in force."""


def judged_codebooks(corpus: Store, annotators: Sequence[str], *, added: bool) -> JudgedCodebooks:
    """The corpus's codebooks; what else is judged is added to it unless this is an estimate.

    Raises:
        RecipeError: if a structure's file is wrong, or a codebook differs from that of the corpus.
    """
    kept = known(corpus)
    there = dict(kept.codebooks)
    for book in _brought(annotators):
        if book.name not in there or is_structure_codebook(book):
            if added:
                add(corpus, book)
            there[book.name] = book
    return JudgedCodebooks(there, kept.earlier)


def is_structure_codebook(book: Codebook) -> bool:
    """Whether a codebook is that of a structure's file, which may have changed."""
    return book.name.startswith("structure-")


def _brought(annotators: Sequence[str]) -> Iterator[Codebook]:
    for name in annotators:
        family, _, which = name.partition(":")
        if is_structure(name):
            yield codebook(find_structure(name))
        elif family == "codebook" and which.partition(":")[0] in shipped_names():
            yield shipped(which.partition(":")[0])
