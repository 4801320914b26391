"""What a cascade saves and what it loses, on writers that the cheap annotator never saw: calls to the judge, and agreement with judging everything.

The judge is recorded: a second reading of the traces, by a language model that saw nothing but their text and differed from the writers' labels in
three of 880 rows. Bands are fitted on half of the traces and measured on the other half, twenty times over; traces of one source stay together.
Needs `shared/data/star1.json` beside the checkout.
"""

import json
from collections.abc import Mapping, Sequence
from random import Random
from statistics import mean, quantiles
from typing import NamedTuple

from annotators import catalog
from annotators.benchmark import edits, labelled
from annotators.cascade import Band, Scores, scored
from benchmarks.patterns import REAL_TEXT, STAR1
from curation.annotate.cascade import JudgedScore, fit_band
from schemas.patterns import RISKY_PATTERNS

FIRST = "embedding"
SPLITS = 20
WANTED = (0.9, 0.95)
"""Recall and precision that the bands must keep on the sample."""
LABELLED_SHARES = (None, 0.1)
"""Share of traces with a pattern: as written (most have one), and as it may be in a corpus."""


class JudgedTrace(NamedTuple):
    """A trace as both see it."""

    source: str
    labels: Mapping[str, bool]
    scores: Scores


class CascadeOutcome(NamedTuple):
    """One split."""

    saved: float
    agreement: float
    """Share of the labels that are those of judging everything."""
    found: float
    """Share of the judge's positives that the cascade calls positive."""


def outcome(held_out: Sequence[JudgedTrace], bands: Mapping[str, Band]) -> CascadeOutcome:
    """What bands make of traces that did not fit them."""
    asked = same = positives = kept = 0
    for one in held_out:
        own = {name: bands[name].decides(one.scores[name].score) for name in RISKY_PATTERNS}
        ask = any(one.scores[n].label is not None and own[n] is None for n in RISKY_PATTERNS)
        asked += ask
        for name in RISKY_PATTERNS:
            label = one.labels[name] if ask else bool(own[name]) and one.scores[name].label is not None
            same += label == one.labels[name]
            positives += one.labels[name]
            kept += label and one.labels[name]
    total = len(held_out)
    return CascadeOutcome(
        1 - asked / total, same / (total * len(RISKY_PATTERNS)), kept / positives if positives else 1.0
    )


def split(traces: Sequence[JudgedTrace], seed: int) -> tuple[list[JudgedTrace], list[JudgedTrace]]:
    """Halves that share no source."""
    sources = sorted({one.source for one in traces})
    chosen = set(Random(seed).sample(sources, len(sources) // 2))
    return [t for t in traces if t.source in chosen], [t for t in traces if t.source not in chosen]


def thinned(traces: Sequence[JudgedTrace], share: float | None, seed: int) -> list[JudgedTrace]:
    """The traces with so many of those that show a pattern that they are this share of all."""
    if share is None:
        return list(traces)
    without = [one for one in traces if not any(one.labels.values())]
    having = [one for one in traces if any(one.labels.values())]
    number = min(len(having), round(len(without) * share / (1 - share)))
    return without + Random(seed).sample(having, number)


def bands_of(sample: Sequence[JudgedTrace], wanted: float) -> dict[str, Band]:
    """Bands of all patterns, as `curate annotate --annotators cascade` fits them."""

    def judged(name: str) -> list[JudgedScore]:
        rows = [(one.scores[name].score, one.labels[name]) for one in sample]
        return [JudgedScore(score, truth) for score, truth in rows if score is not None]

    return {name: fit_band(judged(name), wanted, wanted) for name in RISKY_PATTERNS}


def gathered() -> list[JudgedTrace]:
    """Held-out hands, and the traces of STAR-1 that are only measured on, which show nothing."""
    sources = edits.star1(STAR1)
    items = edits.load(sources, *edits.HELD_OUT).items
    clean = edits.untouched(sources, labelled.load_folder(REAL_TEXT) if REAL_TEXT.is_dir() else ()).measure
    nothing = dict.fromkeys(RISKY_PATTERNS, False)
    found = scored(catalog.get(FIRST), [*(item.trace for item in items), *clean])
    rows = [(item.source, item.labels, item.trace) for item in items]
    rows += [(trace.source_id or trace.trace_id, nothing, trace) for trace in clean]
    return [JudgedTrace(source, labels, found[trace.trace_id]) for source, labels, trace in rows]


def main() -> dict[str, object]:
    """Print the table and return its figures."""
    if not STAR1.is_file():
        print("shared/data/star1.json is not beside this checkout: nothing to measure on")
        return {}
    traces, figures = gathered(), {}
    for share in LABELLED_SHARES:
        for wanted in WANTED:
            outcomes = []
            for seed in range(SPLITS):
                sample, rest = split(traces, seed)
                bands = bands_of(sample, wanted)
                outcomes.append(outcome(thinned(rest, share, seed), bands))
            name = f"{'as written' if share is None else f'{share:.0%} with a pattern'}, wanted {wanted}"
            figures[name] = {
                part: _spread([getattr(o, part) for o in outcomes]) for part in outcomes[0]._fields
            }
            print(
                name, {part: " ".join(f"{v:.3f}" for v in spread) for part, spread in figures[name].items()}
            )
    print(json.dumps({"benchmark": "cascade", **figures}))
    return dict(figures)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean, and the 5th and 95th percentile over splits."""
    steps = quantiles(values, n=20)
    return round(mean(values), 4), round(steps[0], 4), round(steps[-1], 4)


if __name__ == "__main__":
    main()
