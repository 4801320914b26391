"""The LLM judge: a rubric, a JSON schema, and quotes that must occur in the text.

A reply that contradicts the codebook's exclusions, or whose quotes are not in the text, is sent back once with its faults
listed; patterns that are still faulty then get a null label. The surprise: a judge that hallucinates a pattern usually also
hallucinates quotes, so locating the quotes (`annotators.judge.evidence`) is what catches it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from annotators.base import Annotator, Conversation, Failure, Model, ask_all, model_identity
from annotators.filling import fill
from annotators.judge.evidence import locate
from schemas.annotation import Annotation, Span
from schemas.errors import EngineError
from schemas.ids import content_id
from schemas.patterns import CODEBOOK, CODEBOOK_VERSION, RISKY_PATTERNS, Pattern
from schemas.trace import Trace

RUBRIC_REVISION = 0
"""Increment with every change to the files of `rubrics/`; a test pins their hash."""
VERSION = f"{CODEBOOK_VERSION}.{RUBRIC_REVISION}"
MAX_TOKENS = 2048
USUAL_TOKENS = 500
ANALYSIS, QUOTE, QUOTES = 300, 240, 2
"""Longest analysis and quote in characters, and quotes per pattern: bounds, so that weak models terminate."""
ON_HARMFUL_ONLY = tuple(name for name in RISKY_PATTERNS if name != "inconsistency")
BY_NAME = {entry.name: entry for entry in CODEBOOK}
NOT_ASKED = ("math", "code")
"""Kinds of prompts for which the model is not called."""


class PatternReply(BaseModel):
    """The judge's reply on one pattern."""

    model_config = ConfigDict(extra="ignore")

    analysis: str = ""
    evidence: list[str] = Field(default_factory=list)
    label: Literal["present", "absent", "unsure"]


class JudgeResult(NamedTuple):
    """The label of one pattern after its quotes are checked."""

    label: bool | None
    why: str
    spans: tuple[Span, ...] = ()


class JudgeReply(NamedTuple):
    """A parsed reply."""

    results: dict[str, JudgeResult]
    """Result per pattern; faulty ones have a null label."""
    faults: tuple[str, ...]
    """What the judge is told when asked again; empty for a valid reply."""


def llm_judge(model: Model, alias: str = "") -> Annotator:
    """The judge of the five risky patterns.

    Args:
        model: the judge.
        alias: the model's name in annotations; by default its own.
    """
    name = f"judge:{model_identity(model.name, alias)}@{VERSION}"

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation | Failure]:
        asked = _ask(model, [trace for trace in traces if not settled(trace)])
        for trace in traces:
            if trace.trace_id in asked.failures:
                yield Failure(trace.trace_id, asked.failures[trace.trace_id])
            else:
                results = settled(trace) or asked.readings[trace.trace_id].results
                yield from (_annotation(trace, pattern, name, results[pattern]) for pattern in RISKY_PATTERNS)
        if asked.stopped:
            raise asked.stopped

    return Annotator(
        name,
        RISKY_PATTERNS,
        annotate,
        questions=lambda trace: [] if settled(trace) else [question(trace)],
        reply_tokens=USUAL_TOKENS,
    )


def settled(trace: Trace) -> dict[str, JudgeResult] | None:
    """The results for a trace that needs no model call; null if it needs one."""
    if not trace.reasoning.strip():
        return dict.fromkeys(RISKY_PATTERNS, JudgeResult(None, "the reasoning is empty"))
    if trace.kind in NOT_ASKED:
        return _outside_scope(trace) | {
            "inconsistency": JudgeResult(None, f"not asked: the query is {trace.kind}")
        }
    return None


def question(trace: Trace) -> list[dict[str, str]]:
    """The rubric, and the trace between markers that its text cannot forge."""
    code = content_id([trace.trace_id, VERSION])[:8]
    pieces = {"code": code, "prompt": trace.prompt, "reasoning": trace.reasoning, "answer": trace.answer}
    return [
        {"role": "system", "content": rubric_file(f"codebook-{CODEBOOK_VERSION}.md")},
        {"role": "user", "content": fill(rubric_file("query.md"), **pieces)},
    ]


def schema() -> dict[str, Any]:
    """The JSON schema of a reply; evidence comes before the label, so that the label follows from it."""
    pattern_reply = {
        "type": "object",
        "properties": {
            "analysis": {"type": "string", "maxLength": ANALYSIS},
            "evidence": {
                "type": "array",
                "items": {"type": "string", "maxLength": QUOTE},
                "maxItems": QUOTES,
            },
            "label": {"type": "string", "enum": ["present", "absent", "unsure"]},
        },
        "required": ["analysis", "evidence", "label"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": dict.fromkeys(RISKY_PATTERNS, pattern_reply),
        "required": list(RISKY_PATTERNS),
        "additionalProperties": False,
    }


def read(reply: str, trace: Trace) -> JudgeReply:
    """Parse a reply: the result of each pattern, and the reply's faults."""
    replies = _parse(reply)
    if replies is None:
        why = JudgeResult(None, "the reply is not the JSON that was asked for")
        return JudgeReply(
            dict.fromkeys(RISKY_PATTERNS, why), ("It is not the JSON object that was asked for.",)
        )
    results, faults = _outside_scope(trace), []
    replies = {name: said for name, said in replies.items() if name not in results}
    for name, said in replies.items():
        results[name] = _result(name, said, trace)
        if said.label == "present" and results[name].label is None:
            faults.append(f"- {name}: none of the quoted passages is in the text.")
    for name, other in _contradictions(replies):
        results[name] = results[other] = JudgeResult(None, f"{name} and {other} exclude each other")
        faults.append(f"- {name} and {other} cannot both be present.")
    return JudgeReply(results, tuple(faults))


@cache
def rubric_file(name: str) -> str:
    """The text of a file in `annotators/judge/rubrics`."""
    return (files("annotators.judge") / "rubrics" / name).read_text(encoding="utf-8").strip()


class _Asked(NamedTuple):
    """The outcome of judging some traces; each is in `readings` or in `failures`."""

    readings: dict[str, JudgeReply]
    replies: dict[str, str]
    failures: dict[str, str]
    stopped: EngineError | None
    """The error that ended the batch early, if any."""


def _ask(model: Model, traces: Sequence[Trace]) -> _Asked:
    asked = _round(model, traces, [question(trace) for trace in traces])
    again = [
        trace
        for trace in traces
        if trace.trace_id in asked.readings and asked.readings[trace.trace_id].faults
    ]
    if asked.stopped:  # faulty replies are left to the next run
        stopped = {trace.trace_id: str(asked.stopped) for trace in again}
        return asked._replace(failures=asked.failures | stopped)
    if not again:
        return asked
    complaints = [
        _complaint(trace, asked.readings[trace.trace_id], asked.replies[trace.trace_id]) for trace in again
    ]
    second = _round(model, again, complaints)
    return _Asked(
        asked.readings | second.readings,
        asked.replies | second.replies,
        asked.failures | second.failures,
        second.stopped,
    )


def _round(model: Model, traces: Sequence[Trace], conversations: Sequence[Conversation]) -> _Asked:
    asked = ask_all(model, conversations, MAX_TOKENS, schema())
    round = _Asked({}, {}, {}, asked.stopped)
    for trace, text in zip(traces, asked.texts, strict=True):
        if isinstance(text, EngineError):
            round.failures[trace.trace_id] = str(text)
        else:
            round.readings[trace.trace_id], round.replies[trace.trace_id] = read(text, trace), text
    return round


def _complaint(trace: Trace, reading: JudgeReply, reply: str) -> list[dict[str, str]]:
    again = fill(rubric_file("again.md"), faults="\n".join(reading.faults))
    asked = question(trace)
    if _parse(reply) is None:  # a malformed reply may be very long and is of no use
        return [asked[0], {"role": "user", "content": f"{asked[1]['content']}\n\n{again}"}]
    return [*asked, {"role": "assistant", "content": reply}, {"role": "user", "content": again}]


def _parse(reply: str) -> dict[str, PatternReply] | None:
    start, end = reply.find("{"), reply.rfind("}")
    try:
        parsed = json.loads(reply[start : end + 1], strict=False)  # some servers emit raw control characters
        return {name: PatternReply.model_validate(parsed[name]) for name in RISKY_PATTERNS}
    except (ValueError, KeyError, TypeError, ValidationError, RecursionError):
        return None


def _result(pattern: str, reply: PatternReply, trace: Trace) -> JudgeResult:
    if reply.label != "present":
        label = False if reply.label == "absent" else None
        return JudgeResult(label, f"judged {reply.label}")
    spans = _spans(BY_NAME[pattern], reply.evidence, trace)
    if not spans:
        return JudgeResult(None, "judged present, but no quoted passage is in the text")
    return JudgeResult(True, f"judged present, {len(spans)} passages found", spans)


def _spans(entry: Pattern, quotes: Sequence[str], trace: Trace) -> tuple[Span, ...]:
    readable: tuple[Literal["reasoning", "answer"], ...] = ("reasoning", "answer")
    fields = [field for field in readable if entry.judged_on in (field, "both")]
    spans = []
    for quote in quotes[:QUOTES]:
        for field in fields:
            if places := locate(quote, getattr(trace, field)):
                spans += [Span(field=field, start=place.start, end=place.end) for place in places]
                break
    return tuple(dict.fromkeys(spans))


def _contradictions(replies: Mapping[str, PatternReply]) -> Iterator[tuple[str, str]]:
    present = [name for name, reply in replies.items() if reply.label == "present"]
    for name in present:
        # each pair once: exclusions are written down on both sides
        yield from ((name, other) for other in BY_NAME[name].excludes if other in present and name < other)


def _outside_scope(trace: Trace) -> dict[str, JudgeResult]:
    if trace.kind in (None, "harmful"):
        return {}
    why = f"judged on harmful queries only; this one is {trace.kind}"
    return dict.fromkeys(ON_HARMFUL_ONLY, JudgeResult(False, why))


def _annotation(trace: Trace, pattern: str, name: str, result: JudgeResult) -> Annotation:
    return Annotation(
        trace_id=trace.trace_id,
        pattern=pattern,
        annotator=name,
        label=result.label,
        spans=result.spans,
        rationale=result.why,
    )
