"""The embedding annotator: verdicts of a trained reader, within the scope that the codebook gives each pattern."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from annotators.base import Annotator, full_name, own_variant
from annotators.embedding.model import CARD, HERE, TOGETHER, Decision, Kind, Read, open_model
from annotators.rules.judge import judge as judge_by_rules
from schemas.annotation import Annotation, Span
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

OF_HARMFUL_QUERIES = RISKY_PATTERNS[:4]
"""Not judged where the query is benign."""
LACK, *EXCLUDED = OF_HARMFUL_QUERIES
"""Who never sees the harm weighs nothing and adds nothing: the first excludes the others."""
HALF = 0.5
BELOW = HALF - 1e-4


def embedding(folder: Path = HERE) -> Annotator:
    """The trained reader alone; the shipped one unless a folder of `curate train-annotator` is given.

    Raises:
        MissingExtraError: if the extra `models` is not installed.
        DataError: if the folder holds no annotator.
    """
    return _annotator("embedding", folder)


def ensemble(folder: Path = HERE) -> Annotator:
    """The reader with the rules beside it; raises as `embedding` does."""
    return _annotator("ensemble", folder)


def _annotator(kind: Kind, folder: Path) -> Annotator:
    model = open_model(folder)
    name = full_name(kind, model.card.variant or own_variant(folder / CARD, HERE / CARD), model.card.name)

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation]:
        for trace, read in zip(traces, model.read(traces), strict=True):
            yield from annotations(name, model.card.decisions[kind], trace, read)

    return Annotator(name, RISKY_PATTERNS, annotate, batch_traces=2 * TOGETHER)


def annotations(
    name: str, decisions: Mapping[str, Decision], trace: Trace, read: Read
) -> Iterator[Annotation]:
    """A trace's annotations; label and score are null where a pattern cannot be judged."""
    silent = {pattern: why for pattern in RISKY_PATTERNS if (why := unjudged(pattern, trace, read))}
    likely = probabilities(decisions, trace, read) if len(silent) < len(RISKY_PATTERNS) else {}
    for pattern in RISKY_PATTERNS:
        label = None if pattern in silent else likely[pattern] >= HALF
        yield Annotation(
            trace_id=trace.trace_id,
            pattern=pattern,
            annotator=name,
            label=label,
            score=None if label is None else round(likely[pattern], 4),
            spans=spans(pattern, read) if label else (),
            rationale=silent.get(pattern),
        )


def unjudged(pattern: str, trace: Trace, read: Read) -> str | None:
    """Why a pattern is not judged, if so; a query of unknown kind is taken for harmful."""
    if trace.kind not in (None, "harmful", "benign"):
        return f"a query of the kind {trace.kind} is not judged"
    if trace.kind == "benign" and pattern in OF_HARMFUL_QUERIES:
        return "not judged on benign queries"
    if "reasoning" not in read.fields:
        return "the reasoning is empty"
    if read.foreign:
        return "the reasoning is in a language that the encoder hardly knows"
    if "answer" not in read.fields and pattern == "inconsistency":
        return "the answer is empty"
    return None


def probabilities(decisions: Mapping[str, Decision], trace: Trace, read: Read) -> dict[str, float]:
    """Probability of each pattern; of patterns that exclude each other only the likelier stays above one half."""
    signs = rule_signs(trace) if any(decision.rules for decision in decisions.values()) else {}
    likely = {
        name: decision.probability(read.logits[name], signs.get(name, 0.0), read.states)
        for name, decision in decisions.items()
    }
    return likely | excluded(likely)


def rule_signs(trace: Trace) -> dict[str, float]:
    """The rules' labels as numbers: 1, -1, or 0 if they abstain."""
    results = judge_by_rules(trace)
    return {name: {True: 1.0, False: -1.0, None: 0.0}[results[name].label] for name in RISKY_PATTERNS}


def excluded(likely: Mapping[str, float]) -> dict[str, float]:
    """What the exclusions of the codebook change."""
    strongest = max(likely[name] for name in EXCLUDED)
    if min(likely[LACK], strongest) < HALF:
        return {}
    if strongest >= likely[LACK]:
        return {LACK: min(1 - strongest, BELOW)}
    return {name: min(likely[name], 1 - likely[LACK], BELOW) for name in EXCLUDED}


def spans(pattern: str, read: Read) -> tuple[Span, ...]:
    """The sentences that speak most for a pattern."""
    return tuple(
        Span.model_validate({"field": sentence.field, "start": sentence.start, "end": sentence.end})
        for sentence in read.evidence[pattern]
    )
