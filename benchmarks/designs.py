"""Designs for the embedding annotator side by side, on writers and sources that none of them saw.

Trained on all hands but those held out for calibration, measured on these: F1 at each design's own thresholds, AUC, false alarms. Every fifth
example is taken, so that this takes minutes on two cores that are free, and its figures are lower; those of decision 8 are from whole runs of
hours. `annotators/embedding` has the last design. Needs `shared/data/star1.json` and `real_text` beside the checkout.

    python -m benchmarks designs
"""

import json
from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from annotators.embedding import vectors
from annotators.embedding.examples import Example
from annotators.embedding.learning import Schedule
from annotators.embedding.reading import read
from annotators.embedding.training import Lessons, gather, train
from annotators.embedding.vectors import SentenceVectors
from benchmarks.patterns import REAL_TEXT, STAR1
from schemas.patterns import RISKY_PATTERNS

EVERY = 5
FROZEN, TUNED = Schedule(still=10, tuned=0), Schedule(still=8, tuned=2)
DESIGNS: dict[str, tuple[int, int, Schedule]] = {
    "frozen encoder, context over sentences": (2, 3, FROZEN),
    "layer 3 tuned (of 3)": (2, 3, TUNED),
}
"""Name -> how many layers are never trained, how many are read, the schedule."""


def bag(examples: Sequence[Example], encoder: SentenceVectors) -> np.ndarray:
    """One vector a trace: the mean sentence of each third of the reasoning, then of the answer (version 3's "whole")."""
    rows = []
    for document in read([example.trace for example in examples], encoder.tokenizer):
        with torch.inference_mode():
            found = encoder(document.windows)
        every = torch.cat([found[window] for window in document.windows]).numpy()
        fields = np.array([sentence.field for sentence in document.sentences])
        parts = [*np.array_split(every[fields == "reasoning"], 3), every[fields == "answer"]]
        rows.append(np.concatenate([p.mean(0) if len(p) else np.zeros(every.shape[1]) for p in parts]))
    return np.array(rows)


def bag_of_sentences(lessons: Lessons) -> dict[str, float]:
    """AUC of a logistic regression per pattern over the bag; it has no sentences to show and no thresholds of its own."""
    from sklearn.metrics import roc_auc_score

    encoder = SentenceVectors().eval()
    held = lessons.held_out
    seen, unseen = bag(lessons.learn, encoder), bag(held, encoder)
    found = {}
    for name in RISKY_PATTERNS:
        here = [n for n, e in enumerate(lessons.learn) if e.labels.get(name) is not None]
        there = [n for n, e in enumerate(held) if e.labels.get(name) is not None]
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.003, class_weight="balanced", max_iter=500)
        )
        model.fit(seen[here], [lessons.learn[n].labels[name] for n in here])
        found[name] = roc_auc_score(
            [held[n].labels[name] for n in there], model.decision_function(unseen[there])
        )
    return found


def tuned(lessons: Lessons, middle: int, layers: int, schedule: Schedule) -> dict[str, object]:
    """Figures of a reader over some of the encoder's layers."""
    vectors.MIDDLE, vectors.LAYERS = middle, layers
    found = train(lessons, schedule).card
    quality = found.held_out["embedding"]
    return {
        "f1": {name: quality[name].f1 for name in RISKY_PATTERNS},
        "auc": {name: quality[name].auc for name in RISKY_PATTERNS},
        "clean flagged": found.false_alarms["embedding"],
    }


def main() -> dict[str, object]:
    """Measure, print and return the figures of each design."""
    if not STAR1.is_file():
        print("shared/data/star1.json is not beside this checkout: nothing to learn from")
        return {}
    whole = gather(STAR1, REAL_TEXT)
    lessons = whole._replace(
        learn=whole.learn[::EVERY], calibrate=whole.calibrate[::EVERY], clean=whole.clean[::EVERY]
    )
    figures: dict[str, object] = {}
    runs: dict[str, Callable[[], dict[str, object]]] = {
        "frozen encoder, bag of sentences": lambda: {"auc": bag_of_sentences(lessons)},
        **{name: lambda d=design: tuned(lessons, *d) for name, design in DESIGNS.items()},
    }
    for name, run in runs.items():
        figures[name] = run()
        print(f"{name:40} {json.dumps(figures[name])}", flush=True)
    print(json.dumps({"benchmark": "designs", **figures}))
    return figures


if __name__ == "__main__":
    main()
