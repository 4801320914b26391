"""Ingest against the floor: how much longer `curate ingest` takes than pyarrow's own JSON reader and Parquet writer.

Both do 100,000 rows of about 2.5 kB in turns, in one process, on the same file; the ratio is of the best of each, since
a machine that does other things only ever makes a round slower. The floor checks nothing, and makes no ids.
"""

import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson

ROWS = 100_000
ROUNDS = 3
TARGET = 2.0


def write_rows(path: Path, rows: int, seed: int = 0) -> None:
    """Write JSONL of native traces with made-up words; 150 + 1,500 + 750 characters of text a row."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(4000)]
    story = " ".join(rng.choices(words, k=400_000))

    def text(length: int) -> str:
        start = rng.randrange(len(story) - length)
        return story[start : start + length].strip()

    with path.open("wb") as file:
        for number in range(rows):
            row = {"id": f"t{number}", "prompt": text(150), "reasoning": text(1500), "answer": text(750)}
            file.write(orjson.dumps(row | {"strategy": "default", "model": "made-up"}) + b"\n")


def floor(source: Path, folder: Path) -> None:
    """Read and write with pyarrow alone."""
    import pyarrow.json
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.json.read_json(source), folder / "floor.parquet")


def ingest(source: Path, folder: Path) -> None:
    """Read and write with `curate ingest`."""
    from curation.ingest.stage import IngestRecipe, run

    counts = run(folder / "corpus", [str(source)], IngestRecipe()).counts
    assert counts.kept == counts.rows, counts


def seconds(work: Callable[[Path, Path], None], source: Path) -> float:
    """Wall time of one round, in a folder of its own."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        start = time.perf_counter()
        work(source, Path(folder))
        return time.perf_counter() - start


def measure(rows: int = ROWS, rounds: int = ROUNDS) -> dict[str, float]:
    """Run both in turns and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "traces.jsonl"
        write_rows(source, rows)
        times = [(seconds(floor, source), seconds(ingest, source)) for _ in range(rounds)]
        size = source.stat().st_size
    best_floor, best_ingest = (min(column) for column in zip(*times, strict=True))
    return {
        "rows": rows,
        "megabytes": round(size / 1e6, 1),
        "floor_seconds": round(best_floor, 3),
        "ingest_seconds": round(best_ingest, 3),
        "ratio": round(best_ingest / best_floor, 2),
        "target": TARGET,
    }


def main() -> None:
    """Print the figures as a JSON line and as a sentence."""
    found = measure()
    print(json.dumps({"benchmark": "ingest", **found}))
    print(
        f"ingest: {found['rows']} rows in {found['ingest_seconds']} s, pyarrow alone {found['floor_seconds']} s: "
        f"{found['ratio']} times (target: within {TARGET})"
    )


if __name__ == "__main__":
    main()
