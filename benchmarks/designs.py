"""Designs for the embedding annotator side by side, on hands and sources that none of them saw.

One fold of hands is held out. All designs learn from every third of the other examples and for fewer passes than the shipped one, so that this
takes minutes: only the ranking counts. Needs `shared/data/star1.json` and `real_text` beside the checkout.

    python -m benchmarks designs
"""

import json
from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from annotators.embedding.examples import Example
from annotators.embedding.learning import Schedule, fit
from annotators.embedding.reading import Window, read
from annotators.embedding.training import decided, folds, gather, held_out
from annotators.embedding.varying import Variations
from annotators.embedding.vectors import SentenceVectors
from benchmarks.patterns import REAL_TEXT, STAR1
from schemas.patterns import RISKY_PATTERNS

EVERY = 3
STILL, TUNED = Schedule(still=5), Schedule(still=5, tuned=1)
Known = dict[Window, torch.Tensor]


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


def bag_of_sentences(learn: Sequence[Example], held: Sequence[Example]) -> dict[str, object]:
    """AUC of a logistic regression per pattern over the bag; it has no sentences to show and no thresholds of its own."""
    from sklearn.metrics import roc_auc_score

    encoder = SentenceVectors().eval()
    seen, unseen = bag(learn, encoder), bag(held, encoder)
    found = {}
    for name in RISKY_PATTERNS:
        here = [n for n, e in enumerate(learn) if e.labels.get(name) is not None]
        there = [n for n, e in enumerate(held) if e.labels.get(name) is not None]
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.003, class_weight="balanced", max_iter=500)
        )
        model.fit(seen[here], [learn[n].labels[name] for n in here])
        scores = model.decision_function(unseen[there])
        found[name] = round(float(roc_auc_score([held[n].labels[name] for n in there], scores)), 3)
    return {"auc": found}


def in_context(
    learn: Sequence[Example], held: Sequence[Example], schedule: Schedule, known: Known
) -> dict[str, object]:
    """Figures of a reader with one head."""
    reader = fit(learn, schedule, known=known, heads=1)
    found = decided(held_out(reader, held, None if schedule.tuned else known))
    quality = found.held_out["embedding"]
    return {
        "auc": {name: round(quality[name].auc, 3) for name in RISKY_PATTERNS},
        "f1": {name: round(quality[name].f1, 3) for name in RISKY_PATTERNS},
        "clean flagged": round(found.false_alarms["embedding"], 3),
    }


def as_written(learn: Sequence[Example], held: Sequence[Example], known: Known) -> dict[str, object]:
    """The same, with every lesson told as it stands."""
    with patch.object(Variations, "of", lambda _self, lesson, _random: lesson):
        return in_context(learn, held, STILL, known)


def main() -> dict[str, object]:
    """Measure, print and return the figures of each design."""
    if not STAR1.is_file():
        print("shared/data/star1.json is not beside this checkout: nothing to learn from")
        return {}
    lessons = gather(STAR1, REAL_TEXT)
    fold = folds(lessons.learn)[-1]
    learn, held = fold.learn[::EVERY], [*fold.held, *lessons.clean]
    known: Known = {}
    runs: dict[str, Callable[[], dict[str, object]]] = {
        "frozen encoder, bag of sentences": lambda: bag_of_sentences(learn, held),
        "context over sentences": lambda: as_written(learn, held, known),
        "the same, lessons told otherwise": lambda: in_context(learn, held, STILL, known),
        "the same, layer 3 tuned": lambda: in_context(learn, held, TUNED, known),
    }
    figures: dict[str, object] = {}
    for name, run in runs.items():
        figures[name] = run()
        print(f"{name:36} {json.dumps(figures[name])}", flush=True)
    print(json.dumps({"benchmark": "designs", **figures}))
    return figures


if __name__ == "__main__":
    main()
