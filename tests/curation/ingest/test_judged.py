"""Data sets of which each row is a sentence and what was judged of it, in their published layouts, with mild texts of our own."""

import json
from pathlib import Path
from typing import Any

import yaml

from curation.codebook import stage as codebooks
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.ingest.records.sentences import locate_sentence
from tests.command_line import curate
from tests.curation.ingest.judged import QUERY, ingest, said, table

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


def test_filters_and_constants_hold_for_judged_rows(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("constants: {strategy: default}\nfilters: {model_name: r1-8b}\n")
    other = [row | {"model_name": "qwq"} for row in whole()]
    manifest = ingest(tmp_path / "c", *whole(), *other, recipe=recipe)
    assert manifest.counts.filtered == {"filter model_name": 5} and manifest.counts.kept == 5
    assert [row["strategy"] for row in table(tmp_path / "c", "traces")] == ["default"]
