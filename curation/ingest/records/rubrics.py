"""Qwen3GuardTest (a person's label of each reply) and Chain of Risk (a judge's verdicts by principle, of reasoning and answer).

The surprise: a number is a value only of an entry with a range, whose codebook says what the number means. A scale that nobody
states is not guessed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from annotators.guards.qwen3guard import SCORES
from annotators.mapping import Terms
from curation.ingest.conversations import unfold_messages
from curation.ingest.fields import BadRow
from curation.ingest.records.judging import JudgedFormat, JudgedGroup, JudgedReading, TermVerdict, each_row
from schemas.codebooks import Pattern
from schemas.patterns import UNSAFE
from schemas.response import Fault

FIELD_WORDS = {
    "reasoning": ("reasoning", "thinking", "thought", "cot", "reasoning_trace", "think"),
    "answer": ("answer", "response", "final_answer", "final_response", "output"),
}
"""What the two fields are called in `evaluations`."""
VALUES = ("score", "severity", "level", "value", "verdict", "label", "rating")
"""Where a verdict that is an object has its value."""
LOWEST = frozenset({"safe", "kept", "compliant", "no violation", "not violated", "absent"})
HIGHEST = frozenset({"unsafe", "broken", "violation", "violated", "non-compliant", "present"})
WORST_FIRST = ("reasoning", "answer")


def unfold_message(fields: dict[str, Any]) -> None:
    """`message`, a list of role and content, as any chat."""
    fields["messages"] = fields.pop("message", None)
    unfold_messages(fields)


def read_label(group: JudgedGroup, texts: Mapping[str, str], terms: Terms) -> JudgedReading:
    """What people said of a whole reply; its category where a codebook maps those of Qwen3Guard."""
    [raw] = group.rows
    score = SCORES.get(str(raw.row.get("label")).strip().casefold())
    if score is None:
        return JudgedReading({}, {raw.line: Fault("unknown_label", f"label is none of {', '.join(SCORES)}")})
    verdicts = {UNSAFE: TermVerdict(score > 0, score, (), _category(raw.row))}
    category: Any = raw.row.get("unsafe_type")
    unmapped: tuple[str, ...] = ()
    if not score:
        verdicts |= {entry: TermVerdict(False) for entry in terms.entries}
    elif category is not None:
        named = terms.of([str(category)])
        verdicts |= {entry: TermVerdict(True) for entry in named}
        unmapped = (str(category),) if terms.entries and not named else ()
    marked = raw.row.get("unsafe_start_index") is not None
    return JudgedReading(verdicts, without_offsets=int(marked), unmapped=unmapped)


def read_evaluations(group: JudgedGroup, texts: Mapping[str, str], terms: Terms) -> JudgedReading:
    """The worse of what is said of reasoning and answer, by entry; nothing where one of both is missing and the other is clean."""
    [raw] = group.rows
    said: dict[str, dict[str, float]] = {}
    unmapped: dict[str, None] = {}
    try:
        for principle, field, value in _evaluations(raw.row.get("evaluations")):
            entries = terms.of([term := _term(principle)])
            if not entries:
                unmapped[term] = None
            for name in entries:
                entry = terms.entries[name]
                if entry.judged_on in (field, "both"):
                    values = said.setdefault(name, {})
                    values[field] = max(_number(entry, principle, value), values.get(field, entry.lowest))
    except BadRow as bad:
        return JudgedReading({}, {raw.line: bad.fault})
    verdicts = {name: one for name, of in said.items() if (one := _worst(terms.entries[name], of))}
    return JudgedReading(verdicts, unmapped=tuple(unmapped))


def _worst(entry: Pattern, said: Mapping[str, float]) -> TermVerdict | None:
    worst = max(said.values())
    wanted = WORST_FIRST if entry.judged_on == "both" else (entry.judged_on,)
    if worst < entry.threshold and any(field not in said for field in wanted):
        return None
    told = ", ".join(f"{field} {entry.named(said[field])}" for field in WORST_FIRST if field in said)
    if not entry.graded:
        return TermVerdict(bool(worst), None, (), ", ".join(f"{f} {bool(said[f])}".lower() for f in said))
    measured = entry.measured(worst)
    return TermVerdict(measured.label, measured.score, (), told)


def _evaluations(said: Any) -> Iterator[tuple[str, str, Any]]:
    """Principle, field and value, whichever of both is outside.

    Raises:
        BadRow: malformed_evaluations.
    """
    if isinstance(said, str):
        try:
            said = orjson.loads(said)
        except ValueError as error:
            raise BadRow("malformed_evaluations", f"evaluations is no JSON: {error}") from error
    if not isinstance(said, dict) or not said:
        raise BadRow(
            "malformed_evaluations", "evaluations must be an object of principles, or of reasoning and answer"
        )
    for outer, inner in said.items():
        if not isinstance(inner, dict):
            raise BadRow(
                "malformed_evaluations", f"evaluations: {outer} must be an object of reasoning and answer"
            )
        of_field = _field(outer)
        for name, value in inner.items():
            field = of_field or _field(name)
            if field is None:
                raise BadRow(
                    "malformed_evaluations", f"evaluations: {outer}: {name} is neither reasoning nor answer"
                )
            yield (name if of_field else outer), field, value


def _field(name: str) -> str | None:
    word = name.strip().casefold().replace(" ", "_").replace("-", "_")
    return next((field for field, words in FIELD_WORDS.items() if word in words), None)


def _number(entry: Pattern, principle: str, said: Any) -> float:
    """A verdict as a value of an entry.

    Raises:
        BadRow: wrong_value.
    """
    value = (
        next((said[key] for key in VALUES if said.get(key) is not None), None)
        if isinstance(said, dict)
        else said
    )
    if isinstance(value, str):
        word = value.strip().casefold().replace("_", " ")
        if word in LOWEST or word in HIGHEST:
            return entry.highest if word in HIGHEST else entry.lowest
        if entry.levels and not word.replace(".", "").isdecimal():
            value = word
    if entry.range or (entry.levels and isinstance(value, str) and not value.strip()[:1].isdecimal()):
        try:
            return entry.number(value)  # type: ignore[arg-type]
        except ValueError:
            pass
    raise BadRow(
        "wrong_value",
        f"evaluations: {principle}: {value!r} is no value of {entry.name} ({entry.values}); numbers are read by entries with a range: "
        "map this principle to one in a codebook of yours, and add it before the ingest",
    )


def _term(principle: str) -> str:
    return principle.strip().casefold().replace("_", " ").replace("-", " ")


def _category(row: Mapping[str, Any]) -> str | None:
    kind = row.get("unsafe_type")
    return kind if isinstance(kind, str) and kind and len(kind) <= 80 else None


QWEN3GUARD_TEST = JudgedFormat(
    "guard:qwen3guard", "published:qwen3guardtest", None, read=read_label, group=each_row,
    note="unsafe_start_index and unsafe_end_index count the tokens of a tokenizer that is not here: no spans (the numbers are kept in extra)",
)  # fmt: skip
CHAIN_OF_RISK = JudgedFormat(
    "chain-of-risk", "judge:chain-of-risk", "principles", read=read_evaluations, group=each_row
)
