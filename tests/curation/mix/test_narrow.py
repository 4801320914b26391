import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from curation.corpus import compact
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


def a_trace(trace_id: str) -> dict[str, object]:
    return {"trace_id": trace_id, "prompt_id": "p", "prompt": "?", "reasoning": "", "answer": "", "sample_index": 0}  # fmt: skip


def traces_of(corpus: Store) -> dict[str, int]:
    """The traces of the narrow table with their lengths."""
    connection = connect(corpus)
    narrow.prepare(connection, corpus, [])
    rows = select(connection, "select trace_id, estimated_tokens from narrow").to_pylist()
    assert len(rows) == len({row["trace_id"] for row in rows})
    return {row["trace_id"]: row["estimated_tokens"] for row in rows}


def test_texts_are_read_once_and_those_of_a_new_part_apart(filled: Store) -> None:
    before = traces_of(filled)
    first = index(filled)
    assert len(first) == 2 and traces_of(filled) == before and index(filled) == first
    filled.append_rows("traces", [a_trace("new")])
    assert traces_of(filled) == before | {"new": 1}
    assert len(index(filled)) == 3 and set(first) < set(index(filled))


def test_new_annotations_leave_the_index_as_it_is(filled: Store) -> None:
    prepared(filled)
    first = index(filled)
    trace_id = next(iter(traces_of(filled)))
    filled.append_rows(
        "annotations", [{"trace_id": trace_id, "pattern": "inconsistency", "annotator": "rules@9"}]
    )
    prepared(filled)
    assert index(filled) == first


def test_files_of_many_parts_become_one(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrow, "SPARED", 0)
    for n in range(narrow.MANY + 4):
        filled.append_rows("traces", [a_trace(f"n{n}")])
        assert f"n{n}" in traces_of(filled)
    assert len(traces_of(filled)) == 80 + narrow.MANY + 4
    assert len(index(filled)) <= 1 + narrow.MANY


def test_packed_parts_are_read_again_and_no_trace_is_there_twice(filled: Store) -> None:
    for n in range(3):
        filled.append_rows("traces", [a_trace(f"n{n}")])
        before = traces_of(filled)
    compact.run(filled.root, compact.CompactRecipe())
    assert traces_of(filled) == before


def test_a_file_that_cannot_be_read_is_made_again(filled: Store) -> None:
    before = traces_of(filled)
    for path in (filled.root / narrow.FOLDER).glob("*.parquet"):
        path.write_bytes(b"nothing")
    assert traces_of(filled) == before


def test_what_was_merged_a_moment_ago_may_still_be_read_and_is_counted_once(filled: Store) -> None:
    for n in range(narrow.MANY + 4):
        filled.append_rows("traces", [a_trace(f"n{n}")])
        before = index(filled)
        assert len(traces_of(filled)) == 80 + n + 1
        assert set(before) <= set(index(filled))


@pytest.mark.parametrize("made", [1e9, 4e9], ids=["long ago", "before the clock was set back"])
def test_old_indexes_are_deleted_but_not_those_in_use(filled: Store, made: float) -> None:
    traces_of(filled)
    used = index(filled)
    for name in ("candidates-1.parquet", *used):
        (filled.root / narrow.FOLDER / name).touch()
        os.utime(filled.root / narrow.FOLDER / name, (made, made))
    filled.append_rows("traces", [a_trace("last")])
    assert len(traces_of(filled)) == 81
    assert "candidates-1.parquet" not in index(filled) and set(used) < set(index(filled))


def test_what_was_read_of_a_part_that_is_gone_is_deleted_at_once(filled: Store) -> None:
    filled.append_rows("traces", [a_trace("forgotten")])
    traces_of(filled)
    before = index(filled)
    filled.parts("traces")[-1].unlink()
    filled.append_rows("traces", [a_trace("new")])
    assert "forgotten" not in traces_of(filled) and "new" in traces_of(filled)
    assert not set(before) <= set(index(filled))


def test_a_part_that_goes_while_it_is_read_leaves_nothing_behind(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(filled)
    write = narrow.write_tables

    def and_forget(path: Path, *rest: object) -> None:
        write(path, *rest)
        filled.parts("prompts")[0].unlink(missing_ok=True)

    monkeypatch.setattr(narrow, "write_tables", and_forget)
    narrow.refresh(connection, filled)
    assert index(filled) == []


def test_a_file_that_is_deleted_before_it_is_read_is_made_up_for(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces_of(filled)
    connection = connect(filled)
    facts = narrow.quoted

    def delete(text: str) -> str:
        for path in (filled.root / narrow.FOLDER).glob("*.parquet"):
            path.unlink()
        return facts(text)

    monkeypatch.setattr(narrow, "quoted", delete)
    narrow.prepare(connection, filled, [])
    assert select(connection, "select count(*) as n from narrow").to_pylist() == [{"n": 80}]


def test_a_merge_while_a_part_is_forgotten_leaves_nothing_of_it(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(narrow.MANY):
        filled.append_rows("traces", [a_trace(f"n{n}")])
        traces_of(filled)
    filled.append_rows("traces", [a_trace("last")])
    write = narrow.write_tables

    def and_forget(path: Path, schema: pa.Schema, batches: Iterable[pa.Table]) -> None:
        read = list(batches)
        filled.parts("traces")[0].unlink()
        for file in (filled.root / narrow.FOLDER).glob("*.parquet"):
            file.unlink()
        write(path, schema, iter(read))

    monkeypatch.setattr(narrow, "write_tables", and_forget)
    narrow.refresh(connect(filled), filled)
    assert not any(name.startswith("traces-") for name in index(filled))


def test_parts_that_are_gone_fail_no_finished_annotate(filled: Store) -> None:
    connection = connect(filled)
    for part in filled.parts("traces"):
        part.write_bytes(b"nothing")
    narrow.refresh(connection, filled)
    assert not any(name.startswith("traces-") for name in index(filled))


def test_a_condition_may_name_what_is_not_narrow_in_any_way(filled: Store) -> None:
    assert "answer" in prepared(
        filled, "prompt_id in (select prompt_id from candidates where ANSWER like '%a%')"
    )
    assert "strategy" in prepared(filled, "(select count(*) from candidates) > 1")
    assert "strategy" not in prepared(filled, "kind = 'harmful'")
    assert "kind" in prepared(filled, "\"KIND\" = 'harmful'")


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
