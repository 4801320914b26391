"""A cascade over a corpus: a cheap annotator with scores, and a judge that is asked where it is unsure."""

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from annotators.base import Annotator
from annotators.cascade import Band
from curation.annotate import asking, cascade, unjudged
from curation.annotate import stage as annotate
from curation.annotate.cascade import CascadeSettings, JudgedScore, fit_band
from curation.annotate.stage import AnnotateRecipe
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.engines.openai import ServerSettings
from curation.engines.settings import EngineSettings
from schemas.annotation import Annotation
from schemas.errors import EngineError
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace
from tests.annotators.recorded import make_trace
from tests.curation.models import Scripted

ENGINE = EngineSettings(model="m", server=ServerSettings(base_url="http://localhost:1/v1"))
SETTINGS = CascadeSettings(first=f"{__name__}:cheap", sample=100, audit=0.1)
RECIPE = AnnotateRecipe(annotators=["cascade:tutor"], engine=ENGINE, cascade=SETTINGS)
NAME = "cascade:tutor+cheap@1"
PATTERN = "weak_vacillation"


def cheap() -> Annotator:
    """Reads the score of one pattern out of the reasoning; the others are plainly absent."""

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation]:
        for trace in traces:
            for pattern in RISKY_PATTERNS:
                score = float(trace.reasoning.split()[-1]) if pattern == PATTERN else 0.0
                yield Annotation(
                    trace_id=trace.trace_id,
                    pattern=pattern,
                    annotator="cheap@1",
                    label=score >= 0.5,
                    score=score,
                )

    return Annotator("cheap@1", RISKY_PATTERNS, annotate)


@pytest.fixture
def traces(corpus: Store) -> Store:
    """600 traces on which the cheap score is right except in the middle."""
    dice = random.Random(4)
    rows = []
    for n in range(600):
        score = dice.random()
        truth = score > 0.6 or (score > 0.4 and dice.random() < 0.5)
        voice = "the captain" if truth else "a clerk"
        rows.append(make_trace(f"Question {n}?", f"That is wrong. I speak as {voice} with {score:.4f}"))
    corpus.append_rows("traces", [row.model_dump() for row in rows])
    return corpus


def reply(messages: Any) -> str:
    present = "the captain" in messages[-1]["content"]
    here = {"analysis": "", "evidence": ["I speak as the captain"], "label": "present"}
    absent = {"analysis": "", "evidence": [], "label": "absent"}
    return json.dumps({name: here if name == PATTERN and present else absent for name in RISKY_PATTERNS})


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(say: Any = reply) -> Scripted:
        engine = Scripted(say)
        monkeypatch.setattr(asking, "open_engine", lambda settings: engine)
        return engine

    return install


def labels(corpus: Store, annotator: str = NAME) -> dict[str, bool | None]:
    query = (
        "select prompt || reasoning as reasoning, label from annotations join traces using (trace_id) "
        f"where annotator = '{annotator}' and pattern = '{PATTERN}'"
    )
    return {row["reasoning"]: row["label"] for row in select(connect(corpus), query).to_pylist()}


def test_it_saves_most_calls_and_agrees_with_judging_everything(traces: Store, says: Any) -> None:
    engine = says()
    manifest = annotate.run(traces.root, RECIPE)
    found: Any = manifest.summary["cascades"]
    told = found[NAME]
    assert manifest.counts.kept == 600 and told["traces"] == 600
    assert told["saved"] > 0.5 and len(engine.asked) == 100 + told["asked"]
    judged = labels(traces)
    right = sum(label == ("the captain" in reasoning) for reasoning, label in judged.items())
    assert len(judged) == 600 and right / 600 > 0.95
    assert told["audited"] > 10 and told["agreement"][PATTERN] > 0.9


def test_a_run_that_was_stopped_goes_on_with_the_bands_it_began_with(
    traces: Store, says: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unjudged, "BATCH_TRACES", 50)
    monkeypatch.setattr("curation.engines.streaming.BATCH", 5)
    engine = says(
        lambda messages: (
            EngineError("no usable answer for 120 s") if len(engine.asked) > 130 else reply(messages)
        )
    )
    assert annotate.run(traces.root, RECIPE).counts.failed
    bands = cascade.fitted(traces, "cascade:tutor+cheap", SETTINGS)
    assert bands is not None and len(labels(traces)) < 600
    again = says()
    assert not annotate.run(traces.root, RECIPE).counts.failed and len(labels(traces)) == 600
    assert cascade.fitted(traces, "cascade:tutor+cheap", SETTINGS) == bands
    before = len(again.asked)
    annotate.run(traces.root, RECIPE)
    assert len(again.asked) == before


def test_nothing_is_fitted_on_a_sample_that_could_not_be_judged(traces: Store, says: Any) -> None:
    says(lambda messages: "I would rather not say.")
    assert sum(annotate.run(traces.root, RECIPE).counts.failed.values()) == 100
    assert cascade.fitted(traces, "cascade:tutor+cheap", SETTINGS) is None and labels(traces) == {}


def test_its_cost_is_estimated_before_and_falls_once_it_is_fitted(traces: Store, says: Any) -> None:
    engine = says()
    [everything] = annotate.estimates(traces.root, RECIPE).values()
    assert everything["questions"] == 600 and engine.asked == []
    annotate.run(traces.root, RECIPE)
    extra = make_trace("One more?", "That is wrong. I speak as a clerk with 0.0100")
    traces.append_rows("traces", [extra.model_dump()])
    [one_more] = annotate.estimates(traces.root, RECIPE).values()
    assert one_more["traces"] == 1 and one_more["questions"] <= 1


def test_other_settings_are_another_version(traces: Store, says: Any) -> None:
    says()
    annotate.run(traces.root, RECIPE)
    strict = RECIPE.model_copy(update={"cascade": SETTINGS.model_copy(update={"recall": 1.0})})
    annotate.run(traces.root, strict)
    assert len(labels(traces, "cascade:tutor+cheap@2")) == 600


def test_bands_keep_the_wanted_recall_and_precision_on_their_sample() -> None:
    dice = random.Random(1)
    sample = [JudgedScore(s, dice.random() < s) for s in (dice.random() for _ in range(2000))]
    band = fit_band(sample, 0.95, 0.9)
    assert band.high is not None and band.low < band.high
    positives = [one for one in sample if one.truth]
    assert sum(one.score >= band.low for one in positives) >= 0.95 * len(positives)
    above = [one.truth for one in sample if one.score >= band.high]
    assert sum(above) >= 0.9 * len(above)


def test_without_positives_or_precision_the_judge_decides() -> None:
    rare = fit_band([JudgedScore(0.2, False)] * 50, 0.95, 0.95)
    assert (rare.decides(0.2), rare.decides(0.21)) == (False, None)
    assert fit_band([], 0.95, 0.95).decides(0.0) is None
    mixed = [JudgedScore(n / 50, n % 2 == 0) for n in range(50)]
    assert fit_band(mixed, 0.95, 0.95).high is None
    assert Band(0.3, None).decides(0.99) is None and Band(0.3, None).decides(0.1) is False
