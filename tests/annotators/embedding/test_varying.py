"""Lessons that are told otherwise keep their labels true and their sentences in order."""

from random import Random

import pytest

pytest.importorskip("sentence_transformers", reason="the extra `models` is not installed")

from annotators.benchmark import Labelled, labelled
from annotators.embedding.examples import Lesson, from_labelled, targets
from annotators.embedding.reader import CONCLUSIONS, SHOWN
from annotators.embedding.reading import read
from annotators.embedding.varying import (
    SPOKEN,
    Variations,
    mild_passage,
    risky_passage,
    shortened,
    spliced,
    swapped,
    thinned,
)
from annotators.embedding.vectors import SentenceVectors
from schemas.patterns import RISKY_PATTERNS

WEAK = "weak_vacillation"


@pytest.fixture(scope="module")
def lessons() -> list[Lesson]:
    examples = from_labelled(labelled.load("dev")[:80])
    documents = read([example.trace for example in examples], SentenceVectors().tokenizer)
    return [Lesson(e, d, targets(e, d)) for e, d in zip(examples, documents, strict=True)]


@pytest.fixture(scope="module")
def host(lessons: list[Lesson]) -> Lesson:
    plain = next(one for one in lessons if not any(one.example.labels.get(n) for n in RISKY_PATTERNS))
    labels = dict.fromkeys(RISKY_PATTERNS, False) | dict.fromkeys(CONCLUSIONS, True)
    return plain._replace(example=plain.example._replace(labels=labels, weight=0.6))


def fields(lesson: Lesson) -> list[str]:
    return [sentence.field for sentence in lesson.document.sentences]


def test_a_passage_brings_its_labels_and_its_evidence(lessons: list[Lesson], host: Lesson) -> None:
    passages = [p for one in lessons if (p := risky_passage(one, WEAK))]
    assert passages
    for number, passage in enumerate(passages):
        mixed = spliced(host, passage, Random(number))
        assert {n for n in SPOKEN if mixed.example.labels[n]} == set(passage.shows)
        assert len(fields(mixed)) == len(fields(host)) + len(passage.numbers) == len(mixed.targets.shown)
        assert fields(mixed) == sorted(fields(mixed), key=["prompt", "reasoning", "answer"].index)
        assert mixed.targets.shown[:, SHOWN.index(WEAK)].sum() > 0


def test_a_passage_that_shows_nothing_changes_no_label(lessons: list[Lesson], host: Lesson) -> None:
    passages = [p for one in lessons if (p := mild_passage(one, set()))]
    assert passages
    mixed = spliced(host, shortened(passages[0], Random(0)), Random(0))
    assert mixed.example.labels == host.example.labels
    assert not mixed.targets.shown[:, [SHOWN.index(name) for name in SPOKEN]].any()


def test_another_answer_contradicts_or_does_not(lessons: list[Lesson], host: Lesson) -> None:
    other = next(one for one in lessons if one.example.labels.get(CONCLUSIONS[1]) is False)
    mixed = swapped(host, other, True)
    assert mixed.example.labels["inconsistency"] is True
    assert mixed.example.labels[CONCLUSIONS[1]] is False
    assert fields(mixed).count("answer") == fields(other).count("answer")
    assert fields(mixed).count("reasoning") == fields(host).count("reasoning")


def test_no_evidence_is_left_out(lessons: list[Lesson]) -> None:
    for number, lesson in enumerate(lessons):
        shorter = thinned(lesson, Random(number))
        assert shorter.targets.shown.sum() == lesson.targets.shown.sum()
        assert shorter.document.kept is None or len(shorter.document.kept) == len(fields(shorter))


def test_variations_are_the_same_for_the_same_seed(lessons: list[Lesson], host: Lesson) -> None:
    variations = Variations([*lessons, host])
    told = [[fields(variations.of(one, Random(3))) for one in [*lessons, host]] for _ in range(2)]
    assert told[0] == told[1] != [fields(one) for one in [*lessons, host]]


def test_what_the_answer_does_is_seen_where_nobody_wrote_it_down(lessons: list[Lesson]) -> None:
    item: Labelled = next(
        i for i in labelled.load("dev") if i.labels["answer_refusal"] and i.trace.kind == "harmful"
    )
    bare = item._replace(labels={name: item.labels[name] for name in RISKY_PATTERNS})
    (example,) = from_labelled([bare])
    assert example.labels[CONCLUSIONS[1]] is not False
