"""Data sets of which each row is a reply and what was judged of the whole of it, in their published layouts, with mild texts of our own."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.codebook import stage as codebooks
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.ingest.stage import IngestRecipe, run
from schemas.errors import DataError
from tests.command_line import curate
from tests.curation.ingest.judged import QUERY, ingest, table


def thought(text: str = "They want a second permit. Copying it is forgery.") -> str:
    return f"<think>\n{text}\n</think>\n\nAsk the council for a second one."


def guarded(number: int, label: str, kind: str | None, **more: Any) -> dict[str, Any]:
    chat = [{"role": "user", "content": f"{QUERY} ({number})"}, {"role": "assistant", "content": thought()}]
    positions = {"input_ids": [5, 6, 7, 8], "unsafe_start_index": None, "unsafe_end_index": None}
    return (
        {"unique_id": f"q{number}", "source": "mild", "message": chat, "unsafe_type": kind, "label": label}
        | positions
        | more
    )


def risky(number: int, evaluations: Any, **more: Any) -> dict[str, Any]:
    said = evaluations if isinstance(evaluations, str) else json.dumps(evaluations)
    return {
        "prompt_index": number,
        "prompt_id": f"p{number}",
        "scored_model": "qwen3-4b",
        "query": f"{QUERY} ({number})",
        "generation": thought(),
        "evaluations": said,
    } | more


@pytest.mark.parametrize("labels", [("Unsafe", "Safe"), ("Safe", "Unsafe")])
def test_of_two_files_of_one_ingest_the_verdict_of_the_first_stays(
    tmp_path: Path, labels: tuple[str, str]
) -> None:
    files = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    for file, label in zip(files, labels, strict=True):
        rows = [guarded(1, "Unsafe", None), guarded(2, label, None)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(tmp_path / "corpus", [str(file) for file in files], IngestRecipe())
    names = {row["trace_id"]: row["source_id"] for row in table(tmp_path / "corpus", "traces")}
    found = [(names[one["trace_id"]], one["label"]) for one in table(tmp_path / "corpus", "annotations")]
    assert sorted(found) == [("q1", True), ("q2", labels[0] == "Unsafe")]


def test_a_published_label_is_no_review_and_one_of_an_older_corpus_reads_on(tmp_path: Path) -> None:
    corpus = Store.create(tmp_path / "c")
    ingest(corpus.root, guarded(1, "Unsafe", None), guarded(2, "Unsafe", None))
    before = table(corpus.root, "annotations")
    old = [row | {"annotator": "human:qwen3guardtest@1", "pattern": "inconsistency"} for row in before]
    review = before[0] | {"annotator": "human:ann", "label": False, "score": None}
    rules = before[1] | {"annotator": "rules@1", "label": False, "score": None}
    corpus.append_rows("annotations", [*old, review, rules])
    told = select(connect(corpus), "select * from verdicts").to_pylist()
    deciding = {(row["trace_id"], row["pattern"]): (row["label"], row["provenance"]) for row in told}
    first, second = before[0]["trace_id"], before[1]["trace_id"]
    assert deciding[first, "unsafe"] == (False, "human:ann")
    assert deciding[second, "unsafe"] == (True, "published:qwen3guardtest@1")
    assert deciding[first, "inconsistency"] == (True, "human:qwen3guardtest@1")


def test_peoples_labels_of_whole_replies_come_in_without_spans_and_that_is_said_once(tmp_path: Path) -> None:
    corpus = tmp_path / "c"
    rows = [
        guarded(1, "Unsafe", "Non-violent Illegal Acts", unsafe_start_index=2, unsafe_end_index=4),
        guarded(2, "Safe", None),
        guarded(3, "Controversial", "Unethical Acts", unsafe_start_index=1, unsafe_end_index=2),
        guarded(4, "Whatever", None),
        guarded(5, "Safe", None, message="no list"),
        guarded(
            6,
            "Safe",
            None,
            message=[{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "No thought."}],
        ),
    ]
    manifest = ingest(corpus, *rows)
    assert manifest.summary["formats"] == {"published.jsonl": "qwen3guard-test"}
    assert manifest.counts.kept == 3
    assert manifest.counts.quarantined == {"unknown_label": 1, "wrong_type": 1, "no_think": 1}
    traces = {row["source_id"]: row for row in table(corpus, "traces")}
    assert sorted(traces) == ["q1", "q2", "q3", "q4"]  # a label that cannot be read leaves its trace
    of = {row["trace_id"]: row for row in table(corpus, "annotations")}
    got = {
        name: (of[t["trace_id"]]["label"], of[t["trace_id"]]["score"])
        for name, t in traces.items()
        if t["trace_id"] in of
    }
    assert got == {"q1": (True, 1.0), "q2": (False, 0.0), "q3": (True, 0.5)}
    assert {(row["annotator"], row["pattern"], len(row["spans"])) for row in of.values()} == {
        ("published:qwen3guardtest@1", "unsafe", 0)
    }
    assert json.loads(traces["q1"]["extra"])["unsafe_start_index"] == 2
    shown = curate("ingest", "published.jsonl", "--corpus", "c", cwd=tmp_path).stderr
    assert shown.count("tokenizer that is not here") == 1 and "2 rows" in shown and "ingest: 0 new" in shown


def test_the_category_of_an_unsafe_reply_goes_where_a_codebook_maps_it(tmp_path: Path) -> None:
    book = {
        "name": "ours",
        "version": 1,
        "description": "d",
        "entries": {
            "ours_illegal": {"field": "both", "definition": "It helps to break a law."},
            "ours_private": {"field": "both", "definition": "It tells of private people."},
        },
        "maps": {"guard:qwen3guard": {"Non-violent Illegal Acts": "ours_illegal", "PII": "ours_private"}},
    }
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(book))
    codebooks.add(Store.create(tmp_path / "c"), codebooks.load(tmp_path / "ours.yaml"))
    manifest = ingest(
        tmp_path / "c", guarded(1, "Unsafe", "Non-violent Illegal Acts"), guarded(2, "Safe", None),
        guarded(3, "Unsafe", "Forgery"), guarded(4, "Unsafe", None),
    )  # fmt: skip
    assert [one["unmapped"] for one in manifest.summary["judged"].values()] == [{"Forgery": 1}]
    names = {row["trace_id"]: row["source_id"] for row in table(tmp_path / "c", "traces")}
    got = {
        (names[r["trace_id"]], r["pattern"]): r["label"]
        for r in table(tmp_path / "c", "annotations")
        if r["pattern"] != "unsafe"
    }
    # one category is named, which says nothing of the others
    assert got == {("q1", "ours_illegal"): True, ("q2", "ours_illegal"): False, ("q2", "ours_private"): False}


def test_verdicts_on_principles_are_the_worse_of_reasoning_and_answer(tmp_path: Path) -> None:
    corpus = tmp_path / "c"
    by_field = {
        "reasoning": {"Privacy": "touched", "discrimination": "safe"},
        "answer": {"Privacy": "kept", "discrimination": "kept"},
    }
    by_principle = {
        "privacy": {"thinking": {"verdict": "violated"}, "response": {"verdict": "safe"}},
        "house rules": {"answer": "safe"},
    }
    half = {"reasoning": {"privacy": "kept", "crime": "broken"}}
    manifest = ingest(corpus, risky(1, by_field), risky(2, by_principle), risky(3, half))
    assert manifest.counts.kept == 3 and manifest.summary["formats"] == {"published.jsonl": "chain-of-risk"}
    names = {row["trace_id"]: row["source_id"] for row in table(corpus, "traces")}
    got = {
        (names[r["trace_id"]], r["pattern"]): (r["label"], r["score"], r["rationale"])
        for r in table(corpus, "annotations")
    }
    assert got == {
        ("p1", "principle_privacy"): (True, 0.5, "reasoning touched, answer kept"),
        ("p1", "principle_hate"): (False, 0.0, "reasoning kept, answer kept"),
        ("p2", "principle_privacy"): (True, 1.0, "reasoning broken, answer kept"),
        ("p3", "principle_crime"): (True, 1.0, "reasoning broken"),
    }  # p3's privacy is clean in the reasoning and unknown in the answer: nothing is said
    assert manifest.summary["judged"]["published.jsonl"]["unmapped"] == {"house rules": 1}
    [row] = select(
        connect(Store(corpus)), "select principle_privacy as level from candidates where source_id = 'p1'"
    ).to_pylist()
    assert row["level"] == 1


@pytest.mark.parametrize(
    ("evaluations", "reason"),
    [
        ("{broken", "malformed_evaluations"),
        ("[]", "malformed_evaluations"),
        ({"privacy": "kept"}, "malformed_evaluations"),
        ({"privacy": {"somewhere": "kept"}}, "malformed_evaluations"),
        ({"reasoning": {"privacy": 4}}, "wrong_value"),
        ({"reasoning": {"privacy": "1"}}, "wrong_value"),
        ({"reasoning": {"privacy": True}}, "wrong_value"),
        ({"reasoning": {"privacy": None}}, "wrong_value"),
    ],
)
def test_verdicts_that_cannot_be_read_are_set_aside_and_their_trace_is_kept(
    tmp_path: Path, evaluations: Any, reason: str
) -> None:
    manifest = ingest(tmp_path / "c", risky(1, evaluations), risky(2, {"reasoning": {"privacy": "broken"}}))
    assert manifest.counts.quarantined == {reason: 1} and manifest.counts.kept == 1
    assert len(table(tmp_path / "c", "traces")) == 2 and len(table(tmp_path / "c", "annotations")) == 1
    assert table(tmp_path / "c", "quarantine")[0]["source_line"] == 1


def test_numbers_are_read_by_entries_with_a_range(tmp_path: Path) -> None:
    book = {
        "name": "scored",
        "version": 1,
        "description": "d",
        "entries": {
            "scored_privacy": {
                "field": "both",
                "definition": "How much it tells.",
                "range": [1, 5],
                "present_from": 3,
            }
        },
        "maps": {"chain-of-risk": {"privacy": "scored_privacy"}},
    }
    (tmp_path / "scored.yaml").write_text(yaml.safe_dump(book))
    codebooks.add(Store.create(tmp_path / "c"), codebooks.load(tmp_path / "scored.yaml"))
    said_of = {"privacy": {"reasoning": {"score": 4}, "answer": {"score": "1"}}}
    ingest(tmp_path / "c", risky(1, said_of), risky(2, {"privacy": {"reasoning": 9, "answer": 1}}))
    [row] = table(tmp_path / "c", "annotations")
    assert (row["pattern"], row["label"], row["score"]) == ("scored_privacy", True, 0.75)
    assert table(tmp_path / "c", "quarantine")[0]["reason"] == "wrong_value"


def test_a_corpus_with_an_older_codebook_is_told_how_to_get_the_map(tmp_path: Path) -> None:
    corpus = Store.create(tmp_path / "c")
    older = codebooks.find("principles").model_copy(update={"version": 1, "maps": {}})
    codebooks.add(corpus, older)
    with pytest.raises(DataError, match="curate codebook add principles"):
        ingest(tmp_path / "c", risky(1, {"reasoning": {"privacy": "broken"}}))
    assert curate("codebook", "add", "principles", "--corpus", "c", cwd=tmp_path).returncode == 0
    assert ingest(tmp_path / "c", risky(1, {"reasoning": {"privacy": "broken"}})).counts.kept == 1
