"""Adapting the embedding annotator to a corpus's own labels."""

from pathlib import Path

import pytest

from annotators import catalog
from annotators.benchmark import labelled
from curation.annotate import learn
from curation.corpus.store import Store
from schemas.errors import RecipeError
from schemas.patterns import RISKY_PATTERNS

pytest.importorskip("sentence_transformers")


@pytest.fixture
def labelled_corpus(corpus: Store) -> Store:
    """60 traces of other hands, labelled by a judge, some of them by a person who differs."""
    items = labelled.load("dev")[:60]
    rows = [item.trace.model_dump() for item in items]
    corpus.append_rows("traces", rows)
    said = [
        {"trace_id": item.trace.trace_id, "pattern": name, "annotator": who, "label": item.labels[name] != flip}
        for item in items
        for name in RISKY_PATTERNS
        for who, flip in [("judge:m@2.0", False), *([("human:ann", True)] if item is items[0] else [])]
    ]  # fmt: skip
    corpus.append_rows("annotations", said)
    return corpus


def test_the_first_labeller_counts_and_few_labels_teach_nothing(labelled_corpus: Store) -> None:
    both = learn.gather(labelled_corpus, ["people", "judge:m"])
    judge = learn.gather(labelled_corpus, ["judge:m", "people"])
    assert len(both) == len(judge) == 60
    assert sum(a.labels != b.labels for a, b in zip(both, judge, strict=True)) == 1
    with pytest.raises(RecipeError, match="1 traces are labelled by people, 50 are needed"):
        learn.gather(labelled_corpus, ["people"])


def test_what_is_learned_is_another_annotator_and_never_worse_on_held_out_labels(
    labelled_corpus: Store, tmp_path: Path
) -> None:
    report = learn.learn(labelled_corpus.root, ["judge:m"], tmp_path / "own")
    annotator = catalog.get(f"embedding:{tmp_path / 'own'}")
    assert annotator.name == report["annotator"] != catalog.get("embedding").name
    assert len(report["patterns"]) == 2 * len(RISKY_PATTERNS)
    for one in report["patterns"]:
        assert not one["accepted"] or one["adapted"]["f1"] > (one["shipped"]["f1"] or 0)
        assert [point["labels"] for point in one["curve"]] == [15, 30, 45, 60]
    traces = [example.trace for example in learn.gather(labelled_corpus, ["judge:m"])][:2]
    assert len(list(annotator.annotate(traces))) == 2 * len(RISKY_PATTERNS)
    learn.show(report)
