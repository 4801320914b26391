"""Ingest against the floor and a peer: pyarrow's own JSON reader and Parquet writer, and `datasets.load_dataset`, map and save.

All do the same rows of about 2.5 kB (`BENCH_ROWS`, 100,000) in turns, on the same file, each in a process of its own; the ratios are of
the best of each, since a machine that does other things only ever makes a round slower. CPU seconds, those of threads and children included,
depend less on the others. The floor checks nothing, and makes no ids; the peer does in its map what it must of the same work: it
tells rows without text or with a tag apart, and makes one id a row.
"""

import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

ROWS = int(os.environ.get("BENCH_ROWS", "100000"))
ROUNDS = 3
TARGET, PEER_TARGET = 1.8, 5.0


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


def peer(source: Path, folder: Path) -> None:
    """Read, check, name and write with `datasets`."""
    import hashlib

    import datasets

    def named(row: dict[str, Any]) -> dict[str, Any]:
        texts = [row[name] for name in ("prompt", "reasoning", "answer")]
        sound = all(text.strip() and "think>" not in text for text in texts)
        digest = hashlib.blake2b("\n".join(texts).encode(), digest_size=16)
        return {"trace_id": digest.hexdigest(), "sound": sound}

    rows = datasets.load_dataset(
        "json", data_files=str(source), split="train", cache_dir=str(folder / "cache")
    )
    rows.map(named).save_to_disk(folder / "peer")


def one_round(work: Callable[[Path, Path], None], source: Path) -> dict[str, float]:
    """Wall time, CPU time and peak memory of one round, in a process and a folder of its own; loading libraries does not count."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        import datasets  # noqa: F401
        import pyarrow.json
        import pyarrow.parquet  # noqa: F401

        import curation.ingest.stage  # noqa: F401

        with tempfile.TemporaryDirectory(dir=source.parent) as folder:
            before, start = cpu(), time.perf_counter()
            work(source, Path(folder))
            took = {"wall": time.perf_counter() - start, "cpu": cpu() - before}
        ours.send_bytes(
            orjson.dumps(took | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
        )

    process = context.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    return dict(orjson.loads(theirs.recv_bytes()))


def cpu() -> float:
    """CPU seconds of this process and its children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(rows: int = ROWS, rounds: int = ROUNDS) -> dict[str, float]:
    """Run all in turns and return the figures: the best round of each."""
    works = {"floor": floor, "ingest": ingest, "peer": peer}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "traces.jsonl"
        write_rows(source, rows)
        took = [{name: one_round(work, source) for name, work in works.items()} for _ in range(rounds)]
        size = source.stat().st_size
    best = {
        f"{name}_{what}": min(one[name][what] for one in took)
        for name in works
        for what in ("wall", "cpu", "peak_mb")
    }
    return {
        "rows": rows,
        "megabytes": round(size / 1e6, 1),
        **{name: round(value, 3) for name, value in best.items()},
        "ratio": round(best["ingest_wall"] / best["floor_wall"], 2),
        "cpu_ratio": round(best["ingest_cpu"] / best["floor_cpu"], 2),
        "faster_than_peer": round(best["peer_wall"] / best["ingest_wall"], 2),
        "faster_than_peer_cpu": round(best["peer_cpu"] / best["ingest_cpu"], 2),
        "target": TARGET,
        "peer_target": PEER_TARGET,
    }


def main() -> None:
    """Print the figures as a JSON line and as a sentence."""
    found = measure()
    print(json.dumps({"benchmark": "ingest", **found}))
    print(
        f"ingest: {found['rows']} rows in {found['ingest_wall']} s, pyarrow alone {found['floor_wall']} s: {found['ratio']} times "
        f"(CPU {found['cpu_ratio']}; target: within {TARGET}); `datasets` {found['peer_wall']} s: {found['faster_than_peer']} times as fast "
        f"(CPU {found['faster_than_peer_cpu']}; target: at least {PEER_TARGET}); peak {found['ingest_peak_mb']} MB"
    )


if __name__ == "__main__":
    main()
