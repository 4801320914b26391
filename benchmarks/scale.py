"""Scale: time, peak memory and bytes of every stage against the number of traces, five annotations each.

Each stage runs as its command, in a process of its own, with the memory of its children counted too. Texts are put together from
made-up sentences, so that they share words but are no duplicates, but for every tenth, which is a near copy of an earlier one.
All but the last 20,000 traces are judged before `annotate` runs, since the rules' time is known to be in proportion to the text.

    python -m benchmarks scale                                              # 10,000, 100,000 and 1,000,000 traces of 2,400 characters
    SCALE_ROWS=1000000 SCALE_TEXT=200 CURATE_MEMORY=1GB python -m benchmarks scale   # short texts and little memory
    SCALE_ROWS=4000000,10000000 SCALE_TEXT=200 CURATE_MEMORY=1GB SCALE_STAGES=dedup python -m benchmarks scale

Ten million are simulated with short texts and dedup alone: what ingest holds and compact does per row does not depend on the
number of rows, build-mix was measured at that size (`benchmarks mix`), and annotate reads what it has not judged, part by part.

Lines are appended to SCALE_OUT (bench-out/scale.jsonl); the plot is drawn from all of them, the last of each kind counting.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._scale_plot import draw
from benchmarks.mix import RECIPE

ROWS = tuple(int(n) for n in os.environ.get("SCALE_ROWS", "10000,100000,1000000").split(","))
TEXT = int(os.environ.get("SCALE_TEXT", "2400"))
OUT = Path(os.environ.get("SCALE_OUT", "bench-out/scale.jsonl"))
PLOT = Path(os.environ.get("SCALE_PLOT", "docs/images/scale.svg"))
SHARE = 20_000
SENTENCE = 12
COPIES = 10
PART = 50_000
COMMANDS: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest", "traces.jsonl"),
    "annotate": ("annotate", "--annotators", "rules"),
    "dedup": ("dedup",),
    "status": ("status", "--json"),
    "build-mix": ("build-mix", "mix.yaml", "--out", "mix"),
    "compact": ("compact",),
}


STAGES = os.environ.get("SCALE_STAGES", ",".join(COMMANDS)).split(",")


class Used(NamedTuple):
    """What a process and its children used."""

    seconds: float
    cpu_seconds: float
    """Of all cores; other work on the machine makes it no longer, or little."""
    peak_mb: int
    """Resident memory."""
    anonymous_mb: int
    """The part of it that cannot be dropped: the rest are pages of files."""


def write_traces(path: Path, rows: int, text: int) -> None:
    """JSONL of native traces."""
    import orjson

    with path.open("wb") as file:
        for row in made_up(rows, text):
            file.write(orjson.dumps(row) + b"\n")


def write_parts(root: Path, rows: int, text: int) -> None:
    """The same as a corpus."""
    from curation.corpus.store import Store
    from schemas import prompt_id
    from schemas.ids import bytes_id

    corpus, made = Store.create(root), made_up(rows, text)
    while lines := [dict(row) for row in islice(made, PART)]:
        for row in lines:
            row |= {"prompt_id": prompt_id(row["prompt"]), "trace_id": bytes_id(row["id"].encode())}
        prompts = {row["prompt_id"]: row["prompt"] for row in lines}
        corpus.append_rows("prompts", [{"prompt_id": key, "text": text} for key, text in prompts.items()])
        corpus.append_rows("traces", [row | {"sample_index": 0} for row in lines])


def made_up(rows: int, text: int) -> Iterator[dict[str, Any]]:
    """Traces of some length."""
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(20_000)]  # fmt: skip
    sentences = [" ".join(chance.choices(words, k=SENTENCE)) + "." for _ in range(100_000)]
    length = sum(map(len, sentences)) / len(sentences) + 1
    reasoning, answer = (max(1, round(text * share / length)) for share in (10 / 16, 5 / 16))
    # Sentences shared by many prompts would be taken for templates.
    asked = max(SENTENCE, round(text / 16 / 6.5))
    earlier: list[dict[str, Any]] = []
    for number in range(rows):
        if number % COPIES == COPIES - 1:
            row = dict(chance.choice(earlier))
            word = chance.choice(words)
            row |= {"prompt": f"{row['prompt']} {word}", "answer": f"{row['answer']} {word}"}
        else:
            row = {"prompt": " ".join(chance.choices(words, k=asked))}
            row["reasoning"] = " ".join(chance.choices(sentences, k=reasoning))
            row["answer"] = " ".join(chance.choices(sentences, k=answer))
        row |= {"id": f"t{number}", "kind": ("harmful", "benign")[number % 3 == 2]}
        row |= {"strategy": ("default", "improved")[number % 2], "model": "made-up"}
        yield row
        earlier = [*earlier[-999:], row] if number % 100 == 0 else earlier


def write_annotations(root: Path) -> None:
    """Five annotations a trace; by the rules, but for the last SHARE traces."""
    import numpy as np
    import pyarrow as pa

    from annotators import catalog
    from curation.corpus.store import Store
    from schemas import RISKY_PATTERNS
    from schemas.tables import ANNOTATIONS

    corpus, rules, done = Store(root), catalog.get("rules").name, 0
    total = sum(batch.num_rows for batch in corpus.scan("traces", ["trace_id"], 65536))
    k = len(RISKY_PATTERNS)
    for batch in corpus.scan("traces", ["trace_id"], 65536):
        n = batch.num_rows
        labels = np.random.default_rng(done).random(n * k) < 0.2
        judged = [rules if done + i < total - SHARE else "model@1" for i in range(n)]
        columns = {
            "trace_id": np.repeat(np.array(batch.column(0).to_pylist(), object), k), "pattern": list(RISKY_PATTERNS) * n,
            "annotator": np.repeat(np.array(judged, object), k), "label": labels, "score": labels.astype(np.float32),
        }  # fmt: skip
        arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(n * k, f.type) for f in ANNOTATIONS]  # fmt: skip
        corpus.append("annotations", pa.Table.from_arrays(arrays, schema=ANNOTATIONS))
        done += n


def measured(command: list[str], folder: Path) -> Used:
    """Run a command and watch the memory of its processes."""
    start, cpu, peak, anonymous = time.perf_counter(), _cpu(), 0, 0
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            used = [_memory(pid) for pid in _family(process.pid)]
            peak = max(peak, sum(all_ for all_, _ in used))
            anonymous = max(anonymous, sum(own for _, own in used))
            time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}\n{(folder / 'output').read_text()}")
    seconds = round(time.perf_counter() - start, 1), round(_cpu() - cpu, 1)
    return Used(*seconds, peak // 1024, anonymous // 1024)


def _cpu() -> float:
    """Processor time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(root: int) -> list[int]:
    """A process and all its descendants."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def _memory(pid: int) -> tuple[int, int]:
    """Resident and anonymous memory in kB."""
    try:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return 0, 0
    return tuple(int(lines.get(name, "0 kB").split()[0]) for name in ("VmRSS", "RssAnon"))  # type: ignore[return-value]


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(rows: int, text: int = TEXT) -> list[dict[str, Any]]:
    """Every stage on a corpus of so many traces."""
    found = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("SCALE_DIR")) as name:
        folder = Path(name)
        if "ingest" in STAGES:
            write_traces(folder / "traces.jsonl", rows, text)
        else:
            write_parts(folder / "corpus", rows, text)
        (folder / "mix.yaml").write_text(RECIPE)
        for stage in STAGES:
            if stage == "annotate":
                subprocess.run([sys.executable, "-m", "benchmarks.scale", str(folder / "corpus")], check=True)
                (folder / "traces.jsonl").unlink()
            before = size(folder)
            command = [sys.executable, "-m", "curation.cli", *COMMANDS[stage], "--corpus", "corpus"]
            used = measured(command, folder)
            line = {"benchmark": "scale", "rows": rows, "text": text, "stage": stage, **used._asdict()}
            line["written_mb"] = round((size(folder) - before) / 1e6, 1)
            found.append(line)
            print(json.dumps(line), flush=True)
    return found


def main() -> None:
    """Measure every size, keep the lines, and draw them."""
    OUT.parent.mkdir(exist_ok=True)
    for rows in ROWS:
        for line in measure(rows):
            with OUT.open("a") as file:
                file.write(json.dumps(line) + "\n")
    PLOT.write_text(draw([json.loads(line) for line in OUT.read_text().splitlines()]))


if __name__ == "__main__":
    write_annotations(Path(sys.argv[1]))
