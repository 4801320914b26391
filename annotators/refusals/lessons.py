"""Written answers as the refusal reader learns from them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from annotators.benchmark import labelled
from annotators.refusals.classes import CLASSES, COMPLIANCE, DOES, HELPING
from annotators.refusals.document import AnswerDocument, documents
from annotators.refusals.examples import WrittenAnswer, load
from annotators.refusals.reading import beyond_reach

LABELLED = "labelled set"
HALF = 0.5
UNKNOWN = -1
"""In a class's place: only whether the answer refuses is known."""


class RefusalLesson(NamedTuple):
    """An answer, ready to learn from."""

    voice: str
    document: AnswerDocument
    does: Tensor
    """What each sentence does, 0 or 1. Shape (sentences, DOES)."""
    answer_class: int
    refuses: bool
    told: bool = True
    """Whether it is known what the sentences do."""


def written_lessons(tokenizer: Any) -> list[RefusalLesson]:
    """All that is learned from: answers written for it, and English ones of the labelled set (dev half)."""
    written_for_it = [answer for answer in load("examples") if answer.answer_class != "no_answer"]
    return [*lessons(written_for_it, tokenizer), *_of_labelled_set(tokenizer)]


def lessons(answers: Sequence[WrittenAnswer], tokenizer: Any) -> list[RefusalLesson]:
    """Lessons of answers; those without a sentence are left out."""
    return [
        RefusalLesson(
            answer.voice,
            document,
            torch.tensor([does(answer, *bounds) for bounds in document.bounds], dtype=torch.float),
            CLASSES.index("compliance" if answer.answer_class == "safe_completion" else answer.answer_class),
            answer.refuses,
        )
        for answer, document in zip(answers, documents([a.text for a in answers], tokenizer), strict=True)
        if document.bounds
    ]


def _of_labelled_set(tokenizer: Any) -> list[RefusalLesson]:
    """Verse, scenes, refusals with a turn to something else, plain help; of refusals the set says only that they refuse."""
    items = [item for item in labelled.load("dev") if not beyond_reach(item.trace.answer)]
    found = []
    for item, document in zip(items, documents([i.trace.answer for i in items], tokenizer), strict=True):
        refuses = bool(item.labels["answer_refusal"])
        does = torch.zeros(len(document.bounds), len(DOES))
        does[:, HELPING] = 1.0
        answer_class = UNKNOWN if refuses else COMPLIANCE
        voice = f"{LABELLED} {item.batch}"
        if document.bounds:
            found.append(RefusalLesson(voice, document, does, answer_class, refuses, not refuses))
    return found


def does(answer: WrittenAnswer, start: int, end: int) -> tuple[bool, bool, bool]:
    """What a sentence does: whether a mark of refusal touches it, idle marks cover it, and enough is left that helps."""
    length = max(1, end - start)
    refusing, idle = (
        sum(max(0, min(end, there) - max(start, here)) for here, there in marks)
        for marks in (answer.refusing, answer.idle)
    )
    left = length - refusing - idle
    return refusing > 0, not refusing and idle > HALF * length, left > min(12, HALF * length)
