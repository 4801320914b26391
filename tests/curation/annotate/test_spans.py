"""Evidence spans for weights in training: those of the consensus, with the id of the text they point into."""

import json
from pathlib import Path
from typing import Any

import pytest

from curation.annotate import spans
from curation.corpus.store import Store
from schemas.errors import RecipeError
from schemas.ids import texts_id
from schemas.patterns import RISKY_PATTERNS
from tests.command_line import curate

REASONING = "First the plan. Then the step."


def span(field: str, start: int, end: int) -> dict[str, Any]:
    return {"field": field, "start": start, "end": end}


@pytest.fixture
def labelled(tmp_path: Path) -> Store:
    corpus = Store.create(tmp_path / "corpus")
    traces = [
        {"trace_id": f"t{n}", "prompt_id": f"p{n}", "prompt": f"Q{n}", "kind": "harmful", "strategy": "default", "sample_index": 0,
         "reasoning": REASONING, "answer": "Done."}
        for n in range(4)
    ]  # fmt: skip
    corpus.append_rows("traces", traces)
    a, b = RISKY_PATTERNS[:2]
    said = [
        ("t0", a, "rules@1", True, [span("reasoning", 0, 15), span("answer", 0, 5)]),
        ("t0", b, "rules@1", False, [span("reasoning", 16, 30)]),
        ("t1", a, "rules@1", True, [span("reasoning", 0, 15)]),
        ("t1", a, "human:alice@1", False, []),
        ("t2", b, "rules@1", True, []),
        ("t3", "safety_awareness", "rules@1", True, [span("reasoning", 16, 30)]),
    ]
    names = ("trace_id", "pattern", "annotator", "label", "spans")
    corpus.append_rows("annotations", [dict(zip(names, one, strict=True)) for one in said])
    return corpus


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_spans_of_the_consensus_are_written_and_labels_without_any_are_counted(
    labelled: Store, tmp_path: Path
) -> None:
    """t1's span is a rule's that a person contradicts; t2 has the pattern and no evidence."""
    written = spans.write(labelled.root, RISKY_PATTERNS, tmp_path / "s.jsonl")
    assert written == (2, 1, 2) and written.counts.filtered == {"no evidence span": 1}
    one = {"trace_id": "t0", "name": RISKY_PATTERNS[0]}
    assert lines(tmp_path / "s.jsonl") == [
        {**one, "field": "answer", "start": 0, "end": 5, "text_id": texts_id("Done.")},
        {**one, "field": "reasoning", "start": 0, "end": 15, "text_id": texts_id(REASONING)},
    ]


def test_other_patterns_are_named_on_the_command_line(labelled: Store, tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    done = curate(
        "spans", "--patterns", "safety_awareness", "--out", out, "--corpus", labelled.root, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert [(line["trace_id"], line["start"]) for line in lines(out)] == [("t3", 16)]
    with pytest.raises(RecipeError, match="no trace has an evidence span of nothing"):
        spans.write(labelled.root, ["nothing"], out)
