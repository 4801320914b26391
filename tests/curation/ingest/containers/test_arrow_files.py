"""Parquet and Arrow files: the same rows, long values held once, and damage that costs no more than it must."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.ingest.containers import cells
from curation.ingest.containers.sources import open_sources

LONG = 2_000_000
COUNT = 200


def read(path: Path) -> list[tuple[int, Any, str | None]]:
    (source,) = open_sources(str(path))
    return [(raw.line, raw.row, raw.fault.reason if raw.fault else None) for raw in source.rows()]


def write(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        new = pa.ipc.new_stream if path.suffix == ".stream" else pa.ipc.new_file
        with new(str(path), table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.stream"])
def test_nested_rows_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    rows = [
        {
            "m": [{"role": "user", "content": f"{n}", "tags": ["x", None]}],
            "n": n,
            "none": None,
            "s": {"a": {"b": [n]}},
        }
        for n in range(5)
    ]
    assert read(write(tmp_path / name, pa.Table.from_pylist(rows))) == [
        (n, row, None) for n, row in enumerate(rows, 1)
    ]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.stream"])
def test_a_long_value_in_lists_is_held_once(tmp_path: Path, name: str) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * COUNT, pa.int32()), pa.array(["x" * LONG]))
    lists = pa.ListArray.from_arrays(pa.array(range(COUNT + 1), pa.int32()), long)
    (source,) = open_sources(str(write(tmp_path / name, pa.table({"a": lists}))))
    rows = list(source.rows())
    assert len(rows) == COUNT and len({id(raw.row["a"][0]) for raw in rows}) == 1


def test_a_row_that_would_be_gigabytes_is_too_long_and_the_others_are_read(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * COUNT, pa.int32()), pa.array(["x" * LONG]))
    lists = pa.ListArray.from_arrays(pa.array([0, COUNT, COUNT], pa.int32()), long)
    assert [fault for *_, fault in read(write(tmp_path / "a.parquet", pa.table({"a": lists})))] == [
        "too_long",
        None,
    ]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.stream"])
def test_a_text_in_a_list_that_is_not_utf8_is_one_bad_row(tmp_path: Path, name: str) -> None:
    raw = pa.array([b"fine", b"\xff", b"fine"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), texts)
    found = read(write(tmp_path / name, pa.table({"a": lists, "n": [1, 2, 3]})))
    assert [fault for *_, fault in found] == [None, "invalid_utf8", None]
    assert found[1][1] == {"a": None, "n": 2}


def test_an_arrow_file_that_is_cut_off_keeps_what_stands_before(tmp_path: Path) -> None:
    table = pa.table({"a": [f"value {n}" for n in range(300)]})
    path = tmp_path / "a.stream"
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])
    found = read(path)
    assert len([row for _, row, fault in found if fault is None]) == 100
    assert found[-1][::2] == (101, "damaged_rows")


def test_of_a_dictionary_only_what_rows_refer_to_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of a Parquet file has the dictionary of all batches before it: to read all of it each time would take their number squared."""
    read: list[int] = []
    ours = cells.cells

    def counted(column: Any) -> list[Any]:
        read.append(len(column))
        return ours(column)

    monkeypatch.setattr(cells, "cells", counted)
    dictionary = pa.array([f"text {n}" for n in range(1000)])
    column = pa.DictionaryArray.from_arrays(pa.array([7, None, 7, 3], pa.int32()), dictionary)
    found = ours(column)
    assert found == ["text 7", None, "text 7", "text 3"] and found[0] is found[2]
    assert read == [2]


def test_a_dictionary_of_views_which_polars_writes_is_read_whole() -> None:
    dictionary = pa.array([f"text {n}" for n in range(9)]).cast(pa.string_view())
    column = pa.DictionaryArray.from_arrays(pa.array([7, None, 7], pa.uint32()), dictionary)
    assert cells.cells(column) == ["text 7", None, "text 7"]
