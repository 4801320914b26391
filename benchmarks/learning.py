"""What a lab's own labels teach the embedding annotator: macro-F1 on a new source by the number of labels, over many draws.

Four sources that the shipped annotator has not seen: the held-out hands, and traces in the voice of a help desk's log, which stand beside this file.
Of each, some are learned from as `curate train-annotator --labels` does, and the rest are measured on.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from annotators.benchmark import Labelled, edits, labelled
from annotators.embedding.adapting import learned_decisions
from annotators.embedding.annotating import annotations
from annotators.embedding.deciding import HeldOutTrace, held_out_traces
from annotators.embedding.examples import Example
from annotators.embedding.model import Decision, TrainedReader, open_model
from benchmarks.patterns import STAR1, scores
from schemas.patterns import RISKY_PATTERNS

DESK = Path(__file__).parent / "learning_data"
SIZES, DRAWS, REST = (20, 40, 60, 100), 12, 20
"""Labels learned from, draws of each, and the fewest traces that must remain to measure on."""


def sources() -> dict[str, list[Labelled]]:
    """The labelled traces of each source."""
    found = {}
    if STAR1.is_file():
        star1 = edits.star1(STAR1)
        found = {hand: edits.load(star1, hand).items for hand in edits.HELD_OUT}
    return found | {"desk": labelled.load_folder(DESK)}


def f1s(decisions: dict[str, Decision], items: Sequence[tuple[Labelled, HeldOutTrace]]) -> np.ndarray:
    """F1 of each pattern."""
    verdicts = (a for item, one in items for a in annotations("embedding", decisions, item.trace, one.read))
    found = {(a.trace_id, a.pattern): a for a in verdicts}
    return np.array([score.f1 for score in scores(found, [item for item, _ in items]).values()])


def measure(model: TrainedReader, items: Sequence[Labelled]) -> dict[int, dict[str, object]]:
    """Gains over the shipped annotator on the same traces, by number of labels."""
    shipped = model.card.decisions["embedding"]
    examples = [Example(item.trace, item.labels, item.evidence, item.source) for item in items]
    pairs = list(zip(items, held_out_traces(model, examples), strict=True))
    whole = f1s(shipped, pairs)
    curve: dict[int, dict[str, object]] = {0: {"macro_f1": round(float(whole.mean()), 3), **_named(whole)}}
    for size in SIZES:
        if size > len(pairs) - REST:
            continue
        befores, afters = [], []
        for draw in range(DRAWS):
            drawn = Random(draw).sample(pairs, len(pairs))
            learned = learned_decisions("embedding", shipped, [one for _, one in drawn[:size]])
            befores.append(f1s(shipped, drawn[size:]))
            afters.append(f1s(learned, drawn[size:]))
        before, after = np.array(befores), np.array(afters)
        gains = (after - before).mean(1)
        curve[size] = {
            "macro_f1": round(float(after.mean()), 3),
            "shipped": round(float(before.mean()), 3),
            "gain": round(float(gains.mean()), 3),
            "gain_of_draws": np.percentile(gains, [5, 95]).round(3).tolist(),
            **_named(after.mean(0)),
        }
    return curve


def _named(values: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in zip(RISKY_PATTERNS, values, strict=True)}


def main() -> dict[str, object]:
    """Print the curves and return them."""
    model, curves = open_model(), {}
    for name, items in sources().items():
        curves[name] = measure(model, items)
        print(f"{name} ({len(items)} traces, {DRAWS} draws):")
        for labels, point in curves[name].items():
            print(f"  {labels:4} labels: " + ", ".join(f"{key} {value}" for key, value in point.items()))
    print(json.dumps({"benchmark": "learning", **curves}))
    return curves


if __name__ == "__main__":
    main()
