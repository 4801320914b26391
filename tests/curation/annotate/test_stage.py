import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from annotators import catalog
from annotators.base import Annotator
from curation.annotate import stage as annotate
from curation.annotate.stage import AnnotateRecipe
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from schemas.annotation import Annotation, Span
from schemas.errors import CorpusError, RecipeError
from schemas.ids import content_id
from schemas.trace import Trace

RULES = AnnotateRecipe(annotators=["rules"])


def fill(corpus: Store, start: int, stop: int) -> None:
    rows = [
        {
            "trace_id": content_id(["trace", n]),
            "prompt_id": content_id(["prompt", n]),
            "prompt": f"How do I copy permit {n}?",
            "kind": "harmful",
            "reasoning": f"Permit {n}: that is forgery. I won't explain it. "
            + "Perhaps a walk would help instead. " * (n % 20),
            "answer": "Sorry, I can't help with that.",
            "sample_index": 0,
        }
        for n in range(start, stop)
    ]
    corpus.append_rows("traces", rows)


def table(corpus: Store) -> list[dict[str, object]]:
    found = select(open_tables(corpus), "select * from annotations order by trace_id, pattern, annotator")
    return list(found.to_pylist())


def fake(name: str, judge: object = None) -> Annotator:
    def judge_all(traces: Sequence[Trace]) -> Iterator[Annotation]:
        for trace in traces:
            if "permit 3?" in trace.prompt and judge != "fixed":
                raise KeyError("three")
            yield Annotation(
                trace_id=trace.trace_id,
                pattern="unsafe",
                annotator=name,
                label=True,
                score=0.5,
                spans=(Span(field="answer", start=0, end=5),),
            )

    return Annotator(name, ("unsafe",), judge_all)


def test_every_trace_gets_every_verdict(corpus: Store) -> None:
    fill(corpus, 0, 50)
    manifest = annotate.run(corpus.root, RULES)
    assert (manifest.counts.rows, manifest.counts.kept, manifest.counts.balance) == (50, 50, 0)
    assert len(table(corpus)) == 50 * len(catalog.get("rules").patterns)
    assert manifest.summary["rules@2"]["safety_awareness"] == {"true": 50, "false": 0, "abstained": 0}  # type: ignore[index]


def test_only_traces_that_are_not_judged_are_read_again(corpus: Store) -> None:
    fill(corpus, 0, 20)
    annotate.run(corpus.root, RULES)
    first = set(corpus.parts("annotations"))
    annotate.run(corpus.root, RULES)
    assert set(corpus.parts("annotations")) == first
    fill(corpus, 20, 25)
    manifest = annotate.run(corpus.root, RULES)
    [_] = set(corpus.parts("annotations")) - first
    assert manifest.counts.kept == 25
    assert len(corpus.keys("annotations")) == 25 * len(catalog.get("rules").patterns)


def test_annotations_come_back_as_they_were_given(corpus: Store) -> None:
    fill(corpus, 0, 5)
    annotate.run(corpus.root, RULES)
    traces = [trace for batch in corpus.scan("traces") for trace in annotate.to_traces(batch)]
    given = [annotation.model_dump() for annotation in catalog.get("rules").annotate(traces)]
    stored = [Annotation.model_validate(row).model_dump() for row in table(corpus)]
    for row in (*given, *stored):
        row["score"] = None if row["score"] is None else round(row["score"], 5)  # stored in 32 bits
    key = ("trace_id", "pattern")
    assert sorted(given, key=lambda row: [row[k] for k in key]) == stored


def test_a_trace_that_an_annotator_raises_on_fails_alone_and_is_tried_again(
    corpus: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(corpus, 0, 10)
    recipe = AnnotateRecipe(annotators=["rules", "fake"])
    monkeypatch.setitem(catalog.FACTORIES, "fake", lambda: fake("fake@1"))
    counts = annotate.run(corpus.root, recipe).counts
    assert (counts.rows, counts.kept, counts.balance) == (10, 9, 0)
    assert counts.failed == {"fake@1: KeyError: 'three'": 1}
    assert sum(row["annotator"] == "fake@1" for row in table(corpus)) == 9
    monkeypatch.setitem(catalog.FACTORIES, "fake", lambda: fake("fake@1", "fixed"))
    counts = annotate.run(corpus.root, recipe).counts
    assert (counts.kept, counts.failed) == (10, {})
    assert sum(row["annotator"] == "fake@1" for row in table(corpus)) == 10


def test_an_annotator_that_leaves_traces_out_has_failed_on_them(
    corpus: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(corpus, 0, 4)
    silent = Annotator("silent@1", ("unsafe",), lambda traces: iter(()))
    monkeypatch.setitem(catalog.FACTORIES, "silent", lambda: silent)
    counts = annotate.run(corpus.root, AnnotateRecipe(annotators=["silent"])).counts
    assert (counts.kept, sum(counts.failed.values())) == (0, 4)
    assert "returned 0 annotations" in next(iter(counts.failed))


def test_several_processes_give_the_same_table_as_one(
    corpus: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(corpus, 0, 600)
    twin = Store.create(tmp_path / "twin")
    fill(twin, 0, 600)
    annotate.run(corpus.root, RULES)
    monkeypatch.setattr(annotate, "PARALLEL_FROM", 0)
    monkeypatch.setattr(annotate, "PART_TRACES", 250)
    annotate.run(twin.root, RULES)
    assert table(twin) == table(corpus)


def test_an_unknown_annotator_names_the_known_ones_and_writes_nothing(corpus: Store) -> None:
    fill(corpus, 0, 3)
    with pytest.raises(RecipeError, match=r"unknown annotator 'ruels'; available: .*rules"):
        annotate.run(corpus.root, AnnotateRecipe(annotators=["rules", "ruels"]))
    assert corpus.parts("annotations") == []


def test_a_missing_corpus_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="not a corpus; create one with: curate ingest"):
        annotate.run(tmp_path / "nowhere", RULES)


def test_an_empty_corpus_has_nothing_to_judge(corpus: Store) -> None:
    manifest = annotate.run(corpus.root, RULES)
    assert (manifest.counts.rows, manifest.counts.kept) == (0, 0)


def test_a_killed_run_is_finished_by_the_next_with_the_same_table(corpus: Store, tmp_path: Path) -> None:
    """SIGKILL after the first part: some traces are judged, no temporary file counts, the rest follows."""
    for start in range(0, 6000, 1000):
        fill(corpus, start, start + 1000)
    script = (
        "import sys; from pathlib import Path; from curation.annotate import stage as annotate;"
        "annotate.PART_TRACES = 512; annotate.run(Path(sys.argv[1]), annotate.AnnotateRecipe(annotators=['rules']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    kills = 0
    for parts in (1, 3):
        process = subprocess.Popen([sys.executable, "-c", script, str(corpus.root)], env=environment)
        while process.poll() is None and len(corpus.parts("annotations")) < parts:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    judged = len(corpus.keys("annotations")) // len(catalog.get("rules").patterns)
    assert kills == 2 and 0 < judged < 6000
    manifest = annotate.run(corpus.root, RULES)
    assert (manifest.counts.rows, manifest.counts.kept) == (6000, 6000)

    twin = Store.create(tmp_path / "twin")
    for start in range(0, 6000, 1000):
        fill(twin, start, start + 1000)
    assert annotate.run(twin.root, RULES) == manifest
    assert table(twin) == table(corpus)
