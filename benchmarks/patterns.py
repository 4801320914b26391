"""How well rules, embedding and ensemble find each pattern on writers that nothing was trained or tuned on, with intervals.

The hands t5 to t9 of the labelled set and its test split are only measured on (an abstention on a language that is not read is a miss where a pattern
is true), and so are the traces that these hands edited: on them, as they were published, false alarms are counted. STAR-1's authors filtered them for
safety, so the rate is an upper bound. Needs `shared/data/star1.json` beside the checkout.
"""

import json
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from annotators import catalog
from annotators.base import Annotator
from annotators.benchmark import Labelled, edits, labelled
from annotators.statistics.intervals import wilson
from schemas.annotation import Annotation
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
STAR1, REAL_TEXT = DATA / "star1.json", DATA / "real_text"


class Score(NamedTuple):
    """Counts for one pattern; an abstention is no finding."""

    hits: int
    false_alarms: int
    misses: int
    abstained: int
    evident: int
    """Hits whose evidence the writer wrote down."""
    touching: int
    """Of these, hits with a span that shares words with it."""

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if nothing was found."""
        return 2 * self.hits / max(1, 2 * self.hits + self.false_alarms + self.misses)


def annotated(annotator: Annotator, traces: Sequence[Trace]) -> dict[tuple[str, str], Annotation]:
    """Annotations by trace and pattern; these annotators never fail."""
    return {(a.trace_id, a.pattern): a for a in annotator.annotate(traces) if isinstance(a, Annotation)}


def scores(found: dict[tuple[str, str], Annotation], items: Sequence[Labelled]) -> dict[str, Score]:
    """Scores of each risky pattern on labelled traces."""
    counts = {}
    for name in RISKY_PATTERNS:
        hits = alarms = misses = abstained = evident = touching = 0
        for item in items:
            verdict, true = found[item.trace.trace_id, name], item.labels[name]
            hits += bool(verdict.label) and true
            alarms += bool(verdict.label) and not true
            misses += not verdict.label and true
            abstained += verdict.label is None
            if verdict.label and true and item.evidence.get(name):
                evident += 1
                touching += touches(verdict, item)
        counts[name] = Score(hits, alarms, misses, abstained, evident, touching)
    return counts


def touches(verdict: Annotation, item: Labelled) -> bool:
    """Whether a span shares words with the written evidence."""
    shown = [getattr(item.trace, span.field)[span.start : span.end] for span in verdict.spans]
    quotes = item.evidence.get(verdict.pattern, [])
    return any(text in quote or quote in text for text in shown for quote in quotes)


def measure(name: str, sets: dict[str, list[Labelled]], clean: Sequence[Trace]) -> dict[str, object]:
    """Print and return the figures of one annotator."""
    annotator = catalog.get(name)
    figures: dict[str, object] = {}
    for label, items in sets.items():
        found = scores(annotated(annotator, [item.trace for item in items]), items)
        figures[label] = show(f"{annotator.name} on {label} ({len(items)} traces)", found)
    start = time.perf_counter()
    flags = annotated(annotator, clean)
    seconds = time.perf_counter() - start
    flagged = {name: sum(bool(flags[t.trace_id, name].label) for t in clean) for name in RISKY_PATTERNS}
    flagged["any"] = sum(any(flags[t.trace_id, name].label for name in RISKY_PATTERNS) for t in clean)
    print(f"flagged among {len(clean)} clean traces ({len(clean) / seconds:.1f} traces/s):")
    for pattern, count in flagged.items():
        low, high = wilson(count, len(clean))
        print(f"  {pattern:26} {count:4}  {count / len(clean):.1%} [{low:.1%}, {high:.1%}]")
    return figures | {
        "clean": {"traces": len(clean), "traces_per_second": round(len(clean) / seconds, 1), **flagged}
    }


def speed(name: str, traces: Sequence[Trace]) -> dict[str, float]:
    """Print how fast an annotator reads traces, in batches as `curate annotate` hands them over."""
    annotator = catalog.get(name)
    wall, processor = time.perf_counter(), time.process_time()
    for start in range(0, len(traces), annotator.batch_traces):
        annotated(annotator, traces[start : start + annotator.batch_traces])
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    figures = {
        "traces": len(traces),
        "cpu_seconds": round(processor, 1),
        "traces_per_cpu_second": round(len(traces) / processor, 1),
        "traces_per_second": round(len(traces) / wall, 1),
        "cpu_seconds_per_20000": round(20_000 * processor / len(traces)),
    }
    print(f"{annotator.name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    return figures


def show(title: str, found: dict[str, Score]) -> dict[str, object]:
    """Print a table and return its figures."""
    macro = sum(score.f1 for score in found.values()) / len(found)
    evident, touching = (sum(getattr(s, part) for s in found.values()) for part in ("evident", "touching"))
    print(f"{title}: macro-F1 {macro:.2f}; evidence touched in {touching} of {evident} hits that have some")
    for pattern, score in found.items():
        precision = rate(score.hits, score.hits + score.false_alarms)
        recall = rate(score.hits, score.hits + score.misses)
        print(
            f"  {pattern:26} F1 {score.f1:.2f}  P {precision}  R {recall}  ({score.hits} hits, {score.false_alarms} false"
            f" alarms, {score.misses} misses, {score.abstained} abstained; evidence touched in {score.touching} of {score.evident})"
        )
    by_pattern = {pattern: score._asdict() | {"f1": round(score.f1, 3)} for pattern, score in found.items()}
    return {"macro_f1": round(macro, 3), "span_hits": round(touching / max(1, evident), 3), **by_pattern}


def rate(part: int, whole: int) -> str:
    """A rate with its 95 % Wilson interval."""
    if whole == 0:
        return "  -  [0.00, 1.00]"
    return f"{part / whole:.2f} [{wilson(part, whole).low:.2f}, {wilson(part, whole).high:.2f}]"


def main() -> dict[str, object]:
    """Measure every annotator that uses no language model, and return the figures."""
    if not STAR1.is_file():
        print("shared/data/star1.json is not beside this checkout: nothing to measure on")
        return {}
    sources = edits.star1(STAR1)
    sets = {hand: edits.load(sources, hand).items for hand in edits.HELD_OUT}
    sets["test"] = labelled.load("test")
    clean = edits.untouched(sources, labelled.load_folder(REAL_TEXT) if REAL_TEXT.is_dir() else ()).measure
    names = ("rules", "embedding", "ensemble") if find_spec("sentence_transformers") else ("rules",)
    figures: dict[str, object] = {name: measure(name, sets, clean) for name in names}
    if "embedding" in names:
        figures["speed"] = speed("embedding", list(sources.values()))
    print(json.dumps({"benchmark": "patterns", **figures}))
    return figures


if __name__ == "__main__":
    main()
