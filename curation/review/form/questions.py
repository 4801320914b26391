"""What a reviewer is asked, and the guidelines, both made from the entries of a codebook: the five patterns, or a lab's own.

Names are written once here: pushing, pulling and status all speak of questions by these. Entries that are yes or no share one question,
as labels to tick; every entry with levels or numbers has a question of its own.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Literal, NamedTuple

from curation.codebook.known import Known
from schemas.choices import meant
from schemas.codebooks import Codebook, Pattern, shipped
from schemas.errors import UsageError
from schemas.patterns import BUILT_IN, CODEBOOK_VERSION

PATTERNS, VERDICT, COMMENT = "patterns", "verdict", "comment"
VALUE = "value-"
"""What the question of an entry with levels or numbers begins with; no entry's name holds a hyphen, so no other question is meant."""
Field = Literal["reasoning", "answer"]
SPANS: dict[Field, str] = {"reasoning": "reasoning_spans", "answer": "answer_spans"}
"""The span question of each field."""
NONE = "none"
"""The label for "none of these": Argilla rejects an empty selection."""
VERDICTS = {
    "keep": "Keep: fit for training as it is",
    "repair": "Repair: fit once the marked words are rewritten",
    "drop": "Drop: not fit for training",
    "unsure": "Unsure: someone else should look",
}
VECTOR = "wording"
MOST_EXPLAINED = 1000
"""Characters that Argilla takes as a question's description."""
MOST_RATED = 10
"""Whole numbers from 0 to this are a row of buttons; Argilla's ratings go no further, so other ranges are typed."""
OPINIONS = "opinions"
"""The field in which an adjudicator reads what everybody said."""
SHOWN_BY_ABSENCE = ("lack_of_safety_awareness",)
"""Patterns that no words show: the words are missing."""


class ReviewForm(NamedTuple):
    """The entries that a round asks for."""

    codebook: str | None
    """Its name; null for the five patterns."""
    version: int
    entries: tuple[Pattern, ...]
    guidance: str = ""

    @property
    def versioned(self) -> str | None:
        """NAME@VERSION; null for the five patterns."""
        return self.codebook and f"{self.codebook}@{self.version}"

    @property
    def by_name(self) -> dict[str, Pattern]:
        """The entries by name."""
        return {entry.name: entry for entry in self.entries}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all entries."""
        return tuple(self.by_name)

    @property
    def ticked(self) -> tuple[str, ...]:
        """Names of the entries that are yes or no."""
        return tuple(entry.name for entry in self.entries if not entry.graded)

    @property
    def graded(self) -> tuple[Pattern, ...]:
        """The entries with levels or numbers."""
        return tuple(entry for entry in self.entries if entry.graded)

    @property
    def marked(self) -> tuple[str, ...]:
        """Names of the entries of which words must be marked where they are ticked; a lab's file does not say what words can show."""
        return tuple(name for name in self.names if name not in SHOWN_BY_ABSENCE) if not self.codebook else ()

    def of_field(self, field: Field) -> list[str]:
        """Names of the entries that are judged on a field, alone or with the other."""
        return [entry.name for entry in self.entries if entry.judged_on in (field, "both")]


FIVE = ReviewForm(None, CODEBOOK_VERSION, tuple(shipped("patterns").entries.values()))
"""The form of the five risky patterns."""


def form_of(known: Known, codebook: str | None) -> ReviewForm:
    """The form of a codebook of a corpus.

    Args:
        known: what the corpus knows.
        codebook: its name, for the version in force, or NAME@VERSION; null for the five patterns.

    Raises:
        UsageError: if the corpus knows no such codebook; lists those it does.
    """
    if codebook is None or codebook.partition("@")[0] == BUILT_IN[0]:
        return FIVE
    there = {**{name: shipped(name) for name in BUILT_IN}, **known.codebooks}
    books = there | {_versioned(book): book for book in (*there.values(), *known.earlier)}
    if codebook not in books:
        raise UsageError(
            f"{codebook}: this corpus knows no such codebook{meant(codebook, list(there))}; it knows {', '.join(there)}; "
            "add yours with: curate codebook add FILE"
        )
    book = books[codebook]
    return ReviewForm(book.name, book.version, tuple(book.entries.values()), book.guidance.strip())


def _versioned(book: Codebook) -> str:
    return f"{book.name}@{book.version}"


def explained(told: str, entries: Sequence[Pattern]) -> str:
    """What to do, then what each of these entries is (the first sentence of its definition): the tooltip of a question."""
    lines = [told, *(f"{title(e.name)}: {e.definition.partition('. ')[0].rstrip('.')}." for e in entries)]
    return "\n".join(lines)[:MOST_EXPLAINED]


def explained_value(entry: Pattern) -> str:
    """The tooltip of the question of an entry with levels or numbers: its definition, its values, and from where on it counts."""
    told = f"{entry.definition}\nLook at {looked_at(entry)}. It counts as present from {entry.named(entry.threshold)} on."
    return f"{told} Leave it open if you cannot tell."[:MOST_EXPLAINED]


def rating(entry: Pattern) -> list[int]:
    """The whole numbers that an entry of a range is rated with; none where they are too few or too many for buttons."""
    whole = entry.range is not None and all(edge.is_integer() for edge in entry.range)
    if not whole or not 0 <= entry.lowest < entry.highest - 1 <= MOST_RATED - 1:
        return []
    return list(range(int(entry.lowest), int(entry.highest) + 1))


def looked_at(entry: Pattern) -> str:
    """Where to look for an entry, in words."""
    return "the reasoning and the answer" if entry.judged_on == "both" else f"the {entry.judged_on}"


def title(pattern: str) -> str:
    """A pattern's name as people read it."""
    return pattern.replace("_", " ").capitalize()


def guidelines(form: ReviewForm = FIVE) -> str:
    """The guidelines for reviewers, in Markdown."""
    from jinja2 import StrictUndefined, Template

    text = (files("curation.review") / "templates" / "review_guidelines.md").read_text(encoding="utf-8")
    template = Template(text, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return str(template.render(form=form, title=title, looked_at=looked_at, verdicts=VERDICTS))
