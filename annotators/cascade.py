"""A cascade: a cheap annotator judges every trace, and a judge only those about which the cheap one is unsure.

What is sure is decided per pattern by a band of scores that was fitted on traces which both judged (`curation.annotate.cascade`):
below the band a pattern is absent, above it present, inside it the judge decides. The judge answers all patterns at once, so one
unsure pattern is enough to ask. A random share of the sure traces is asked all the same, to measure what is lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from annotators.base import Annotator, Conversation, Failure
from annotators.grading import agreeing
from schemas.annotation import Annotation
from schemas.ids import content_id
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

NOT_ASKED, UNSURE, AUDIT_SAME, AUDIT_OTHER = "not asked", "asked: unsure", "audit: same", "audit: other"
"""How rationales begin; `sql/cascade_report.sql` counts by them."""
Scores = Mapping[str, Annotation]
"""The cheap annotator's annotations of one trace, by pattern."""


class Band(NamedTuple):
    """The scores of one pattern between which the cheap annotator is unsure."""

    low: float
    """Below it the pattern is absent."""
    high: float | None
    """From it on the pattern is present; null if the judge decides about every high score."""

    def decides(self, score: float | None) -> bool | None:
        """The label of a score; null if the cheap annotator is unsure."""
        if score is None:
            return None
        if score < self.low:
            return False
        return True if self.high is not None and score >= self.high else None


def cascade(
    name: str, first: Annotator, judge: Annotator, bands: Mapping[str, Band], audit: float
) -> Annotator:
    """Two annotators as one.

    Args:
        name: "cascade:NAME@version".
        first: the cheap annotator; it must give scores.
        judge: the annotator that is asked where the first is unsure.
        bands: of each risky pattern.
        audit: share of the sure traces about which the judge is asked too.
    """

    def unsure(trace: Trace, scores: Scores) -> bool:
        return any(_sure(trace, scores[pattern], bands[pattern]) is None for pattern in RISKY_PATTERNS)

    def asks(trace: Trace, scores: Scores) -> bool:
        return bool(judge.questions and judge.questions(trace)) and (
            unsure(trace, scores) or is_audited(trace.trace_id, audit)
        )

    def questions(trace: Trace) -> Sequence[Conversation]:
        scores = scored(first, [trace]).get(trace.trace_id)
        return judge.questions(trace) if scores and judge.questions and asks(trace, scores) else ()

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation | Failure]:
        cheap = scored(first, traces)
        asked = [trace for trace in traces if trace.trace_id in cheap and asks(trace, cheap[trace.trace_id])]
        answers: dict[str, dict[str, Annotation]] = {}
        failures: dict[str, Failure] = {}
        for found in judge.annotate(asked) if asked else ():
            if isinstance(found, Failure):
                failures[found.trace_id] = found
            else:
                answers.setdefault(found.trace_id, {})[found.pattern] = found
        for trace in traces:
            if trace.trace_id in failures:
                yield failures[trace.trace_id]
            elif trace.trace_id not in cheap:
                yield Failure(trace.trace_id, f"{first.name} gave no scores")
            else:
                scores = cheap[trace.trace_id]
                yield from _annotations(
                    name, trace, scores, bands, answers.get(trace.trace_id), unsure(trace, scores)
                )

    return Annotator(name, RISKY_PATTERNS, annotate, questions=questions, reply_tokens=judge.reply_tokens)


def is_audited(trace_id: str, share: float) -> bool:
    """Whether a trace belongs to the audit sample: decided by its id, so always the same."""
    return int(content_id(["audit", trace_id])[:8], 16) / 0xFFFF_FFFF < share


def scored(first: Annotator, traces: Sequence[Trace]) -> dict[str, dict[str, Annotation]]:
    """The cheap annotator's annotations by trace and pattern; traces it failed on are left out."""
    by_trace: dict[str, dict[str, Annotation]] = {}
    for found in first.annotate(traces):
        if isinstance(found, Annotation) and found.pattern in RISKY_PATTERNS:
            by_trace.setdefault(found.trace_id, {})[found.pattern] = found
    return by_trace


def _sure(trace: Trace, said: Annotation, band: Band) -> bool | None:
    """The cheap annotator's label if it is sure; outside a pattern's scope nothing is in doubt."""
    if said.label is None and said.pattern != "inconsistency" and trace.kind not in (None, "harmful"):
        return False
    return band.decides(said.score)


def _annotations(
    name: str,
    trace: Trace,
    scores: Scores,
    bands: Mapping[str, Band],
    answers: Mapping[str, Annotation] | None,
    unsure: bool,
) -> Iterator[Annotation]:
    for pattern in RISKY_PATTERNS:
        said = scores[pattern]
        label = None if said.label is None else bands[pattern].decides(said.score)
        if answers is None:
            yield said.model_copy(
                update={
                    "annotator": name,
                    "label": label,
                    "score": agreeing(label, said.score),
                    "spans": said.spans if label else (),
                    "rationale": f"{NOT_ASKED}: {said.rationale or said.annotator}",
                }
            )
            continue
        answer = answers[pattern]
        how = UNSURE if unsure else AUDIT_SAME if answer.label in (None, label) else AUDIT_OTHER
        yield answer.model_copy(
            update={"annotator": name, "rationale": f"{how}: {answer.rationale or answer.annotator}"}
        )
