"""Fits the safety classifier: trained on some families of prompts, calibrated on others, tested on the rest."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from annotators.embedding.encoder import MODEL
from annotators.safety_classifier.families import families_of, split
from annotators.safety_classifier.model import Decided, Quality, SafetyCard, SafetyClassifier, untrained
from schemas.errors import RecipeError, require

if TYPE_CHECKING:
    from annotators.safety_classifier.model import Array

BINS = 10
Advance = Callable[[int], object]
"""Called after every step."""


def train(
    decided: Sequence[Decided],
    teacher: str,
    folder: Path,
    epochs: int = 3,
    seed: int = 0,
    advance: Advance = int,
    base: str | None = None,
    revision: str | None = None,
) -> SafetyCard:
    """Fit a classifier and save it in a folder; arguments and errors as `fit`."""
    classifier, card = fit(decided, teacher, epochs, seed, advance, base, revision)
    classifier.save(folder, card)
    return card


def fit(
    decided: Sequence[Decided],
    teacher: str,
    epochs: int = 3,
    seed: int = 0,
    advance: Advance = int,
    base: str | None = None,
    revision: str | None = None,
) -> tuple[SafetyClassifier, SafetyCard]:
    """Train on some families of prompts, calibrate on others, test on the rest.

    Args:
        decided: prompts and the teacher's decisions.
        teacher: its name on the card.
        epochs: passes over the training part.
        seed: of the split, the head's weights and the order.
        advance: called after every step.
        base: a BERT by folder or name on the hub; None: all-MiniLM-L6-v2.
        revision: commit or tag on the hub.

    Raises:
        EngineError: if the base cannot be loaded.
        RecipeError: if a part of the split would lack refused or answered prompts.
    """
    require("torch", "transformers", "sklearn", "safetensors", extra="models")
    families = families_of([one.text for one in decided])
    parts = split(decided, families, seed)
    for part, chosen in parts.items():
        if len({one.refused >= 0.5 for one in chosen}) < 2:
            raise RecipeError(
                f"{part}: all {len(chosen)} prompts have the same decision; "
                "the classifier needs prompts of both kinds from several families"
            )
    classifier = untrained(seed, base, revision)
    for _ in classifier.train(parts["train"], epochs, seed):
        advance(1)
    before = quality(classifier, parts["test"])
    held = parts["calibrate"]
    classifier.temperature = best_temperature(
        classifier.logits([d.text for d in held]), [d.refused for d in held]
    )
    numbers = {one.text: family for one, family in zip(decided, families, strict=True)}
    card = SafetyCard(
        base=base or MODEL,
        revision=revision,
        teacher=teacher,
        temperature=classifier.temperature,
        seed=seed,
        epochs=epochs,
        prompts={part: len(chosen) for part, chosen in parts.items()},
        families={part: len({numbers[d.text] for d in chosen}) for part, chosen in parts.items()},
        before_calibration=before,
        test=quality(classifier, parts["test"]),
    )
    return classifier, card


def best_temperature(logits: "Array", truth: Sequence[float]) -> float:
    """Temperature scaling: the divisor of the logits with the highest likelihood (arXiv 1706.04599)."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    refused = np.asarray(truth)

    def loss(log_temperature: float) -> float:
        z = logits / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, z) - refused * z))

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def quality(classifier: SafetyClassifier, decided: Sequence[Decided]) -> Quality:
    """AUROC, calibration error and accuracy on some prompts."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    likely = classifier.probabilities([one.text for one in decided])
    truth = np.array([one.refused for one in decided])
    return Quality(
        prompts=len(decided),
        auroc=float(roc_auc_score(truth >= 0.5, likely)),
        ece=calibration_error(likely, truth),
        accuracy=float(((likely >= 0.5) == (truth >= 0.5)).mean()),
    )


def calibration_error(likely: "Array", truth: "Array") -> float:
    """Expected calibration error over bins of equal width."""
    import numpy as np

    bins = np.minimum((likely * BINS).astype(int), BINS - 1)
    gaps = [abs(float((likely - truth)[bins == b].sum())) for b in range(BINS)]
    return sum(gaps) / max(1, len(likely))
