"""Every container gives the same rows with the same numbers, whole or with a fault."""

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.ingest.containers import readers
from curation.ingest.containers import rows as row_batches
from curation.ingest.containers.json_array import elements
from curation.ingest.containers.rows import RawRow
from curation.ingest.containers.sources import open_sources
from schemas.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"id": n, "prompt": f'Question {n}: é 🙂 "[{{,\\', "x": [{"y": [n], "z": "z"}]} for n in range(5)
]


def read(path: Path) -> list[tuple[int, Any, str | None]]:
    (source,) = open_sources(str(path))
    assert source.name == path.name
    return [(raw.line, raw.row, raw.fault.reason if raw.fault else None) for raw in source.rows()]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


NUMBERED = [(n, row, None) for n, row in enumerate(ROWS, 1)]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_reads_a_json_array_however_it_is_laid_out(
    tmp_path: Path, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(ROWS, indent=indent, ensure_ascii=ascii_only)
    assert read(write(tmp_path / "a.json", text.encode())) == NUMBERED


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_reads_jsonl_with_any_line_ends_and_a_byte_order_mark(tmp_path: Path, end: str, last: bool) -> None:
    text = end.join(json.dumps(row) for row in ROWS) + (end if last else "")
    assert read(write(tmp_path / "a.txt", b"\xef\xbb\xbf" + text.encode())) == NUMBERED


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.jsonl", b'\n{"a":1}\n \n\n{"a":2}\n\n')) == [
        (2, {"a": 1}, None),
        (5, {"a": 2}, None),
    ]


def test_reads_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == NUMBERED


def test_reads_a_folder_saved_by_datasets_split_by_split(tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:2])}
    ).save_to_disk(str(tmp_path / "saved"))
    train, test = open_sources(str(tmp_path / "saved"))
    assert (train.name, test.name) == ("saved/train", "saved/test")
    assert [(raw.line, raw.row, None) for raw in train.rows()] == NUMBERED
    assert [raw.row for raw in test.rows()] == ROWS[:2]
    assert all(file.is_file() for file in train.files)


def jsonl_rows(path: Path) -> list[RawRow]:
    return [raw for batch in readers.jsonl_batches(path) for raw in batch.raws()]


@pytest.mark.parametrize("block", [3, 7, 64])
def test_lines_and_elements_are_the_same_at_every_block_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    for name in ("BLOCK", "FIRST_BLOCK", "LINES_BLOCK"):
        monkeypatch.setattr(readers, name, block)
    array = write(tmp_path / "a.json", json.dumps(ROWS, indent=1).encode())
    jsonl = write(tmp_path / "a.jsonl", "\n".join(json.dumps(row) for row in ROWS).encode())
    assert [(raw.line, raw.row, raw.fault) for raw in readers.array_rows(array)] == NUMBERED
    assert [(raw.line, raw.row, raw.fault) for raw in jsonl_rows(jsonl)] == NUMBERED


def test_elements_agree_with_json_on_random_values() -> None:
    rng = random.Random(1)

    def value(depth: int) -> Any:
        kind = rng.randrange(6 if depth else 4)
        if kind == 4:
            return [value(depth - 1) for _ in range(rng.randrange(4))]
        if kind == 5:
            return {rng.choice(["", "a", "]", '"']): value(depth - 1) for _ in range(rng.randrange(4))}
        return [None, rng.random(), "".join(rng.choices('a"\\[]{},:\n é', k=rng.randrange(9))), True][kind]

    for _ in range(300):
        array = [value(3) for _ in range(rng.randrange(6))]
        text = json.dumps(array, indent=rng.choice([None, 1]), ensure_ascii=rng.random() < 0.5).encode()
        assert [json.loads(e) for e in elements(io.BytesIO(text), rng.choice([1, 5, 50]), 10**6)] == array


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"a": "no end', "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b'{"a": "\\ud83d"}', "lone_surrogate"),
    ],
)
def test_a_bad_line_has_a_fault_and_the_others_go_on(tmp_path: Path, bad: bytes, reason: str) -> None:
    found = read(write(tmp_path / "a.jsonl", b'{"a":1}\n' + bad + b'\n{"a":2}\n'))
    assert found == [(1, {"a": 1}, None), (2, None, reason), (3, {"a": 2}, None)]


@pytest.mark.parametrize("bad", [b'{"a": 1,}', b'{"a": "\xff"}', b"nonsense"])
def test_a_bad_element_has_a_fault_and_the_others_go_on(tmp_path: Path, bad: bytes) -> None:
    found = read(write(tmp_path / "a.json", b'[{"a":1}, ' + bad + b', {"a":2}]'))
    assert [(line, row) for line, row, _ in found] == [(1, {"a": 1}), (2, None), (3, {"a": 2})]
    assert found[1][2] in ("malformed_json", "invalid_utf8")


def test_what_follows_a_broken_string_or_the_arrays_end_is_not_lost_silently(tmp_path: Path) -> None:
    cut = read(write(tmp_path / "cut.json", b'[{"a":1}, {"a": "no end}, {"b": 2}]'))
    assert [fault for _, _, fault in cut] == [None, "malformed_json"]
    behind = read(write(tmp_path / "behind.json", b'[{"a":1}] trailing'))
    assert [fault for _, _, fault in behind] == [None, "malformed_json"]


def test_a_row_beyond_the_limit_is_set_aside_without_being_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BLOCK", "FIRST_BLOCK", "LINES_BLOCK"):
        monkeypatch.setattr(readers, name, 64)
    monkeypatch.setattr(readers, "MAX_ROW", 200)
    long = b'{"a":"' + b"x" * 1000 + b'"}'
    rows = list(jsonl_rows(write(tmp_path / "a.jsonl", b'{"a":1}\n' + long + b'\n{"a":2}\n')))
    assert [raw.fault.reason if raw.fault else raw.row for raw in rows] == [{"a": 1}, "too_long", {"a": 2}]
    assert len(rows[1].text or b"") < 400
    rows = list(readers.array_rows(write(tmp_path / "a.json", b'[{"a":1},' + long + b',{"a":2}]')))
    assert [raw.fault.reason if raw.fault else raw.row for raw in rows] == [{"a": 1}, "too_long"]
    assert rows[1].fault and "rest of the file was not read" in rows[1].fault.detail


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["is empty"]),
        (b" \n\n", ["is empty"]),
        (b"\x1f\x8b123", ["packed data are damaged or cut", "fetch it again"]),
        ('{"a":1}'.encode("utf-16"), ["UTF-16", "iconv"]),
        (b'{\n "a": 1\n}\n', ["one JSON object over several lines", "one object per line"]),
    ],
)
def test_a_file_that_is_no_container_says_what_it_is(tmp_path: Path, data: bytes, words: list[str]) -> None:
    path = write(tmp_path / "a.jsonl", data)
    with pytest.raises(DataError) as error:
        open_sources(str(path))
    assert str(path) in str(error.value)
    assert all(word in str(error.value) for word in words)


def test_a_damaged_parquet_file_says_so(tmp_path: Path) -> None:
    (source,) = open_sources(str(write(tmp_path / "a.parquet", b"PAR1 and then nothing")))
    with pytest.raises(DataError, match=r"damaged Parquet file.*fetch it again"):
        list(source.rows())


def test_a_missing_file_says_how_hub_names_are_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl: no such file; check the path.*hf:NAME"):
        open_sources(str(tmp_path / "nowhere.jsonl"))


def test_a_folder_that_is_no_dataset_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder without files that are read here"):
        open_sources(str(tmp_path))
    (tmp_path / "rows.csv").write_text("prompt\n")
    with pytest.raises(
        DataError, match=r"not one that `datasets` saved; name the files in it, such as .*/\*.csv"
    ):
        open_sources(str(tmp_path))


def test_a_hub_out_of_reach_names_the_local_path_as_the_way_out() -> None:
    code = "from curation.ingest.containers.sources import open_sources; open_sources('hf:nobody/nothing')"
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert "DataError: hf:nobody/nothing: the hub cannot be reached" in done.stderr
    assert "name the local path" in done.stderr


def test_a_quote_that_is_not_closed_sets_aside_the_lines_it_swallows_and_says_how_many(
    tmp_path: Path,
) -> None:
    data = b'prompt,id\nfirst,1\n"open,2\nthird,3\nfourth,4\n'
    (source,) = open_sources(str(write(tmp_path / "a.csv", data)))
    good, bad = source.rows()
    assert good.row == {"prompt": "first", "id": "1"}
    assert (bad.line, bad.row, bad.text) == (2, None, b'"open,2\nthird,3\nfourth,4')
    assert bad.fault and bad.fault.reason == "malformed_csv"
    assert "3 lines were taken for this row: is a quote not closed?" in bad.fault.detail


def test_a_row_of_csv_is_set_aside_as_it_stands_in_the_file_and_the_others_go_on(tmp_path: Path) -> None:
    bad = [b'"open,2\nshut" late,3', b'one,"tw\xff\n"', b"one", b"one,2,3"]
    data = b"prompt,id\r\n" + b"".join(b"good,1\r\n\r\n" + row + b"\r\n" for row in bad) + b"good,1"
    (source,) = open_sources(str(write(tmp_path / "a.csv", data)))
    rows = list(source.rows())
    assert [raw.text for raw in rows if raw.fault] == bad
    assert [raw.line for raw in rows if raw.fault] == [2, 4, 6, 8]
    assert [raw.row for raw in rows if not raw.fault] == [{"prompt": "good", "id": "1"}] * 5


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"prompt,id,prompt,id", "several columns are named 'prompt', 'id'; give each a name of its own"),
        (b'prompt,"id', "cannot read the column names in its first line"),
    ],
)
def test_names_of_columns_that_are_given_twice_or_cannot_be_read_are_refused(
    tmp_path: Path, header: bytes, words: str
) -> None:
    (source,) = open_sources(str(write(tmp_path / "a.csv", header + b"\na,b,c,d\n")))
    with pytest.raises(DataError, match=words):
        list(source.rows())


def test_nan_is_null_and_a_number_beyond_64_bits_keeps_its_digits(tmp_path: Path) -> None:
    lines = b'{"a": NaN, "b": [-Infinity]}\n{"a": 123456789012345678901234567890}\n{"a": {"b": [9223372036854775807, 1e300]}}'
    rows = [row for _, row, _ in read(write(tmp_path / "a.jsonl", lines))]
    assert rows == [
        {"a": None, "b": [None]},
        {"a": "123456789012345678901234567890"},
        {"a": {"b": ["9223372036854775807", 1e300]}},
    ]


def test_a_bad_cell_is_one_bad_row_and_odd_times_are_kept_as_numbers(tmp_path: Path) -> None:
    bad = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 3, bad.buffers())
    times = pa.array([0, 2**62, 0], pa.int64()).view(pa.timestamp("ms"))
    zones = pa.array([0, 0, 0], pa.int64()).view(pa.timestamp("s", "Mars/Base"))
    pq.write_table(pa.table([texts, times, zones], ["t", "when", "zone"]), tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert [(line, fault) for line, _, fault in rows] == [(1, None), (2, "invalid_utf8"), (3, None)]
    assert rows[1][1]["when"].startswith(str(2**62))
    assert "Mars/Base" in rows[0][1]["zone"]


def test_two_columns_of_one_name_are_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array(["x"]), pa.array(["y"])], ["a", "a"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="several columns are named 'a'"):
        read(tmp_path / "a.parquet")


def test_a_key_that_an_object_has_twice_sets_the_row_aside(tmp_path: Path) -> None:
    lines = [
        '{"prompt": "a", "prompt": "b"}',
        '{"m": [{"role": "user", "role" : "assistant"}]}',
        '{"a\\u0062": 1, "ab": 2}',
        '{"a" : ": x", "b": {"a": 1}, "c": "\\": ", "d": "\\\\"}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    rows = read(tmp_path / "a.jsonl")
    assert [fault for *_, fault in rows] == ["duplicate_key"] * 3 + [None]
    (tmp_path / "b.json").write_text(f"[{','.join(lines)}]")
    assert [fault for *_, fault in read(tmp_path / "b.json")] == ["duplicate_key"] * 3 + [None]


def test_a_damaged_row_group_is_one_fault_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [f"value {n}" for n in range(300)]}), path, row_group_size=100)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    rows = read(path)
    assert [line for line, _, fault in rows if fault == "damaged_rows"] == [101]
    assert len([row for _, row, fault in rows if fault is None]) == 200


def test_one_long_value_shared_by_many_rows_is_held_once(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["x" * 2_000_000]))
    pq.write_table(pa.table({"a": long}), tmp_path / "a.parquet")
    (source,) = open_sources(str(tmp_path / "a.parquet"))
    rows = list(source.rows())
    assert len(rows) == 2000
    assert len({id(raw.row["a"]) for raw in rows[:1024]}) == 1


def test_a_csv_file_may_have_semicolons(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", b'a;b\n"x, y";z\n')) == [(1, {"a": "x, y", "b": "z"}, None)]


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_long_rows_come_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(row_batches, "PIECE", 10_000)
    many = [{"id": n, "text": "x" * 1000} for n in range(300)]
    lines = "".join(f"{row['id']},{row['text']}\n" for row in many)
    text = json.dumps(many) if name == "a.json" else f"id,text\n{lines}"
    (source,) = open_sources(str(write(tmp_path / name, text.encode())))
    sizes = [batch.size for batch in source.batches()]
    assert max(sizes) <= 11 and sum(sizes) == len(many)
