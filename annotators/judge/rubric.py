"""What a judge is told and must reply, made from the entries of a codebook.

The five patterns keep a rubric written by hand (`rubrics/`); every other codebook gets one from its own text (`generated/`).
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from annotators.filling import fill
from schemas.codebooks import Codebook, Pattern, shipped
from schemas.patterns import CODEBOOK_VERSION
from schemas.trace import Trace

RUBRIC_REVISION = 0
"""Increment with every change to the files of `rubrics/`; a test pins their hash."""
VERSION = f"{CODEBOOK_VERSION}.{RUBRIC_REVISION}"
"""Of the judge of the five patterns."""
GENERATED_REVISION = 0
"""Increment with every change to the files of `generated/`."""
QUOTES = 2
"""Quotes per entry."""
SENTENCES = 20
"""Sentences per entry, where a judge gives their numbers."""
ANALYSIS, QUOTE = 300, 240
"""Longest analysis and quote in characters: bounds, so that weak models terminate."""
FIELDS = {
    "reasoning": "the reasoning only",
    "answer": "the answer only",
    "both": "the reasoning and the answer",
    "prompt": "the query only",
}
NO_RULE = "none"


class Rubric(NamedTuple):
    """The judge's side of a codebook."""

    codebook: str
    """Its name; "" for the five patterns."""
    version: str
    entries: dict[str, Pattern]
    system: str
    query: str
    """Template of the question."""
    compares: bool
    """Whether an entry of both fields compares them, and so needs a reasoning."""
    numbered: bool = False
    """Whether the judge sees the sentences numbered, and gives numbers as evidence."""

    def settled(self, trace: Trace) -> dict[str, str]:
        """Why entries cannot be judged on this trace; the others are asked about."""
        return {name: why for name, entry in self.entries.items() if (why := self._unjudged(entry, trace))}

    def _unjudged(self, entry: Pattern, trace: Trace) -> str:
        fields = ("reasoning",) if self.compares else ("reasoning", "answer")
        looked_at = fields if entry.judged_on == "both" else (entry.judged_on,)
        texts = {"prompt": trace.prompt, "reasoning": trace.reasoning, "answer": trace.answer}
        if not any(texts[field].strip() for field in looked_at):
            return f"the {' and the '.join(looked_at)} {'are' if len(looked_at) > 1 else 'is'} empty"
        if entry.applies_to(trace.kind):
            return ""
        if len(entry.scope) == 1:
            return f"judged on {entry.scope[0]} queries only; this one is {trace.kind}"
        return f"not asked: the query is {trace.kind}"


def hand_written() -> Rubric:
    """The rubric of the five risky patterns."""
    return Rubric(
        "",
        VERSION,
        shipped("patterns").entries,
        rubric_file(f"codebook-{CODEBOOK_VERSION}.md"),
        rubric_file("query.md"),
        compares=True,
    )


def generated(codebook: Codebook) -> Rubric:
    """The rubric that a codebook's own text makes."""
    entries = "\n\n".join(_described(entry) for entry in codebook.entries.values())
    system = fill(
        rubric_file("system.md", "generated"),
        count=str(len(codebook.entries)),
        description=codebook.description,
        guidance=codebook.guidance.strip(),
        entries=entries,
        evidence=rubric_file(f"evidence-{codebook.evidence}.md", "generated"),
    )
    return Rubric(
        codebook.name,
        f"{codebook.version}.{GENERATED_REVISION}",
        dict(codebook.entries),
        system,
        rubric_file("query.md", "generated"),
        compares=False,
        numbered=codebook.evidence == "sentences",
    )


def schema_of(rubric: Rubric) -> dict[str, Any]:
    """The JSON schema of a reply; evidence comes before the label, so that the label follows from it."""
    return {
        "type": "object",
        "properties": {name: _reply_schema(entry, rubric.numbered) for name, entry in rubric.entries.items()},
        "required": list(rubric.entries),
        "additionalProperties": False,
    }


@cache
def rubric_file(name: str, folder: str = "rubrics") -> str:
    """The text of a file of `annotators/judge/rubrics` (or another folder there)."""
    return (files("annotators.judge") / folder / name).read_text(encoding="utf-8").strip()


def _described(entry: Pattern) -> str:
    more = "\n".join(_details(entry))
    return fill(
        rubric_file("entry.md", "generated"),
        name=entry.name,
        field=FIELDS[entry.judged_on],
        definition=entry.definition,
        more=more,
    ).strip()


def _details(entry: Pattern) -> Iterator[str]:
    if entry.levels:
        yield f"Values, mildest first: {', '.join(f'`{level}`' for level in entry.levels)}. Take the highest that fits."
        yield f"It is present from `{entry.levels[int(entry.threshold)]}` on."
    elif entry.range:
        yield f"Its value is a number from {entry.lowest:g} to {entry.highest:g}; it is present from {entry.threshold:g} on."
    else:
        yield "Values: `present`, `absent`."
    if entry.scope != "any":
        yield f"Only on queries of this kind: {', '.join(entry.scope)}; on others it is absent."
    if entry.excludes:
        yield f"It cannot be present together with: {', '.join(entry.excludes)}."
    yield from (f"Rule {number}: {text}" for number, text in entry.rules.items())
    yield from (f"Shows it: {example}" for example in entry.present)
    yield from (f"Does not show it: {example}" for example in entry.absent)


def _reply_schema(entry: Pattern, numbered: bool) -> dict[str, Any]:
    quotes = {"type": "array", "items": {"type": "string", "maxLength": QUOTE}, "maxItems": QUOTES}
    numbers = {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": SENTENCES}
    evidence = {"sentences": numbers} if numbered else {"evidence": quotes}
    properties: dict[str, Any] = {"analysis": {"type": "string", "maxLength": ANALYSIS}, **evidence}
    if entry.rules:
        properties["rule"] = {"type": "string", "enum": [*entry.rules, NO_RULE]}
    properties["label"] = {"type": "string", "enum": [*(entry.levels or ("present", "absent")), "unsure"]}
    if entry.range:
        number = {"type": "number", "minimum": entry.lowest, "maximum": entry.highest}
        properties["label"] = {"anyOf": [number, {"type": "string", "enum": ["unsure"]}]}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
