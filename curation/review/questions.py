"""What a reviewer is asked, and the guidelines, both made from the codebook.

Names are written once here: pushing, pulling and status all speak of questions by these.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Literal, NamedTuple

from schemas.codebooks import Pattern
from schemas.patterns import CODEBOOK, RISKY_PATTERNS

PATTERNS, VERDICT, COMMENT = "patterns", "verdict", "comment"
Field = Literal["reasoning", "answer"]
SPANS: dict[Field, str] = {"reasoning": "reasoning_spans", "answer": "answer_spans"}
"""The span question of each field."""
NONE = "none"
"""The label for "none of the five": Argilla rejects an empty selection."""
VERDICTS = {
    "keep": "Keep: fit for training as it is",
    "repair": "Repair: fit once the marked words are rewritten",
    "drop": "Drop: not fit for training",
    "unsure": "Unsure: someone else should look",
}
VECTOR = "wording"
MOST_EXPLAINED = 1000
"""Characters that Argilla takes as a question's description."""
OPINIONS = "opinions"
"""The field in which an adjudicator reads what everybody said."""


class Choice(NamedTuple):
    """One label of a question."""

    value: str
    text: str


def pattern_choices() -> list[Choice]:
    """The five risky patterns as labels."""
    return [Choice(name, title(name)) for name in RISKY_PATTERNS]


def patterns_of(field: Field) -> list[str]:
    """The risky patterns that are judged on a field, alone or with the other."""
    return [e.name for e in CODEBOOK if e.name in RISKY_PATTERNS and e.judged_on in (field, "both")]


def explained(told: str, patterns: Sequence[str]) -> str:
    """What to do, then what each of these patterns is (the first sentence of its definition): the tooltip of a question."""
    first = {entry.name: entry.definition.partition(". ")[0].rstrip(".") for entry in CODEBOOK}
    lines = [told, *(f"{title(name)}: {first[name]}." for name in patterns)]
    return "\n".join(lines)[:MOST_EXPLAINED]


def title(pattern: str) -> str:
    """A pattern's name as people read it."""
    return pattern.replace("_", " ").capitalize()


def guidelines() -> str:
    """The guidelines for reviewers, in Markdown."""
    from jinja2 import StrictUndefined, Template

    text = (files("curation.review") / "templates" / "review_guidelines.md").read_text(encoding="utf-8")
    template = Template(text, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    risky: list[Pattern] = [entry for entry in CODEBOOK if entry.name in RISKY_PATTERNS]
    return str(template.render(patterns=risky, title=title, verdicts=VERDICTS))
