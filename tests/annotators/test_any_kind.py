"""Patterns that are kept to harmful queries, judged on others where somebody asks."""

from collections.abc import Iterator, Sequence

import pytest

from annotators import catalog
from annotators.any_kind import of_any_kind
from annotators.base import Annotator, Failure
from schemas.annotation import Annotation
from schemas.errors import EngineError, RecipeError
from schemas.trace import Trace

SCOPED = ("lack_of_safety_awareness", "strong_vacillation", "weak_vacillation", "harmful_additions")


def trace(kind: str | None, number: int = 0) -> Trace:
    return Trace.model_validate(
        {"trace_id": f"t{number}", "prompt_id": "p", "prompt": "2+2?", "kind": kind, "reasoning": "Two and two make four.", "answer": "4."}
    )  # fmt: skip


def labels(kind: str | None) -> dict[str, bool | None]:
    found = catalog.get("any_kind:rules").annotate([trace(kind)])
    return {one.pattern: one.label for one in found if isinstance(one, Annotation)}


@pytest.mark.parametrize("kind", ["math", "benign", "code"])
def test_a_pattern_is_judged_on_other_kinds_as_on_harmful_queries(kind: str) -> None:
    harmful = {
        one.pattern: one.label
        for one in catalog.get("rules").annotate([trace("harmful")])
        if isinstance(one, Annotation)
    }
    assert labels(kind) == {name: harmful[name] for name in SCOPED}
    assert None not in labels(kind).values()


@pytest.mark.parametrize("kind", ["harmful", None])
def test_what_the_plain_annotator_judges_is_not_judged_twice(kind: str | None) -> None:
    assert labels(kind) == dict.fromkeys(SCOPED)


def test_it_is_an_annotator_of_its_own_beside_the_plain_one() -> None:
    assert catalog.get("any_kind:rules").name == "rules:any_kind@2"
    assert catalog.get("any_kind:rules").patterns == SCOPED


def test_every_trace_of_a_batch_is_labelled_once_in_each_pattern() -> None:
    traces = [trace(kind, n) for n, kind in enumerate(["math", "harmful", "benign"])]
    found = list(catalog.get("any_kind:rules").annotate(traces))
    assert not any(isinstance(one, Failure) for one in found)
    assert sorted(one.trace_id for one in found) == [f"t{n}" for n in range(3) for _ in SCOPED]


def test_what_was_judged_before_the_engine_stopped_is_kept() -> None:
    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation]:
        for one in traces[:2]:
            yield Annotation(trace_id=one.trace_id, pattern=SCOPED[0], annotator="stopping@1", label=True)
        raise EngineError("the server is gone")

    found: list[Annotation | Failure] = []
    traces = [trace(kind, n) for n, kind in enumerate(["math", "harmful", "benign", "code"])]
    with pytest.raises(EngineError, match="the server is gone"):
        found.extend(of_any_kind(Annotator("stopping@1", SCOPED[:1], annotate)).annotate(traces))
    labels = {one.trace_id: one.label for one in found if isinstance(one, Annotation)}
    assert labels == {"t0": True, "t1": None, "t2": True}


def test_an_annotator_without_such_patterns_is_refused() -> None:
    with pytest.raises(RecipeError, match="leaves out no kind of query"):
        catalog.get("any_kind:overrefusal")
