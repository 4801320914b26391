"""Packed, wrapped and zipped files give the same rows as plain ones, and damage costs only what is behind it."""

import bz2
import gzip
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.ingest.containers import packing
from curation.ingest.containers.sources import open_sources
from schemas.errors import DataError

ROWS = [{"prompt": f"Question {n}?", "n": n} for n in range(40)]
LINES = "\n".join(map(json.dumps, ROWS)).encode()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def read(path: Path) -> list[tuple[int, Any, str | None]]:
    (source,) = open_sources(str(path))
    return [(raw.line, raw.row, raw.fault.reason if raw.fault else None) for raw in source.rows()]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


NUMBERED = [(n, row, None) for n, row in enumerate(ROWS, 1)]
PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("inner", ["jsonl", "json", "csv"])
def test_packed_files_are_read_as_plain_ones(tmp_path: Path, name: str, inner: str) -> None:
    csv = "# made by hand\nprompt;n\n" + "\n".join(f"{row['prompt']};{row['n']}" for row in ROWS)
    data = {"jsonl": LINES, "json": json.dumps(ROWS).encode(), "csv": csv.encode()}[inner]
    found = read(write(tmp_path / f"a.{inner}.{name}", PACK[name](data)))
    assert [(line, row["prompt"], int(row["n"])) for line, row, _ in found] == [
        (n, row["prompt"], row["n"]) for n, row in enumerate(ROWS, 1)
    ]


@pytest.mark.parametrize("name", PACK)
def test_what_a_cut_file_still_holds_is_read_and_the_loss_is_named(tmp_path: Path, name: str) -> None:
    import random

    rng = random.Random(1)
    rows = [{"n": n, "text": "".join(rng.choices("abcdefghij ", k=400))} for n in range(4000)]
    whole = PACK[name]("\n".join(map(json.dumps, rows)).encode())
    found = read(write(tmp_path / f"a.jsonl.{name}", whole[: len(whole) * 3 // 4]))
    assert found[-1][2] in ("damaged_rows", "malformed_json")
    assert [row for _, row, fault in found if fault is None] == rows[: len(found) - 1]


def test_a_file_that_expands_without_end_is_refused_behind_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "FLOOR", 2**20)
    path = write(tmp_path / "a.jsonl.gz", gzip.compress(LINES + b"\n" + b" \n" * 5_000_000))
    found = read(path)
    assert found[:40] == NUMBERED
    assert [fault for _, _, fault in found[40:]] == ["damaged_rows"]


def test_parquet_inside_a_packing_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="inside gzip; unpack it first"):
        open_sources(str(write(tmp_path / "a.parquet.gz", gzip.compress(b"PAR1 and more"))))


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "wrapped",
    [
        {"data": ROWS},
        {"version": 2, "info": {"data": [1]}, "rows": ROWS, "more": [{"x": 1}]},
        {"features": [{"name": "prompt"}], "rows": [{"row_idx": n, "row": r, "truncated_cells": []} for n, r in enumerate(ROWS)]},
        {"anything": ROWS, "numbers": [1, 2]},
        {"evaluations": ROWS},
    ],
)  # fmt: skip
def test_rows_inside_one_object_are_found(
    tmp_path: Path, wrapped: dict[str, Any], indent: int | None
) -> None:
    path = write(tmp_path / "a.json", json.dumps(wrapped, indent=indent).encode())
    assert read(path) == NUMBERED


def test_an_object_of_one_line_that_is_a_row_stays_one(tmp_path: Path) -> None:
    row = {"id": "a", "messages": [{"role": "user", "content": "Hello"}], "model": "m"}
    assert read(write(tmp_path / "a.jsonl", json.dumps(row).encode())) == [(1, row, None)]


def test_a_cell_that_the_viewer_cut_is_set_aside(tmp_path: Path) -> None:
    data = {"rows": [{"row_idx": 0, "row": {"prompt": "x"}, "truncated_cells": ["prompt"]}]}
    assert [fault for *_, fault in read(write(tmp_path / "a.json", json.dumps(data).encode()))] == [
        "truncated_cells"
    ]


def test_broken_first_lines_are_set_aside_and_the_others_read(tmp_path: Path) -> None:
    broken = b'{"prompt": "no end\n{"a": 1,}\nnonsense\n'
    found = read(write(tmp_path / "a.jsonl", broken + LINES))
    assert [fault for *_, fault in found[:3]] == ["malformed_json"] * 3
    assert [row for _, row, _ in found[3:]] == ROWS


def test_a_hash_may_name_the_first_column(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", b"#,prompt\n1,Why?\n")) == [(1, {"#": "1", "prompt": "Why?"}, None)]


def test_the_samples_of_an_inspect_log_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "{}")
        archive.writestr("samples/1_epoch_1.json", json.dumps(ROWS[0]))
        archive.writestr("samples/2_epoch_1.json", "{broken")
        archive.writestr("summaries.json", "[]")
    assert read(path) == [(1, ROWS[0], None), (2, None, "malformed_json")]


def test_any_other_archive_is_one_clear_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jsonl", "{}")
    with pytest.raises(DataError, match="unpack it and name the files in it"):
        open_sources(str(tmp_path / "a.zip"))
    with pytest.raises(DataError, match="damaged zip archive"):
        open_sources(str(write(tmp_path / "b.eval", b"PK\x03\x04 and nothing")))
