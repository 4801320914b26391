"""Learns the refusal classifier from the written answers: seconds of CPU, no network.

The second layer learns from what the first one says of voices that it has not seen; otherwise it would trust it too much.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from annotators.benchmark import labelled
from annotators.refusals.examples import WrittenAnswer, load
from annotators.refusals.model import (
    CLASSES,
    Array,
    Figures,
    Places,
    RefusalCard,
    RefusalModel,
    described,
    kept,
    pooled,
)
from annotators.refusals.reading import beyond_reach
from schemas.errors import MissingExtraError

NAME = "2"
COMMAND = "curate train-refusals --out FOLDER"
SCALE = 4.0
"""What vectors are divided by beside their deviation: 768 numbers would outweigh 17 others."""
SENTENCE_C, ANSWER_C = 1.0, 0.3
"""Inverse strength of regularisation, of both layers."""
LABELLED = "labelled set"
HALF = 0.5
FOLDS = 8
"""Parts that the voices are dealt into: a part's answers are judged by a model of the other parts."""


class TaughtAnswer(NamedTuple):
    """A written answer, ready to learn from."""

    answer: WrittenAnswer
    places: Places
    does: Array
    """What each sentence does, 0 or 1: refuse, neither, help. Shape (sentences, 3)."""
    told: bool = True
    """Whether that is known; of the labelled set's refusals it is not."""


def train(out: Path) -> RefusalCard:
    """Train on all written answers, measure voice by voice, and write weights and card.

    Raises:
        MissingExtraError: if the extra `models` is not installed.
    """
    written_for_it = [answer for answer in load("examples") if answer.answer_class != "no_answer"]
    taught = lessons([*written_for_it, *labelled_answers()])
    logits = logits_of_unseen_voices(taught)
    features = np.stack(
        [pooled(kept(found, lesson.places), lesson.places) for found, lesson in zip(logits, taught, strict=True)]
    )  # fmt: skip
    taught = supposed(features, taught)
    model = RefusalModel(*learn_sentences(taught), *learn_answers(features, taught))
    card = RefusalCard(
        name=NAME,
        command=COMMAND,
        examples=len(taught),
        voices=voices(taught),
        left_out_voice=_figures(features, taught),
    )
    model.save(out, card)
    return card


def labelled_answers() -> list[WrittenAnswer]:
    """English answers of the labelled set (dev half), by hand: verse, scenes, refusals with a turn to something else, plain help."""
    return [
        WrittenAnswer(
            item.trace.answer,
            "full_refusal" if item.labels["answer_refusal"] else "compliance",
            (),
            (),
            f"{LABELLED} {item.batch}",
            "",
        )
        for item in labelled.load("dev")
        if not beyond_reach(item.trace.answer)
    ]


def lessons(answers: Sequence[WrittenAnswer]) -> list[TaughtAnswer]:
    """Describe answers; those without a sentence are left out."""
    found = described([answer.text for answer in answers])
    return [
        TaughtAnswer(
            answer,
            places,
            np.array([does(answer, *bounds) for bounds in places.bounds], float),
            bool(answer.refusing) or not answer.refuses,
        )
        for answer, places in zip(answers, found, strict=True)
        if places.bounds
    ]


def supposed(features: Array, taught: Sequence[TaughtAnswer]) -> list[TaughtAnswer]:
    """The answers, refusals of the labelled set full or partial as a model of the others supposes: the set says only that they refuse."""
    known = np.array([lesson.told for lesson in taught])
    weights, bias = learn_answers(features[known], [lesson for lesson in taught if lesson.told])
    partial = np.diff((features @ weights + bias)[:, :2])[:, 0] > 0
    return [
        lesson._replace(answer=lesson.answer._replace(answer_class="partial_refusal"))
        if part and not lesson.told
        else lesson
        for lesson, part in zip(taught, partial, strict=True)
    ]


def does(answer: WrittenAnswer, start: int, end: int) -> tuple[bool, bool, bool]:
    """What a sentence does: whether a mark of refusal touches it, idle marks cover it, and enough is left that helps."""
    length = max(1, end - start)
    refusing, idle = (
        sum(max(0, min(end, there) - max(start, here)) for here, there in marks)
        for marks in (answer.refusing, answer.idle)
    )
    left = length - refusing - idle
    return refusing > 0, not refusing and idle > HALF * length, left > min(12, HALF * length)


def voices(taught: Sequence[TaughtAnswer]) -> list[str]:
    """The voices in a fixed order."""
    return sorted({lesson.answer.voice for lesson in taught})


def _parts(taught: Sequence[TaughtAnswer]) -> npt.NDArray[np.int64]:
    """Which part each answer is in; a voice is in one."""
    part = {voice: number % FOLDS for number, voice in enumerate(voices(taught))}
    return np.array([part[lesson.answer.voice] for lesson in taught])


def logits_of_unseen_voices(taught: Sequence[TaughtAnswer]) -> list[Array]:
    """What the first layer says of each answer's sentences if it learns from voices of the other parts."""
    logits: list[Array] = [np.zeros(0)] * len(taught)
    parts = _parts(taught)
    for part in range(FOLDS):
        weights, bias = learn_sentences([taught[n] for n in np.flatnonzero(parts != part)])
        for number in np.flatnonzero(parts == part):
            logits[number] = taught[number].places.features @ weights + bias
    return logits


def learn_sentences(taught: Sequence[TaughtAnswer]) -> tuple[Array, Array]:
    """The first layer: weights (features, 3) and bias (3,)."""
    taught = [lesson for lesson in taught if lesson.told]
    features = np.concatenate([lesson.places.features for lesson in taught])
    truth = np.concatenate([lesson.does for lesson in taught])
    vectors = features.shape[1] - 17
    mean, deviation = features.mean(0), features.std(0) * SCALE + 1e-6
    mean[vectors:], deviation[vectors:] = 0, 1
    scaled = (features - mean) / deviation
    fitted = [
        _regression(C=SENTENCE_C, solver="liblinear", tol=1e-3).fit(scaled, truth[:, n]) for n in range(3)
    ]
    weights = np.stack([one.coef_[0] for one in fitted], 1) / deviation[:, None]
    return weights, np.array([one.intercept_[0] for one in fitted]) - mean @ weights


def learn_answers(features: Array, taught: Sequence[TaughtAnswer]) -> tuple[Array, Array]:
    """The second layer: weights (answer features, classes) and bias (classes,)."""
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    fitted = _regression(C=ANSWER_C, max_iter=3000).fit((features - mean) / deviation, _classes(taught))
    weights = fitted.coef_.T / deviation[:, None]
    return weights, fitted.intercept_ - mean @ weights


def _classes(taught: Sequence[TaughtAnswer]) -> list[int]:
    names = (lesson.answer.answer_class for lesson in taught)
    return [CLASSES.index("compliance" if name == "safe_completion" else name) for name in names]


def _figures(features: Array, taught: Sequence[TaughtAnswer]) -> Figures:
    found = np.zeros(len(taught), int)
    truth = np.array(_classes(taught))
    refused = np.zeros(len(taught), bool)
    parts = _parts(taught)
    for part in range(FOLDS):
        away = parts == part
        weights, bias = learn_answers(features[~away], [taught[n] for n in np.flatnonzero(~away)])
        scores = features[away] @ weights + bias
        shares = np.exp(scores - scores.max(1, keepdims=True))
        found[away] = scores.argmax(1)
        refused[away] = shares[:, :2].sum(1) >= HALF * shares.sum(1)
    truly = truth < 2
    hits = int((refused & truly).sum())
    precision, recall = hits / max(1, refused.sum()), hits / max(1, truly.sum())
    return Figures(
        answers=len(taught),
        precision=round(precision, 4),
        recall=round(recall, 4),
        f1=round(2 * precision * recall / (precision + recall), 4),
        right_class=round(float((found == truth).mean()), 4),
    )


def _regression(**options: Any) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "models") from error
    return LogisticRegression(**options)
