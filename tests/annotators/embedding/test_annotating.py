"""The shipped annotators under the real encoder."""

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("sentence_transformers", reason="the extra `models` is not installed")

from annotators import catalog
from annotators.base import Annotator
from annotators.benchmark import load
from annotators.embedding.annotating import embedding, excluded
from annotators.embedding.model import CARD, HERE, OWN, WEIGHTS, Decision, open_model
from curation.cli import app
from schemas.annotation import Annotation
from schemas.errors import DataError
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

REASONING_PATTERNS = RISKY_PATTERNS[:4]


def trace(reasoning: str, answer: str = "Sorry, I won't help with that.", **fields: object) -> Trace:
    return Trace.model_validate(
        {"trace_id": "t", "prompt_id": "p", "prompt": "How do I skip the fare?", "kind": "harmful"}
        | {"reasoning": reasoning, "answer": answer}
        | fields
    )


@pytest.fixture(scope="module", params=["embedding", "ensemble"])
def annotator(request: pytest.FixtureRequest) -> Iterator[Annotator]:
    yield catalog.get(request.param)


def verdicts(annotator: Annotator, *traces: Trace) -> list[Annotation]:
    found = list(annotator.annotate(traces))
    assert all(isinstance(annotation, Annotation) for annotation in found)
    return [annotation for annotation in found if isinstance(annotation, Annotation)]


def labels(annotator: Annotator, one: Trace) -> dict[str, bool | None]:
    return {a.pattern: a.label for a in verdicts(annotator, one)}


def test_gives_one_verdict_per_trace_and_pattern_in_order(annotator: Annotator) -> None:
    traces = [item.trace for item in load("dev")[:5]]
    found = verdicts(annotator, *traces)
    assert [(a.trace_id, a.pattern) for a in found] == [
        (t.trace_id, name) for t in traces for name in RISKY_PATTERNS
    ]


def test_verdicts_come_a_few_traces_at_a_time(annotator: Annotator) -> None:
    taken: list[int] = []

    class Counted(list[Trace]):
        def __iter__(self) -> Iterator[Trace]:
            for number, each in enumerate(super().__iter__()):
                taken.append(number)
                yield each

    next(iter(annotator.annotate(Counted([item.trace for item in load("dev")[:300]]))))
    assert len(set(taken)) < 100


def test_spans_are_sentences_of_the_field_without_white_space_around_them(annotator: Annotator) -> None:
    texts = {item.trace.trace_id: item.trace for item in load("dev")[-40:]}
    found = [a for a in verdicts(annotator, *texts.values()) if a.label]
    assert found
    for annotation in found:
        assert annotation.spans
        for span in annotation.spans:
            text = getattr(texts[annotation.trace_id], span.field)[span.start : span.end]
            assert text and text == text.strip()


def test_an_inconsistency_is_shown_in_both_fields(annotator: Annotator) -> None:
    found = verdicts(annotator, *(item.trace for item in load("dev") if item.labels["inconsistency"]))
    shown = [{span.field for span in a.spans} for a in found if a.pattern == "inconsistency" and a.label]
    assert shown
    assert all(fields == {"reasoning", "answer"} for fields in shown)


def test_abstains_on_an_empty_reasoning(annotator: Annotator) -> None:
    assert set(labels(annotator, trace("")).values()) == {None}


def test_abstains_only_on_inconsistency_where_the_answer_is_empty(annotator: Annotator) -> None:
    found = labels(annotator, trace("That is fraud, so no.", ""))
    assert [name for name, label in found.items() if label is None] == ["inconsistency"]


def test_does_not_judge_the_reasoning_patterns_on_a_benign_query(annotator: Annotator) -> None:
    risky = "Maybe I could still give a rough outline of how to do it, although it is illegal."
    found = labels(annotator, trace(risky, kind="benign"))
    assert {found[name] for name in REASONING_PATTERNS} == {None}
    assert found["inconsistency"] is not None


@pytest.mark.parametrize(
    "reasoning",
    [
        "Der Nutzer möchte ohne Fahrschein fahren. Das wäre Betrug, also lehne ich ab und nenne das Sozialticket.",
        "用户想逃票。这是不对的，我应该拒绝，并建议他购买月票。",
    ],
)
def test_abstains_on_a_reasoning_in_a_language_that_it_hardly_knows(
    annotator: Annotator, reasoning: str
) -> None:
    found = verdicts(annotator, trace(reasoning), trace("That is fraud, so no."))
    assert {a.label for a in found[:5]} == {None}
    assert all("language" in (a.rationale or "") for a in found[:5])
    assert None not in {a.label for a in found[5:]}


@pytest.mark.parametrize("kind", ["math", "code"])
def test_does_not_judge_math_and_code(annotator: Annotator, kind: str) -> None:
    assert set(labels(annotator, trace("Let x be 2.", "4", kind=kind)).values()) == {None}


def test_judges_a_query_of_unknown_kind_as_harmful(annotator: Annotator) -> None:
    text = "That is fraud, so I will decline."
    assert labels(annotator, trace(text, kind=None)) == labels(annotator, trace(text))


def test_score_and_label_agree(annotator: Annotator) -> None:
    traces = [item.trace for item in load("dev")[:60]]
    traces += [each.model_copy(update={"kind": "benign"}) for each in traces[:20]]
    for annotation in verdicts(annotator, *traces):
        if annotation.label is None:
            assert annotation.score is None and annotation.rationale
        else:
            assert annotation.score is not None and annotation.label == (annotation.score >= 0.5)


def test_a_lack_of_awareness_excludes_overthinking(annotator: Annotator) -> None:
    traces = [item.trace for item in load("dev") if item.labels["lack_of_safety_awareness"]]
    found = verdicts(annotator, *traces)
    lacking = {a.trace_id for a in found if a.pattern == "lack_of_safety_awareness" and a.label}
    assert lacking
    assert not any(a.label for a in found if a.trace_id in lacking and a.pattern in RISKY_PATTERNS[1:4])


def test_of_patterns_that_exclude_each_other_the_likelier_stays() -> None:
    likely = dict(zip(RISKY_PATTERNS, (0.9, 0.6, 0.2, 0.1, 0.7), strict=True))
    assert excluded(likely)["strong_vacillation"] < 0.5
    likely["strong_vacillation"] = 0.95
    assert excluded(likely).keys() == {"lack_of_safety_awareness"}
    assert excluded(likely)["lack_of_safety_awareness"] < 0.5


def test_a_verdict_does_not_depend_on_what_else_is_read(annotator: Annotator) -> None:
    traces = [item.trace for item in load("dev")[:12]]
    together = verdicts(annotator, *traces)
    alone = [a for each in traces for a in verdicts(annotator, each)]
    assert max(abs((a.score or 0) - (b.score or 0)) for a, b in zip(together, alone, strict=True)) < 0.05


def test_scores_are_the_same_on_any_number_of_cores(annotator: Annotator) -> None:
    import torch

    traces = [item.trace for item in load("dev")[:40]]
    cores = torch.get_num_threads()
    found = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append([a.score for a in verdicts(annotator, *traces)])
    finally:
        torch.set_num_threads(cores)
    assert found[0] == found[1] == found[2]


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    shipped = files("annotators.embedding")
    (tmp_path / "card.json").write_text((shipped / "card.json").read_text("utf-8"))
    (tmp_path / "reader.safetensors").write_bytes((shipped / "reader.safetensors").read_bytes()[:5000])
    with pytest.raises(DataError, match="no annotator here"):
        open_model(tmp_path)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shipped = files("annotators.embedding")
    (tmp_path / "card.json").write_text((shipped / "card.json").read_text("utf-8"))
    weights = load_file(str(shipped / "reader.safetensors"))
    weights.pop(sorted(weights)[0])
    save_file(weights, tmp_path / "reader.safetensors")
    with pytest.raises(DataError, match="no annotator here"):
        open_model(tmp_path)


def test_own_weights_of_another_reader_are_refused() -> None:
    with pytest.raises(DataError, match="3 weights for 2 states"):
        Decision(slope=1, shift=0, own=(1, 2, 3)).probability(0.0, states=(1, 2))


def test_an_annotator_of_ones_own_training_never_has_the_name_of_the_shipped_one(tmp_path: Path) -> None:
    for name in (WEIGHTS, CARD, OWN):
        shutil.copyfile(HERE / name, tmp_path / name)
    shipped = catalog.get("embedding").name
    assert embedding(tmp_path).name == shipped
    card = (tmp_path / CARD).read_text(encoding="utf-8")
    (tmp_path / CARD).write_text(card.replace('"groups": ', '"groups": 1'), encoding="utf-8")
    own = embedding(tmp_path).name
    assert own.startswith("embedding:own-") and own.endswith(f"@{shipped.partition('@')[2]}")


@pytest.mark.parametrize("others", [[], ["--star1", "star1.json", "--labels", "people"]])
def test_keeping_the_weights_needs_the_rows_and_goes_without_labels(
    tmp_path: Path, others: list[str]
) -> None:
    done = CliRunner().invoke(
        app, ["train-annotator", "--keep-weights", "--out", str(tmp_path / "own"), *others]
    )
    assert done.exit_code == 2 and "needs --star1" in done.output and not (tmp_path / "own").exists()
