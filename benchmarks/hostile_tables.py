"""Hostile Parquet and Arrow files: sound ones of wild types, and the same with bytes flipped, cut off or overwritten."""

import random
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.ingest.recipe import IngestRecipe
from curation.ingest.stage import run

ROWS = 40
DEPTH = 30
LONG = 300_000


def table(rng: random.Random) -> pa.Table:
    """A table with a prompt, a reasoning and an answer, and some columns of wild types, names perhaps repeated."""
    texts = [f"Question {n}?" for n in range(ROWS)]
    arrays = {
        "prompt": pa.array(texts),
        "reasoning": pa.array(["Because."] * ROWS),
        "answer": pa.array(texts),
    }
    wild = _wild(rng)
    for name in rng.sample(sorted(wild), rng.randint(1, 6)):
        arrays[name] = wild[name]()
    names = [rng.choice(["x", "x", name]) if name in wild else name for name in arrays]
    return pa.Table.from_arrays(list(arrays.values()), names=names)


def _wild(rng: random.Random) -> dict[str, Callable[[], Any]]:
    numbers = [rng.randrange(-(2**62), 2**62) for _ in range(ROWS)]

    def view(kind: Any, values: list[int] = numbers) -> Any:
        return pa.array(values, pa.int64()).view(kind)

    def deep() -> Any:
        value: Any = "leaf"
        for level in range(DEPTH):
            value = [value] if level % 2 else {"in": value}
        return pa.array([value] * ROWS)

    def bad_text() -> Any:
        raw = [b"\xff\xfe" if rng.random() < 0.3 else b"text" for _ in range(ROWS)]
        return pa.Array.from_buffers(pa.string(), ROWS, pa.array(raw, pa.binary()).buffers())

    return {
        "decimal": lambda: pa.array([Decimal(n) / 8 for n in range(ROWS)], pa.decimal128(38, 20)),
        "decimal256": lambda: pa.array([Decimal(10) ** 60] * ROWS, pa.decimal256(76, 4)),
        "duration": lambda: view(pa.duration(rng.choice(["s", "ns"]))),
        "timestamp": lambda: view(pa.timestamp(rng.choice(["ms", "us"]))),
        "zone": lambda: view(pa.timestamp("us", rng.choice(["Mars/Base", "+99:99", "UTC", ""])), [0] * ROWS),
        "date": lambda: view(pa.date64()),
        "time": lambda: pa.array([2**31 - 1] * ROWS, pa.int32()).view(pa.time32("s")),
        "nan": lambda: pa.array([float("nan"), float("inf")] * (ROWS // 2)),
        "half": lambda: pa.array([1.5] * ROWS, pa.float16()),
        "bytes": lambda: pa.array([b"\x00\xff"] * ROWS),
        "dictionary": lambda: pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array(["x" * LONG])),
        "in_lists": lambda: pa.array([["x" * LONG, None]] * ROWS),
        "deep": deep,
        "map": lambda: pa.array([[("a", 1), ("b", None)]] * ROWS, pa.map_(pa.string(), pa.int64())),
        "structs": lambda: pa.array([{"a": [1], "b": None}, None] * (ROWS // 2)),
        "fixed": lambda: pa.array([[1, 2]] * ROWS, pa.list_(pa.int8(), 2)),
        "large": lambda: pa.array(["y"] * ROWS, pa.large_string()),
        "nothing": lambda: pa.nulls(ROWS),
        "bad_text": bad_text,
        "bad_in_lists": lambda: pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), bad_text()),
    }  # fmt: skip


def packed(rng: random.Random, kind: str) -> bytes:
    """A file of a random table: "parquet", "arrow" or "stream"."""
    rows, sink = table(rng), pa.BufferOutputStream()
    if kind == "parquet":
        options = {
            "row_group_size": rng.choice([7, ROWS]),
            "compression": rng.choice(["none", "snappy", "zstd"]),
        }
        pq.write_table(rows, sink, **options)
    else:
        settings = pa.ipc.IpcWriteOptions(compression=rng.choice([None, "zstd", "lz4"]))
        new = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with new(sink, rows.schema, options=settings) as writer:
            writer.write_table(rows, max_chunksize=rng.choice([7, ROWS]))
    return bytes(sink.getvalue())


def damaged(rng: random.Random, data: bytes) -> bytes:
    """The bytes as they are, or flipped in a few places, cut off, or overwritten for a stretch; the signature stays."""
    found = bytearray(data)
    ways = rng.choice(["sound", "flip", "flip", "flip", "cut", "zero", "noise"])
    at = rng.randrange(8, len(found))
    if ways == "flip":
        for _ in range(rng.choice([1, 3, 30])):
            found[rng.randrange(8, len(found))] ^= 1 << rng.randrange(8)
    elif ways == "cut":
        del found[at:]
    elif ways in ("zero", "noise"):
        stretch = min(rng.choice([4, 64, 2000]), len(found) - at)
        found[at : at + stretch] = bytes(stretch) if ways == "zero" else rng.randbytes(stretch)
    return bytes(found)


def ingest_table(seed: int) -> None:
    """A random file, sound or damaged: every row ends in one state, or the file is refused by a named error."""
    rng = random.Random(seed)
    data = damaged(rng, packed(rng, rng.choice(["parquet", "parquet", "arrow", "stream"])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.bin"
        path.write_bytes(data)
        counts = run(Path(folder) / "corpus", [str(path)], IngestRecipe(kind="benign")).counts
        assert counts.balance == 0, counts
