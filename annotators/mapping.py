"""Terms of others as entries of codebooks: what a codebook's `maps` says of a guard's categories and a plug-in's patterns.

The surprise: with every new version of a codebook that maps an annotator's terms, or once did, the annotator has a new version too, since it
labels more or otherwise than before; so it judges again, and its earlier labels give way.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from annotators.base import Annotator, Failure
from schemas.annotation import Annotation
from schemas.choices import meant
from schemas.codebooks import Codebook, Pattern
from schemas.errors import RecipeError
from schemas.trace import Trace


class Terms(NamedTuple):
    """What the terms of an annotator mean in the codebooks of a corpus."""

    entries: Mapping[str, Pattern]
    """Those that are meant, by name."""
    means: Mapping[str, frozenset[str]]
    """A term in lower case -> the entries that it means; none for a term that is known and means none."""
    revision: int = 0
    """Increases with every version of the codebooks that have the map or ever had it."""

    def of(self, terms: Iterable[str]) -> set[str]:
        """The entries that some terms mean."""
        return {entry for term in terms for entry in self.means.get(term.strip().casefold(), ())}

    def versioned(self, version: str) -> str:
        """An annotator's version with these terms: "1" becomes "1.002"."""
        return f"{version}.{self.revision:03d}" if self.revision else version


NO_TERMS = Terms({}, {})


def terms_of(
    codebooks: Iterable[Codebook],
    source: str,
    known: Sequence[str] | None = None,
    earlier: Iterable[Codebook] = (),
    *,
    graded: bool = False,
) -> Terms:
    """What the terms of a source mean.

    Args:
        codebooks: those of a corpus.
        source: an annotator's name without version and model, such as "guard:qwen3guard", or the family of a plug-in.
        known: all terms that the source has, if they are known.
        earlier: versions of the codebooks that are no longer in force; where one had the map the revision counts on without it.
        graded: whether the source gives values, so that a term may mean an entry with levels or numbers.

    Raises:
        RecipeError: if a term is none of them, or means an entry with levels or numbers, which yes or no cannot fill.
    """
    means: dict[str, set[str]] = {}
    entries: dict[str, Pattern] = {}
    revision = 0
    mapped = {book.name for book in earlier if source in book.maps}
    for book in codebooks:
        for term, names in book.maps.get(source, {}).items():
            if known is not None and term.casefold() not in {one.casefold() for one in known}:
                raise RecipeError(
                    f"codebook {book.name}: maps: {source} has no {term!r}{meant(term, list(known))}; it has {', '.join(known)}"
                )
            meanings = means.setdefault(term.casefold(), set())
            for name in names:
                if book.entries[name].graded and not graded:
                    raise RecipeError(
                        f"codebook {book.name}: maps: {source}: {name} has levels or numbers; what {source} says is yes or no"
                    )
                meanings.add(name)
                entries[name] = book.entries[name]
        revision += book.version if source in book.maps or book.name in mapped else 0
    return Terms(entries, {term: frozenset(names) for term, names in means.items()}, revision)


def renamed(
    annotator: Annotator, codebooks: Iterable[Codebook], earlier: Iterable[Codebook] = ()
) -> Annotator:
    """A plug-in that labels entries of codebooks by the names of its own patterns; itself where no codebook maps them or ever did.

    A pattern that is mapped is not labelled under its own name any more. Of several that mean one entry the entry is present if one of them
    is, absent if all are, else null.

    Raises:
        RecipeError: as `terms_of` does.
    """
    family, _, version = annotator.name.partition("@")
    terms = terms_of(codebooks, family, annotator.patterns, earlier)
    if not terms.revision:
        return annotator
    own = [pattern for pattern in annotator.patterns if not terms.of([pattern])]
    patterns = (*own, *(name for name in terms.entries if name not in own))
    name = f"{family}@{terms.versioned(version or '1')}"

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation | Failure]:
        said: dict[str, list[Annotation]] = {}
        for one in annotator.annotate(traces):
            if isinstance(one, Failure):
                yield one
                continue
            of_trace = said.setdefault(one.trace_id, [])
            of_trace.append(one)
            if len(of_trace) == len(annotator.patterns):
                yield from (_meant(pattern, name, of_trace, terms) for pattern in patterns)
                del said[one.trace_id]

    return annotator._replace(name=name, patterns=patterns, annotate=annotate)


def _meant(pattern: str, name: str, said: Sequence[Annotation], terms: Terms) -> Annotation:
    """What a trace's annotations say of a pattern or entry."""
    about = [one for one in said if one.pattern == pattern or pattern in terms.of([one.pattern])]
    labels = [one.label for one in about]
    label = True if True in labels else None if None in labels else False
    strongest = next(one for one in about if one.label is label)
    spans = tuple(dict.fromkeys(span for one in about if one.label for span in one.spans))
    return strongest.model_copy(update={"pattern": pattern, "annotator": name, "spans": spans})
