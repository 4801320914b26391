"""`any_kind:NAME`: an annotator on the patterns that its codebook keeps to harmful queries, for queries of every other kind.

A suite of attacks on the reasoning asks math problems, and the harm is in the reasoning all the same. The surprise: it is an annotator of
its own (`rules:any_kind@2`), so that what the plain one said of these traces (null: not judged) stays what it was.
"""

from collections.abc import Iterator, Sequence

from annotators.base import Annotator, Conversation, Failure
from schemas.annotation import Annotation
from schemas.errors import RecipeError
from schemas.patterns import CODEBOOK
from schemas.trace import Trace

FAMILY = "any_kind"
SCOPED = {entry.name: entry for entry in CODEBOOK if entry.scope == ("harmful",)}
"""The shipped entries that are judged on harmful queries only."""


def of_any_kind(annotator: Annotator) -> Annotator:
    """The annotator for kinds that it leaves out.

    Raises:
        RecipeError: if it labels no pattern that is kept to some kinds.
    """
    patterns = tuple(name for name in annotator.patterns if name in SCOPED)
    if not patterns:
        raise RecipeError(f"{FAMILY}: {annotator.name} leaves out no kind of query; name it alone")
    plain, _, version = annotator.name.rpartition("@")
    name = f"{plain}{'+' if ':' in plain else ':'}{FAMILY}@{version}"

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation | Failure]:
        due = [trace for trace in traces if _is_left_out(trace)]
        silent = {trace.trace_id: trace for trace in due}
        for trace in traces:
            if not _is_left_out(trace):
                yield from _abstentions(trace, patterns, name)
        # as they come: what is judged before an engine stops is kept
        for one in annotator.annotate([_of_no_kind(trace) for trace in due]) if due else ():
            if isinstance(one, Failure) or one.pattern in patterns:
                silent.pop(one.trace_id, None)
                yield one if isinstance(one, Failure) else one.model_copy(update={"annotator": name})
        for trace in silent.values():
            yield from _abstentions(trace, patterns, name)

    def questions(trace: Trace) -> Sequence[Conversation]:
        asked = annotator.questions
        return asked(_of_no_kind(trace)) if asked and _is_left_out(trace) else ()

    return annotator._replace(
        name=name,
        patterns=patterns,
        annotate=annotate,
        questions=questions if annotator.questions else None,
    )


def _is_left_out(trace: Trace) -> bool:
    return any(not entry.applies_to(trace.kind) for entry in SCOPED.values())


def _of_no_kind(trace: Trace) -> Trace:
    """Annotators take a query of unknown kind for harmful."""
    return trace.model_copy(update={"kind": None})


def _abstentions(trace: Trace, patterns: Sequence[str], name: str) -> Iterator[Annotation]:
    told = f"not asked: the query is {trace.kind or 'of unknown kind'}"
    for pattern in patterns:
        yield Annotation(trace_id=trace.trace_id, pattern=pattern, annotator=name, label=None, rationale=told)
