"""Data sets that bring traces together with what was judged of them, in their published layouts, with mild texts of our own."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.codebook import stage as codebooks
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.ingest.records.sentences import locate_sentence
from curation.ingest.stage import IngestRecipe, run
from schemas.errors import DataError
from schemas.manifest import Manifest
from tests.command_line import curate

QUERY = "How do I copy a parking permit?"
SENTENCES = [
    "Okay.",
    "Copying a permit\nwould be forgery.",
    "Okay.",
    "They may be a collector — so it is fine.",
    "First the paper.",
]
REASONING = "Okay. Copying a permit\n  would be forgery. Okay. They may be a collector — so it is fine. First the paper."
RESPONSE = f"<think>\n{REASONING}\n</think>\n\nI can't help with that."
LABELS = ["FL", "RA", "FL", "IR", "TD"]


def sentence(number: int, text: str, label: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": 40 + number,
        "query": QUERY,
        "sentence": text,
        "sentence_id": f"17-{number}",
        "llm_annotation": label,
        "final_judgment": 0.5,
        "model_name": "r1-8b",
        "model_response": RESPONSE,
        "class": "Fraud",
    } | more


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


def ingest(corpus: Path, *rows: Any, **options: Any) -> Manifest:
    file = corpus.parent / "published.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    manifest = run(corpus, [str(file)], IngestRecipe.from_options(**options))
    assert manifest.counts.balance == 0
    return manifest


def table(corpus: Path, name: str) -> list[dict[str, Any]]:
    return [row for batch in Store(corpus).scan(name) for row in batch.to_pylist()]


def said(corpus: Path) -> dict[str, dict[str, Any]]:
    return {row["pattern"]: row for row in table(corpus, "annotations")}


def whole() -> list[dict[str, Any]]:
    return [
        sentence(n, text, label) for n, (text, label) in enumerate(zip(SENTENCES, LABELS, strict=True), 1)
    ]


def test_the_sentences_of_a_trace_become_one_trace_with_spans_in_its_reasoning(tmp_path: Path) -> None:
    corpus = tmp_path / "c"
    rows = whole()
    manifest = ingest(corpus, *reversed(rows))
    assert manifest.summary["formats"] == {"published.jsonl": "harmthoughts"} and manifest.counts.kept == 5
    [trace] = table(corpus, "traces")
    assert (trace["source_id"], trace["model"], trace["kind"], trace["answer"]) == (
        "17",
        "r1-8b",
        "harmful",
        "I can't help with that.",
    )
    assert (
        json.loads(trace["extra"])["final_judgment"] == 0.5
        and table(corpus, "prompts")[0]["category"] == "Fraud"
    )
    found = said(corpus)
    assert len(found) == 15 and {row["annotator"] for row in found.values()} == {"judge:harmthoughts@1.001"}
    shown = {name: row for name, row in found.items() if row["label"]}
    texts = {
        name: [trace["reasoning"][s["start"] : s["end"]] for s in row["spans"]] for name, row in shown.items()
    }
    assert texts == {
        "behaviour_risk_noted": ["Copying a permit\n  would be forgery."],
        "behaviour_intent_excused": ["They may be a collector — so it is fine."],
        "behaviour_steps_planned": ["First the paper."],
    }
    assert shown["behaviour_steps_planned"]["rationale"] == "sentences 5"
    assert all(row["label"] is False and not row["spans"] for name, row in found.items() if name not in shown)
    columns = "behaviours_harmful, behaviours_careful, behaviour_persona"
    [row] = select(connect(Store(corpus)), f"select {columns} from candidates").to_pylist()
    assert list(row.values()) == [True, True, False]


def test_a_sentence_is_looked_for_behind_the_one_before_it_and_only_white_space_may_differ() -> None:
    assert locate_sentence("Okay.", REASONING, 5).start == REASONING.rindex("Okay.")  # type: ignore[union-attr]
    assert locate_sentence("Okay.", REASONING, len(REASONING)).start == 0  # type: ignore[union-attr]
    assert locate_sentence("Copying a permit would be forgery", REASONING) is not None
    for other in ("Copying a permit would be Forgery.", "Copying permit would be forgery.", "okay."):
        assert locate_sentence(other, REASONING) is None


def test_rows_that_cannot_be_placed_are_set_aside_with_their_line_and_nothing_is_called_absent(
    tmp_path: Path,
) -> None:
    corpus = tmp_path / "c"
    rows = whole()
    rows[2] = sentence(3, "This was never thought.", "PA")
    rows[4] = sentence(5, "First the paper.", "XX")
    bad = [sentence(6, "", "RA"), sentence(6, "Okay.", "RA", sentence_id="seventeen"), "[1, 2]", "{broken"]
    manifest = ingest(corpus, *rows, *bad)
    aside = {row["source_line"]: row["reason"] for row in table(corpus, "quarantine")}
    assert aside == {
        3: "sentence_not_found",
        5: "unknown_label",
        6: "wrong_type",
        7: "wrong_type",
        8: "wrong_type",
        9: "malformed_json",
    }
    assert manifest.counts.kept == 3 and manifest.counts.quarantined["sentence_not_found"] == 1
    raw = {row["source_line"]: row["row"] for row in table(corpus, "quarantine")}
    assert json.loads(raw[3]) == rows[2] and json.loads(raw[5]) == rows[4]
    assert {row["pattern"]: row["label"] for row in table(corpus, "annotations")} == {
        "behaviour_risk_noted": True,
        "behaviour_intent_excused": True,
    }
    again = ingest(corpus, *rows, *bad)
    assert (
        again.summary["new"]["annotations"]
        == again.summary["new_rows"]
        == again.summary["new"]["quarantine"]
        == 0
    )
    assert again.counts == manifest.counts


def test_a_gap_in_the_numbers_leaves_open_what_the_missing_sentence_showed(tmp_path: Path) -> None:
    rows = whole()
    del rows[2]
    ingest(tmp_path / "c", *rows)
    assert all(row["label"] for row in table(tmp_path / "c", "annotations"))


def test_where_the_response_is_the_answer_alone_the_reasoning_is_its_sentences(tmp_path: Path) -> None:
    answer = {"model_response": "I can't help with that."}
    ingest(tmp_path / "c", *(row | answer for row in whole()))
    [trace] = table(tmp_path / "c", "traces")
    assert (
        trace["reasoning"].splitlines()[-1] == "First the paper."
        and trace["answer"] == answer["model_response"]
    )
    assert "joined" in trace["extra"]
    [row] = [
        row for row in table(tmp_path / "c", "annotations") if row["pattern"] == "behaviour_steps_planned"
    ]
    [span] = row["spans"]
    assert trace["reasoning"][span["start"] : span["end"]] == "First the paper."


def test_a_response_whose_reasoning_cannot_be_told_sets_all_its_sentences_aside(tmp_path: Path) -> None:
    manifest = ingest(tmp_path / "c", *(row | {"model_response": REASONING} for row in whole()))
    assert manifest.counts.quarantined == {"no_think": 5} and table(tmp_path / "c", "traces") == []


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


def test_a_second_ingest_says_that_nothing_is_new(tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(row) + "\n" for row in whole()))
    first = curate("ingest", "h.jsonl", "--corpus", "c", cwd=tmp_path)
    assert (
        "ingest: 1 new" in first.stderr
        and "15 new annotations of behaviours@1 by judge:harmthoughts@1.001" in first.stderr
    )
    second = curate("ingest", "h.jsonl", "--corpus", "c", cwd=tmp_path)
    assert (
        second.returncode == 0
        and "ingest: 0 new, 1 already there" in second.stderr
        and "0 new annotations" in second.stderr
    )


def test_a_labs_own_map_decides_what_the_labels_mean(tmp_path: Path) -> None:
    book = {
        "name": "ours",
        "version": 3,
        "description": "d",
        "entries": {"ours_warned": {"field": "reasoning", "definition": "It warns."}},
        "maps": {"harmthoughts": {"RA": "ours_warned", "FL": [], "IR": [], "TD": []}},
    }
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(book))
    codebooks.add(Store.create(tmp_path / "c"), codebooks.load(tmp_path / "ours.yaml"))
    manifest = ingest(tmp_path / "c", *whole())
    assert {name: row["label"] for name, row in said(tmp_path / "c").items()} == {"ours_warned": True}
    assert manifest.summary["judged"]["published.jsonl"]["codebooks"] == ["ours@3"]


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


def test_filters_and_constants_hold_for_judged_rows(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("constants: {strategy: default}\nfilters: {model_name: r1-8b}\n")
    other = [row | {"model_name": "qwq"} for row in whole()]
    manifest = ingest(tmp_path / "c", *whole(), *other, recipe=recipe)
    assert manifest.counts.filtered == {"filter model_name": 5} and manifest.counts.kept == 5
    assert [row["strategy"] for row in table(tmp_path / "c", "traces")] == ["default"]
