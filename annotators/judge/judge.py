"""The LLM judge: a rubric, a JSON schema, and quotes that must occur in the text.

A reply that contradicts the codebook's exclusions, or whose quotes are not in the text, is sent back once with its faults
listed; patterns that are still faulty then get a null label, and a trace of whose verdicts none could be read has failed and
is asked about again by the next run. The surprise: a judge that hallucinates a pattern usually also hallucinates quotes, so
locating the quotes (`annotators.judge.evidence`) is what catches it.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from annotators.base import (
    UNREADABLE,
    Annotator,
    Conversation,
    Failure,
    Model,
    Token,
    ask_all,
    model_identity,
)
from annotators.earlier import with_earlier_turns
from annotators.filling import fill
from annotators.judge.reading import QUOTES, JudgeReply, JudgeResult, combined, merged, outside_scope, read
from schemas.annotation import Annotation
from schemas.errors import EngineError
from schemas.ids import content_id
from schemas.patterns import CODEBOOK_VERSION, RISKY_PATTERNS
from schemas.trace import Trace

RUBRIC_REVISION = 0
"""Increment with every change to the files of `rubrics/`; a test pins their hash."""
VERSION = f"{CODEBOOK_VERSION}.{RUBRIC_REVISION}"
MAX_TOKENS = 4096
"""Room for a judge that thinks first."""
USUAL_TOKENS = 500
ANALYSIS, QUOTE = 300, 240
"""Longest analysis and quote in characters: bounds, so that weak models terminate."""
SAMPLE_TEMPERATURE = 0.7
"""Of several samples; one is greedy."""
NOT_ASKED = ("math", "code")
"""Kinds of prompts for which the model is not called."""


def llm_judge(model: Model, alias: str = "", samples: int = 1) -> Annotator:
    """The judge of the five risky patterns.

    Args:
        model: the judge.
        alias: the model's name in annotations; by default its own.
        samples: replies per trace; of several the majority counts, and their share is the score (self-consistency).
    """
    name = f"judge:{model_identity(model.name, alias)}{f'+{samples}x' if samples > 1 else ''}@{VERSION}"

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation | Failure]:
        due = [trace for trace in traces if not settled(trace)]
        asked = _ask(model, [trace for trace in due for _ in range(samples)], samples > 1)
        replies = {
            trace.trace_id: asked.replies[samples * at : samples * (at + 1)] for at, trace in enumerate(due)
        }
        for trace in traces:
            results = settled(trace) or _results(replies[trace.trace_id])
            if isinstance(results, str):
                yield Failure(trace.trace_id, results)
            else:
                yield from (_annotation(trace, pattern, name, results[pattern]) for pattern in RISKY_PATTERNS)
        if asked.stopped:
            raise asked.stopped

    return Annotator(
        name,
        RISKY_PATTERNS,
        annotate,
        questions=lambda trace: [] if settled(trace) else [question(trace)] * samples,
        reply_tokens=USUAL_TOKENS,
    )


def settled(trace: Trace) -> dict[str, JudgeResult] | None:
    """The results for a trace that needs no model call; null if it needs one."""
    if not trace.reasoning.strip():
        return dict.fromkeys(RISKY_PATTERNS, JudgeResult(None, "the reasoning is empty"))
    if trace.kind in NOT_ASKED:
        return outside_scope(trace) | {
            "inconsistency": JudgeResult(None, f"not asked: the query is {trace.kind}")
        }
    return None


def question(trace: Trace) -> list[dict[str, str]]:
    """The rubric, and the trace between markers that its text cannot forge."""
    code = content_id([trace.trace_id, VERSION])[:8]
    asked = with_earlier_turns(trace.prompt, trace.turns)
    pieces = {"code": code, "prompt": asked, "reasoning": trace.reasoning, "answer": trace.answer}
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


@cache
def rubric_file(name: str) -> str:
    """The text of a file in `annotators/judge/rubrics`."""
    return (files("annotators.judge") / "rubrics" / name).read_text(encoding="utf-8").strip()


class _Said(NamedTuple):
    """A reply as it came and as it was read."""

    text: str
    reading: JudgeReply


class _Asked(NamedTuple):
    """The outcome of asking about some traces."""

    replies: list[_Said | EngineError]
    """In the order of the traces."""
    stopped: EngineError | None
    """The error that ended the batch early, if any."""


def _ask(model: Model, traces: Sequence[Trace], sampled: bool) -> _Asked:
    """Ask about each trace, and once more where the reply has faults."""
    asked = _round(model, traces, [question(trace) for trace in traces], sampled)
    faulty = {
        at: said
        for at, said in enumerate(asked.replies)
        if not isinstance(said, EngineError) and said.reading.faults
    }
    if asked.stopped:  # faulty replies are left to the next run
        return asked._replace(
            replies=[asked.stopped if at in faulty else said for at, said in enumerate(asked.replies)]
        )
    again = [traces[at] for at in faulty]
    complaints = [_complaint(trace, said) for trace, said in zip(again, faulty.values(), strict=True)]
    second = _round(model, again, complaints, sampled)
    replies = list(asked.replies)
    for (at, first), said in zip(faulty.items(), second.replies, strict=True):
        replies[at] = (
            said
            if isinstance(said, EngineError)
            else said._replace(reading=merged(first.reading, said.reading))
        )
    return _Asked(replies, second.stopped)


def _round(
    model: Model, traces: Sequence[Trace], conversations: Sequence[Conversation], sampled: bool
) -> _Asked:
    asked = ask_all(model, conversations, MAX_TOKENS, schema(), SAMPLE_TEMPERATURE if sampled else 0.0)
    answers = zip(traces, asked.texts, asked.tokens, strict=True)
    return _Asked([_said(trace, text, tokens) for trace, text, tokens in answers], asked.stopped)


def _said(trace: Trace, text: str | EngineError, tokens: Sequence[Token]) -> _Said | EngineError:
    return text if isinstance(text, EngineError) else _Said(text, read(text, trace, tokens))


def _results(replies: Sequence[_Said | EngineError]) -> dict[str, JudgeResult] | str:
    """The results of a trace from its samples; the reason if there is none."""
    said = [reply for reply in replies if not isinstance(reply, EngineError)]
    if len(said) < len(replies):
        return str(next(reply for reply in replies if isinstance(reply, EngineError)))
    readable = [reply.reading for reply in said if reply.reading.readable]
    return combined(readable) if readable else UNREADABLE


def _complaint(trace: Trace, said: _Said) -> list[dict[str, str]]:
    again = fill(rubric_file("again.md"), faults="\n".join(said.reading.faults))
    asked = question(trace)
    if not said.reading.readable:  # a malformed reply may be very long and is of no use
        return [asked[0], {"role": "user", "content": f"{asked[1]['content']}\n\n{again}"}]
    return [*asked, {"role": "assistant", "content": said.text}, {"role": "user", "content": again}]


def _annotation(trace: Trace, pattern: str, name: str, result: JudgeResult) -> Annotation:
    return Annotation(
        trace_id=trace.trace_id,
        pattern=pattern,
        annotator=name,
        label=result.label,
        score=result.score,
        spans=result.spans,
        rationale=result.why,
    )
