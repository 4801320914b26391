"""The checker of a structure as an annotator: for each part whether a reasoning has it, in its place, and what is wrong if not."""

from collections.abc import Iterator, Sequence

from annotators.base import Annotator
from annotators.structure.grammar import Structure, codebook, parse
from schemas.annotation import Annotation, Span
from schemas.trace import Trace

REVISION = 0
"""Increment with every change to how parts are found."""


def annotator(structure: Structure) -> Annotator:
    """The annotator of a structure; it labels the entries of `codebook(structure)`."""
    name = f"structure:{structure.name}@{structure.version}.{REVISION}"
    patterns = tuple(codebook(structure).entries)

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation]:
        for trace in traces:
            yield from _annotations(structure, name, patterns, trace)

    return Annotator(name, patterns, annotate)


def _annotations(
    structure: Structure, name: str, patterns: Sequence[str], trace: Trace
) -> Iterator[Annotation]:
    read = parse(structure, trace.reasoning)
    empty = not trace.reasoning.strip()
    for part, pattern in zip(structure.parts, patterns, strict=True):
        fault = read.faults.get(part.name, "")
        place = read.parts.get(part.name)
        good = place is not None and not fault
        spans = (Span(field="reasoning", start=place.start, end=place.end),) if place and good else ()
        yield Annotation(
            trace_id=trace.trace_id,
            pattern=pattern,
            annotator=name,
            label=None if empty else good,
            spans=spans,
            rationale="the reasoning is empty" if empty else fault or "there, and in its place",
        )
