"""The LLM judge: a rubric (`annotators.judge.rubric`), a JSON schema, and quotes that must occur in the text.

A reply that contradicts the codebook's exclusions, or whose quotes are not in the text, is sent back once with its faults
listed; entries that are still faulty then get a null label, and a trace of whose verdicts none could be read has failed and
is asked about again by the next run. The surprise: a judge that hallucinates a pattern usually also hallucinates quotes, so
locating the quotes (`annotators.judge.evidence`) is what catches it.
"""

from collections.abc import Iterator, Sequence
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
from annotators.judge.numbering import numbered
from annotators.judge.reading import JudgeReply, JudgeResult, combined, merged, outside_scope, read
from annotators.judge.rubric import VERSION, Rubric, hand_written, rubric_file, schema_of
from schemas.annotation import Annotation
from schemas.errors import EngineError
from schemas.ids import content_id
from schemas.trace import Trace

__all__ = ["VERSION", "llm_judge", "question", "rubric_file", "schema", "settled"]
MAX_TOKENS = 4096
"""Room for a judge that thinks first."""
USUAL_TOKENS = 100
"""For each entry."""
SAMPLE_TEMPERATURE = 0.7
"""Of several samples; one is greedy."""


def llm_judge(model: Model, alias: str = "", samples: int = 1, rubric: Rubric | None = None) -> Annotator:
    """The judge of a codebook's entries.

    Args:
        model: the judge.
        alias: the model's name in annotations; by default its own.
        samples: replies per trace; of several the majority counts, and their share is the score (self-consistency).
        rubric: of the codebook; the five risky patterns by default.
    """
    told = rubric or hand_written()
    identity = model_identity(model.name, alias) + (f"+{told.codebook}" if told.codebook else "")
    name = f"judge:{identity}{f'+{samples}x' if samples > 1 else ''}@{told.version}"

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation | Failure]:
        due = [trace for trace in traces if not settled(trace, told)]
        asked = _ask(model, told, [trace for trace in due for _ in range(samples)], samples > 1)
        replies = {
            trace.trace_id: asked.replies[samples * at : samples * (at + 1)] for at, trace in enumerate(due)
        }
        for trace in traces:
            results = settled(trace, told) or _results(told, replies[trace.trace_id])
            if isinstance(results, str):
                yield Failure(trace.trace_id, results)
            else:
                yield from (_annotation(trace, entry, name, results[entry]) for entry in told.entries)
        if asked.stopped:
            raise asked.stopped

    return Annotator(
        name,
        tuple(told.entries),
        annotate,
        questions=lambda trace: [] if settled(trace, told) else [question(trace, told)] * samples,
        reply_tokens=USUAL_TOKENS * len(told.entries),
    )


def settled(trace: Trace, rubric: Rubric | None = None) -> dict[str, JudgeResult] | None:
    """The results for a trace that needs no model call; null if it needs one."""
    told = rubric or hand_written()
    results = outside_scope(trace, told)
    return results if len(results) == len(told.entries) else None


def question(trace: Trace, rubric: Rubric | None = None) -> list[dict[str, str]]:
    """The rubric, and the trace between markers that its text cannot forge."""
    told = rubric or hand_written()
    code = content_id([trace.trace_id, told.version])[:8]
    asked = with_earlier_turns(trace.prompt, trace.turns)
    texts = (
        numbered(trace, code)._asdict()
        if told.numbered
        else {"reasoning": trace.reasoning, "answer": trace.answer}
    )
    pieces = {"code": code, "prompt": asked} | texts
    return [
        {"role": "system", "content": told.system},
        {"role": "user", "content": fill(told.query, **pieces)},
    ]


def schema() -> dict[str, Any]:
    """The JSON schema of a reply on the five patterns."""
    return schema_of(hand_written())


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


def _ask(model: Model, rubric: Rubric, traces: Sequence[Trace], sampled: bool) -> _Asked:
    """Ask about each trace, and once more where the reply has faults."""
    asked = _round(model, rubric, traces, [question(trace, rubric) for trace in traces], sampled)
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
    complaints = [_complaint(trace, said, rubric) for trace, said in zip(again, faulty.values(), strict=True)]
    second = _round(model, rubric, again, complaints, sampled)
    replies = list(asked.replies)
    for (at, first), said in zip(faulty.items(), second.replies, strict=True):
        replies[at] = (
            said
            if isinstance(said, EngineError)
            else said._replace(reading=merged(first.reading, said.reading))
        )
    return _Asked(replies, second.stopped)


def _round(
    model: Model,
    rubric: Rubric,
    traces: Sequence[Trace],
    conversations: Sequence[Conversation],
    sampled: bool,
) -> _Asked:
    room = max(MAX_TOKENS, 2 * USUAL_TOKENS * len(rubric.entries))
    asked = ask_all(model, conversations, room, schema_of(rubric), SAMPLE_TEMPERATURE if sampled else 0.0)
    answers = zip(traces, asked.texts, asked.tokens, strict=True)
    return _Asked([_said(trace, text, tokens, rubric) for trace, text, tokens in answers], asked.stopped)


def _said(
    trace: Trace, text: str | EngineError, tokens: Sequence[Token], rubric: Rubric
) -> _Said | EngineError:
    return text if isinstance(text, EngineError) else _Said(text, read(text, trace, tokens, rubric))


def _results(rubric: Rubric, replies: Sequence[_Said | EngineError]) -> dict[str, JudgeResult] | str:
    """The results of a trace from its samples; the reason if there is none."""
    said = [reply for reply in replies if not isinstance(reply, EngineError)]
    if len(said) < len(replies):
        return str(next(reply for reply in replies if isinstance(reply, EngineError)))
    readable = [reply.reading for reply in said if reply.reading.readable]
    return combined(readable, rubric) if readable else UNREADABLE


def _complaint(trace: Trace, said: _Said, rubric: Rubric) -> list[dict[str, str]]:
    again = fill(rubric_file("again.md"), faults="\n".join(said.reading.faults))
    asked = question(trace, rubric)
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
