"""The rule annotator: cue banks (data files in `cues/`) matched with RE2, and small rules over where the cues occur."""

from collections.abc import Iterator, Sequence

from annotators.base import Annotator
from annotators.rules.judge import PATTERNS, judge
from schemas.annotation import Annotation
from schemas.trace import Trace

NAME = "rules@2"
SPANS = 3
"""Evidence sentences per field: enough for a reader to decide."""


def annotator() -> Annotator:
    """The rule annotator."""

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation]:
        for trace in traces:
            results = judge(trace)
            for pattern in PATTERNS:
                result = results[pattern]
                yield Annotation(
                    trace_id=trace.trace_id,
                    pattern=pattern,
                    annotator=NAME,
                    label=result.label,
                    score=result.score,
                    spans=tuple(
                        span for reading, chosen in result.evidence for span in reading.spans(chosen, SPANS)
                    ),
                    rationale=result.rationale,
                )

    return Annotator(NAME, PATTERNS, annotate, parallel=True)
