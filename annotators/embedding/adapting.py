"""The shipped reader on a lab's own labels: what it reads stays, and what it makes of it is learned anew.

Learning goes on from the shipped decisions (`deciding`). A pattern is changed only if labels that were held out say that it gets better.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from annotators.embedding.deciding import (
    Decisions,
    HeldOutTrace,
    fit_decisions,
    held_out_traces,
    in_folds,
    labels_of,
    quality,
)
from annotators.embedding.examples import Example
from annotators.embedding.model import KINDS, Decision, Kind, TrainedReader
from annotators.statistics.calibration import Confusion
from schemas.annotation import Annotation
from schemas.ids import content_id
from schemas.patterns import RISKY_PATTERNS

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the labels, for the learning curve."""


class CurvePoint(NamedTuple):
    """What so many labels teach, measured on held-out labels."""

    labels: int
    found: Confusion


class AdaptedPattern(NamedTuple):
    """One pattern before and after, on held-out labels."""

    kind: Kind
    pattern: str
    shipped: Confusion
    adapted: Confusion
    accepted: bool
    curve: list[CurvePoint]


class Adaptation(NamedTuple):
    """An adapted model, and what held-out labels say of it."""

    model: TrainedReader
    patterns: list[AdaptedPattern]


def adapt(model: TrainedReader, examples: Sequence[Example], command: str) -> Adaptation:
    """Learn decisions from examples; folds keep groups together.

    Args:
        model: what to go on from; its reader is shared, not changed.
        examples: a lab's own.
        command: what the card says reproduces it.
    """
    seen = held_out_traces(model, examples)
    patterns: list[AdaptedPattern] = []
    decisions: dict[str, Decisions] = {}
    held_out = {}
    for kind in KINDS:
        shipped = model.card.decisions[kind]
        found = _compared(kind, shipped, seen)
        patterns += found
        accepted = {one.pattern for one in found if one.accepted}
        learned = fit_decisions(kind, shipped, seen)
        decisions[kind] = {name: learned[name] if name in accepted else shipped[name] for name in shipped}
        verdicts = in_folds(kind, shipped, seen, 1.0, accepted)
        held_out[kind] = {name: quality(name, seen, verdicts) for name in RISKY_PATTERNS}
    card = model.card.model_copy(
        update={
            "variant": f"own-{_fingerprint(examples)}",
            "command": command,
            "examples": len(examples),
            "groups": len({example.group for example in examples}),
            "decisions": decisions,
            "held_out": held_out,
        }
    )
    return Adaptation(TrainedReader(model.reader, card), patterns)


def learned_decisions(kind: Kind, shipped: Mapping[str, Decision], seen: Sequence[HeldOutTrace]) -> Decisions:
    """As `adapt` decides: learned where folds say that it is better, else as shipped."""
    before = [labels_of(kind, shipped, one) for one in seen]
    after = in_folds(kind, shipped, seen, 1.0)
    learned = fit_decisions(kind, shipped, seen)
    better = {n for n in shipped if _better(_confusion(n, seen, before), _confusion(n, seen, after))}
    return {name: learned[name] if name in better else shipped[name] for name in shipped}


def _better(old: Confusion, new: Confusion) -> bool:
    return (new.f1 or 0) > (old.f1 or 0) and (new.accuracy or 0) >= (old.accuracy or 0)


def _compared(
    kind: Kind, shipped: Mapping[str, Decision], seen: Sequence[HeldOutTrace]
) -> list[AdaptedPattern]:
    before = [labels_of(kind, shipped, one) for one in seen]
    curves = {share: in_folds(kind, shipped, seen, share) for share in SHARES}
    compared = []
    for name in RISKY_PATTERNS:
        labelled = sum(one.example.labels.get(name) is not None for one in seen)
        old = _confusion(name, seen, before)
        curve = [
            CurvePoint(round(share * labelled), _confusion(name, seen, curves[share])) for share in SHARES
        ]
        new = curve[-1].found
        compared.append(AdaptedPattern(kind, name, old, new, _better(old, new), curve))
    return compared


def _confusion(
    name: str, seen: Sequence[HeldOutTrace], verdicts: Sequence[Mapping[str, Annotation]]
) -> Confusion:
    pairs = [
        (bool(verdict[name].label), bool(label))
        for one, verdict in zip(seen, verdicts, strict=True)
        if (label := one.example.labels.get(name)) is not None and verdict[name].label is not None
    ]
    return Confusion(
        *(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False)))
    )


def _fingerprint(examples: Sequence[Example]) -> str:
    return content_id([[e.trace.trace_id, dict(e.labels)] for e in examples])[:8]
