from pathlib import Path

import pytest

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.mix import narrow


def index(corpus: Store) -> list[str]:
    return sorted(path.name for path in (corpus.root / narrow.FOLDER).glob("*"))


def prepared(corpus: Store, *expressions: str) -> set[str]:
    connection = connect(corpus)
    narrow.prepare(connection, corpus, expressions)
    return set(select(connection, "select * from candidates limit 0").column_names)


def test_the_long_text_is_there_only_for_who_asks(filled: Store) -> None:
    assert "reasoning" not in prepared(filled, "kind = 'harmful' and not risky -- a comment", "category")
    assert "reasoning" in prepared(filled, "kind = 'harmful'", "reasoning like '%think%'")


def test_a_condition_on_the_text_selects_by_the_text(build) -> None:
    manifest, rows = build("name: x\nparts: {a: {where: \"answer like '%boxed{6%'\"}}\n")
    assert sorted(row["answer"] for row in rows) == [f"\\boxed{{{n}}}" for n in range(60, 70)]
    assert manifest.counts.filtered == {"no part matches": 70}


def test_an_index_is_used_again_until_anything_changes(filled: Store) -> None:
    prepared(filled)
    first = index(filled)
    prepared(filled)
    assert index(filled) == first and len(first) == 1
    trace = {
        "trace_id": "new",
        "prompt_id": "p",
        "prompt": "?",
        "reasoning": "",
        "answer": "",
        "sample_index": 0,
    }
    filled.append_rows("traces", [trace])
    connection = connect(filled)
    narrow.prepare(connection, filled, [])
    assert select(connection, "select count(*) as n from narrow").to_pylist() == [{"n": 81}]
    assert len(index(filled)) == 2


def test_old_indexes_are_deleted_but_not_those_in_use(filled: Store) -> None:
    for n in range(narrow.KEPT + 2):
        trace = {"trace_id": f"n{n}", "prompt_id": "p", "prompt": "?", "reasoning": "", "answer": "", "sample_index": 0}  # fmt: skip
        filled.append_rows("traces", [trace])
        prepared(filled)
    assert len(index(filled)) == narrow.KEPT


def test_a_corpus_that_cannot_be_written_is_read_all_the_same(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    connection = connect(filled)
    narrow.prepare(connection, filled, [])
    assert select(connection, "select count(*) as n from narrow").to_pylist() == [{"n": 80}]
    assert index(filled) == []


def test_a_recipe_may_allow_a_benchmark_in_plain_words(build, filled: Store, shared_data: Path) -> None:
    import json

    from schemas import prompt_id

    text = json.loads((shared_data / "xstest_safe_150.jsonl").read_text().splitlines()[0])["query"]
    trace = {"trace_id": "x", "prompt_id": prompt_id(text), "prompt": text, "reasoning": "r", "answer": "a", "sample_index": 0}  # fmt: skip
    filled.append_rows("traces", [trace])
    where = "parts: {a: {where: \"trace_id = 'x'\"}, b: {where: \"kind = 'math'\"}}\n"
    refused, _ = build(f"name: x\n{where}")
    assert refused.counts.filtered["benchmark xstest-safe-150"] == 1
    _, rows = build(f"name: x\nallow_benchmarks: [xstest-safe-150]\n{where}")
    assert [row["trace_id"] for row in rows if row["part"] == "a"] == ["x"]
