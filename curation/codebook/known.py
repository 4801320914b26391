"""The entries that a corpus knows: the shipped patterns and properties, and those of every codebook that was added to it.

A corpus keeps the codebooks themselves (table `codebooks`), so it can be read where their files are not.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from schemas.choices import meant
from schemas.codebooks import Codebook, Combination, Pattern, shipped
from schemas.errors import CorpusError, UsageError
from schemas.patterns import BUILT_IN, CODEBOOK, CODEBOOK_VERSION


class Known(NamedTuple):
    """What can be judged in a corpus."""

    codebooks: Mapping[str, Codebook]
    """Those that were added, by name: the last version of each."""
    entries: Mapping[str, Pattern]
    """All entries by name; the shipped ones come first."""
    earlier: tuple[Codebook, ...] = ()
    """Versions of the added codebooks that are no longer in force: what was judged under them is read with them."""

    @classmethod
    def of_texts(cls, rows: Iterable[tuple[str]]) -> "Known":
        """The entries of stored codebooks, in order of their versions.

        Raises:
            CorpusError: if one is not a codebook.
        """
        try:
            added = [Codebook.model_validate(orjson.loads(text)) for (text,) in rows]
        except ValueError as error:
            raise CorpusError(
                f"table codebooks: a codebook of this corpus cannot be read ({type(error).__name__}); it was written by another "
                "version of this toolkit, or by hand"
            ) from error
        current = cls.of({codebook.name: codebook for codebook in added})
        return current._replace(earlier=tuple(b for b in added if b is not current.codebooks[b.name]))

    @classmethod
    def of(cls, codebooks: Mapping[str, Codebook]) -> "Known":
        """The shipped entries and these."""
        entries = {entry.name: entry for entry in CODEBOOK}
        for codebook in codebooks.values():
            for name, entry in codebook.entries.items():
                entries.setdefault(name, entry)  # nobody redefines what is shipped
        return cls(codebooks, entries)

    @property
    def combined(self) -> dict[str, Combination]:
        """The combinations of all codebooks by name."""
        return {name: one for codebook in self.codebooks.values() for name, one in codebook.combined.items()}

    @property
    def columns(self) -> list[str]:
        """The columns that the added codebooks bring to `candidates`."""
        of_entries = [name for book in self.codebooks.values() for name in book.entries]
        return [*of_entries, *(f"{name}_score" for name in of_entries), *self.combined]

    def version_of(self, entry: str) -> int:
        """The version of the codebook that an entry is from."""
        found = [book.version for book in self.codebooks.values() if entry in book.entries]
        return found[0] if found else CODEBOOK_VERSION

    def wanted(self, names: Iterable[str]) -> list[str]:
        """Names of entries, and of codebooks for all of their entries, as entries.

        Raises:
            UsageError: if there is no such entry or codebook; lists those there are.
        """
        found: dict[str, None] = {}
        for name in names:
            if name in self.codebooks:
                found |= dict.fromkeys(self.codebooks[name].entries)
            elif name in BUILT_IN:
                found |= dict.fromkeys(shipped(name).entries)
            elif name in self.entries:
                found[name] = None
            else:
                known = [*BUILT_IN, *self.codebooks, *self.entries]
                raise UsageError(
                    f"unknown pattern {name}{meant(name, known)}; the codebooks have {', '.join(known)}; "
                    "add yours with: curate codebook add FILE"
                )
        return list(found)
