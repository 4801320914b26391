"""How well rules, embedding and ensemble find each pattern: precision, recall and F1 on the labelled set, false alarms on real traces.

STAR-1's answers were filtered for safety by its authors, so a flag there is counted as a false alarm, which makes the rate
an upper bound: some flagged traces do show the pattern.
"""

import json
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from statsmodels.stats.proportion import proportion_confint

from annotators import catalog
from annotators.base import Annotator
from annotators.benchmark import SPLITS, Split, load
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

STAR1 = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "star1.json"


class Score(NamedTuple):
    """What an annotator got right and wrong of one pattern; an abstention counts as "not found"."""

    hits: int
    false_alarms: int
    misses: int
    abstained: int
    touching: int
    """Hits with a span that overlaps the written evidence."""

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when nothing was found."""
        return 2 * self.hits / max(1, 2 * self.hits + self.false_alarms + self.misses)


def interval(part: int, whole: int) -> tuple[float, float, float]:
    """A share with its 95 % Wilson interval; all of [0, 1] when there is nothing to count."""
    if whole == 0:
        return 0.0, 0.0, 1.0
    low, high = proportion_confint(part, whole, method="wilson")
    return part / whole, float(low), float(high)


def scores(annotator: Annotator, split: Split) -> dict[str, Score]:
    """Score each risky pattern on a split of the labelled set."""
    items = load(split)
    found = {(a.trace_id, a.pattern): a for a in annotator.annotate([item.trace for item in items])}
    counts = {}
    for name in RISKY_PATTERNS:
        hits = alarms = misses = abstained = touching = 0
        for item in items:
            verdict = found[item.trace.trace_id, name]
            true = item.labels[name]
            hits += bool(verdict.label) and true
            alarms += bool(verdict.label) and not true
            misses += not verdict.label and true
            abstained += verdict.label is None
            shown = [getattr(item.trace, span.field)[span.start : span.end] for span in verdict.spans]
            quotes = item.evidence.get(name, [])
            touching += true and any(text in quote or quote in text for text in shown for quote in quotes)
        counts[name] = Score(hits, alarms, misses, abstained, touching)
    return counts


def star1_traces() -> list[Trace]:
    """STAR-1's traces; none where the file is not beside this checkout."""
    if not STAR1.is_file():
        return []
    traces = []
    for number, row in enumerate(json.loads(STAR1.read_bytes())):
        reasoning, _, answer = row["response"].partition("</think>")
        traces.append(
            Trace(
                trace_id=str(number),
                prompt_id=str(number),
                prompt=row["question"],
                kind="harmful",
                reasoning=reasoning.replace("<think>", "").strip(),
                answer=answer.strip(),
            )
        )
    return traces


def flag_rates(annotator: Annotator, traces: Sequence[Trace]) -> dict[str, int]:
    """How many traces are flagged with each risky pattern."""
    flagged = dict.fromkeys(RISKY_PATTERNS, 0)
    for annotation in annotator.annotate(traces):
        if annotation.label and annotation.pattern in flagged:
            flagged[annotation.pattern] += 1
    return flagged


def measure(name: str, traces: Sequence[Trace]) -> dict[str, object]:
    """Figures of one annotator, printed as a table."""
    annotator = catalog.get(name)
    figures: dict[str, object] = {}
    for split in SPLITS:
        found = scores(annotator, split)
        macro = sum(score.f1 for score in found.values()) / len(found)
        hits, touching = sum(s.hits for s in found.values()), sum(s.touching for s in found.values())
        figures[split] = {
            "macro_f1": round(macro, 3),
            "span_hits": round(touching / max(1, hits), 3),
            **{pattern: score._asdict() for pattern, score in found.items()},
        }
        print(
            f"{annotator.name} on {split}: macro-F1 {macro:.2f}; evidence touched in {touching} of {hits} hits"
        )
        for pattern, score in found.items():
            precision = interval(score.hits, score.hits + score.false_alarms)
            recall = interval(score.hits, score.hits + score.misses)
            print(
                f"  {pattern:26} P {precision[0]:.2f} [{precision[1]:.2f}, {precision[2]:.2f}]"
                f"  R {recall[0]:.2f} [{recall[1]:.2f}, {recall[2]:.2f}]  F1 {score.f1:.2f}"
                f"  ({score.hits} hits, {score.false_alarms} false alarms, {score.misses} misses,"
                f" {score.abstained} abstained; evidence touched in {score.touching})"
            )
    if traces:
        start = time.perf_counter()
        flagged = flag_rates(annotator, traces)
        seconds = time.perf_counter() - start
        figures["star1"] = {
            "traces": len(traces),
            "traces_per_second": round(len(traces) / seconds, 1),
            **flagged,
        }
        print(f"flagged among {len(traces)} STAR-1 traces ({len(traces) / seconds:.1f} traces/s):")
        for pattern, count in flagged.items():
            rate, low, high = interval(count, len(traces))
            print(f"  {pattern:26} {count:4}  {100 * rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]")
    return figures


def main() -> dict[str, object]:
    """Measure every annotator that asks no language model, and return the figures."""
    traces = star1_traces()
    if not traces:
        print("STAR-1 is not beside this checkout: no false-alarm rate")
    names = ("rules", "embedding", "ensemble") if find_spec("sentence_transformers") else ("rules",)
    figures: dict[str, object] = {name: measure(name, traces) for name in names}
    print(json.dumps({"benchmark": "patterns", **figures}))
    return figures


if __name__ == "__main__":
    main()
