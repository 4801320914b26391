"""`unsafe` of a whole reply, from what was said of its reasoning, of its answer and of both together.

It is a union, not a vote: two guards that judge a field each do not disagree when one finds the reasoning unsafe and the other
the answer safe. `sql/unsafe_union.sql` and the view `candidates` share the rule.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from annotators.guards import judged_field
from schemas.patterns import UNSAFE, UNSAFE_FIELDS


class FieldConsensus(NamedTuple):
    """What the consensus says of a reply or of one field, as SQL expressions."""

    label: str
    score: str
    people: str
    """Whether the label is one of people; never null."""
    tied: str
    """Whether the label is null although somebody gave one; never null."""


def label(reply: FieldConsensus, reasoning: FieldConsensus, answer: FieldConsensus) -> str:
    """The union as an SQL expression."""
    fields = (reasoning, answer)
    either, tied = (
        f"{reasoning.label} or {answer.label}",
        " or ".join(one.tied for one in (reply, *fields)),
    )
    return (
        f"case when {reply.people} then {reply.label} when {reasoning.people} and {answer.people} then {either} "
        f"when {reply.label} or {either} then true when {tied} then null "
        f"when not {reply.label} or not ({either}) then false end"
    )


def score(reply: FieldConsensus, reasoning: FieldConsensus, answer: FieldConsensus) -> str:
    """The highest score among those that say what the union says."""
    union = label(reply, reasoning, answer)
    told = (
        f"if({one.label} is not distinct from ({union}), {one.score}, null)"
        for one in (reply, reasoning, answer)
    )
    return f"list_max([{', '.join(told)}])::float"


def pieces() -> dict[str, str]:
    """The pieces of `sql/unsafe_union.sql`."""
    columns = (
        f"max(label) filter (pattern = '{name}') as {name}_label, max(score) filter (pattern = '{name}') as {name}_score, "
        f"max(rank) filter (pattern = '{name}') as {name}_rank, max(provenance) filter (pattern = '{name}') as {name}_by"
        for name in (UNSAFE, *UNSAFE_FIELDS.values())
    )
    reply, reasoning, answer = (
        FieldConsensus(
            f"{name}_label",
            f"{name}_score",
            f"coalesce({name}_rank <= 0, false)",
            f"coalesce({name}_label is null and {name}_rank < 9, false)",
        )
        for name in (UNSAFE, *UNSAFE_FIELDS.values())
    )
    return {
        "columns": ", ".join(columns),
        "union": label(reply, reasoning, answer),
        "score": score(reply, reasoning, answer),
        "provenance": ", ".join(f"{name}_by" for name in (UNSAFE, *UNSAFE_FIELDS.values())),
    }


def of_one_field(patterns_by_name: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The annotators that judge one field, and the pattern that their `unsafe` is read as.

    Guards tell it by their names, so that labels of earlier versions are read rightly, others by the patterns they label.

    Args:
        patterns_by_name: what each annotator of the corpus labels; without people.
    """
    found = {}
    for name, patterns in patterns_by_name.items():
        field = judged_field(name)
        labelled = [pattern for pattern in UNSAFE_FIELDS.values() if pattern in patterns]
        if field:
            found[name] = UNSAFE_FIELDS[field]
        elif len(labelled) == 1:
            found[name] = labelled[0]
    return found
