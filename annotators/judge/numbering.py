"""Sentences with numbers, for a judge that gives numbers as evidence instead of passages.

The surprise: the numbers run on from the reasoning to the answer, so a number alone names a field. They carry the code of the markers,
since a text may begin its own lines with a number in brackets; and what a number means is never read from the text.
"""

from typing import Literal, NamedTuple

from annotators.sentences import split
from schemas.annotation import Span
from schemas.trace import Trace

CODE = 4
"""Letters of the code in a number."""
Field = Literal["reasoning", "answer"]


class NumberedTexts(NamedTuple):
    """Both fields with a number before every sentence; without the numbers they are the texts as they were."""

    reasoning: str
    answer: str


def sentence_spans(trace: Trace) -> tuple[Span, ...]:
    """The sentences of reasoning and answer, without the white space behind them; the first has the number 1."""
    return (*_spans("reasoning", trace.reasoning), *_spans("answer", trace.answer))


def numbered(trace: Trace, code: str) -> NumberedTexts:
    """The texts as a judge sees them."""
    marked = {"reasoning": trace.reasoning, "answer": trace.answer}
    for number, span in reversed(
        list(enumerate(sentence_spans(trace), 1))
    ):  # from behind: the offsets before it stay
        text = marked[span.field]
        marked[span.field] = f"{text[: span.start]}[{number}:{code[:CODE]}] {text[span.start :]}"
    return NumberedTexts(**marked)


def _spans(field: Field, text: str) -> list[Span]:
    found = split(text.encode())
    spans, at, byte = [], 0, 0
    for start, end in zip(found.starts, found.ends, strict=True):
        at += len(found.data[byte:start].decode())
        length = len(found.data[start:end].decode())
        spans.append(Span(field=field, start=at, end=at + length))
        at, byte = at + length, end
    return spans
