"""Mixes at size: build the study mix from a large corpus, against `datasets`, pandas and polars doing the same work.

    python -m benchmarks mix                                    # 100,000 traces, 500,000 annotations
    BENCH_TRACES=1000000 python -m benchmarks mix               # the figures of docs/performance.md
    BENCH_TRACES=10000000 BENCH_OTHERS=no python -m benchmarks mix

Each contender runs in a process of its own on the same Parquet parts, one after the other: wall time, peak resident memory and the peak
of its anonymous part (`datasets` maps files into memory, which is resident but can be dropped). The same work is: the
consensus of the annotations, risky or not per trace, 1,000 safety rows and 100 benign rows within 4,096 tokens, drawn
by a seed, and their text written out.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TRACES = int(os.environ.get("BENCH_TRACES", "100000"))
TEXT = int(os.environ.get("BENCH_TEXT", "2400"))
OTHERS = os.environ.get("BENCH_OTHERS", "yes") == "yes"
CHUNK = 65_532  # divisible by six: a prompt never stands in two parts
STRATEGIES = ("default", "improved", "nocot", "realsafe", "short", "template")
SEED = "42"
RECIPE = """name: study-mix
max_tokens: 4096
parts:
  safety: {where: "kind = 'harmful' and strategy = 'improved' and not risky", take: 1000}
  benign: {where: "kind = 'benign' and not coalesce(inconsistency, false)", take: 100}
"""


def write_corpus(root: Path, traces: int, text: int = TEXT) -> None:
    """A corpus of made-up words: six traces a prompt, five annotations a trace, `text` characters a trace."""
    from curation.corpus.store import Store

    corpus = Store.create(root)
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    story = " ".join(rng.choices(words, k=1_000_000))
    for start in range(0, traces, CHUNK):
        _write_chunk(corpus, range(start, min(start + CHUNK, traces)), story, text, rng)


def _write_chunk(corpus: Any, numbers: range, story: str, text: int, rng: random.Random) -> None:
    import numpy as np
    import pyarrow as pa

    from schemas import RISKY_PATTERNS
    from schemas.ids import bytes_id
    from schemas.tables import ANNOTATIONS, PROMPTS, TRACES

    def slices(length: int, n: int) -> list[str]:
        return [story[a : a + length] for a in rng.choices(range(len(story) - length), k=n)]

    def table(schema: pa.Schema, n: int, **columns: Any) -> pa.Table:
        arrays = [
            pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(n, f.type) for f in schema
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    n = len(numbers)
    ids = [bytes_id(b"t%d" % number) for number in numbers]
    families = [number // 6 for number in numbers]
    prompt_of = {f: bytes_id(b"p%d" % f) for f in dict.fromkeys(families)}
    prompt_text = dict(zip(prompt_of, slices(150, len(prompt_of)), strict=True))
    kinds = {f: ("harmful", "harmful", "harmful", "benign", "math")[f % 5] for f in prompt_of}
    corpus.append("prompts", table(
        PROMPTS, len(prompt_of), prompt_id=list(prompt_of.values()), text=list(prompt_text.values()),
        kind=list(kinds.values()), source=["made-up"] * len(prompt_of), category=[f"topic {f % 8}" for f in prompt_of],
    ))  # fmt: skip
    corpus.append("traces", table(
        TRACES, n, trace_id=ids, prompt_id=[prompt_of[f] for f in families], prompt=[prompt_text[f] for f in families],
        kind=[kinds[f] for f in families], strategy=[STRATEGIES[number % 6] for number in numbers], model=["m@1"] * n,
        reasoning=slices(text * 5 // 8, n), answer=slices(text * 5 // 16, n), sample_index=np.zeros(n, np.int32),
        source=["made-up"] * n, source_file=["made-up.jsonl"] * n, source_line=list(numbers), source_id=ids,
    ))  # fmt: skip
    k = len(RISKY_PATTERNS)
    labels = np.random.default_rng(numbers.start).random(n * k) < 0.2
    corpus.append("annotations", table(
        ANNOTATIONS, n * k, trace_id=np.repeat(np.array(ids), k), pattern=list(RISKY_PATTERNS) * n,
        annotator=["rules@1"] * (n * k), label=labels, score=labels.astype(np.float32),
    ))  # fmt: skip


def curate(corpus: Path, out: Path) -> None:
    """The contender of this project: the command."""
    from curation.cli import app

    recipe = out.parent / "mix.yaml"
    recipe.write_text(RECIPE)
    app(["build-mix", str(recipe), "--corpus", str(corpus), "--out", str(out)], standalone_mode=False)


def scan(corpus: Path, out: Path) -> None:
    """The floor: read the columns that the work needs, and do nothing with them."""
    import pyarrow.dataset as ds

    def read(table: str, columns: list[str]) -> None:
        for _ in ds.dataset(corpus / table).scanner(columns=columns).to_batches():
            pass

    read("annotations", ["trace_id", "pattern", "annotator", "label", "score"])
    read(
        "traces",
        ["trace_id", "prompt_id", "kind", "strategy", "prompt_tokens", "reasoning_tokens", "answer_tokens"],
    )
    read("traces", ["prompt", "reasoning", "answer"])
    read("prompts", ["prompt_id", "category"])


def scan_narrow(corpus: Path, out: Path) -> None:
    """The floor without the text: what a second build of a mix has to look at."""
    import pyarrow.dataset as ds

    for batch in (
        ds.dataset(corpus / "annotations").scanner(columns=["trace_id", "pattern", "label"]).to_batches()
    ):
        del batch
    for batch in (
        ds.dataset(corpus / "traces")
        .scanner(columns=["trace_id", "prompt_id", "kind", "strategy"])
        .to_batches()
    ):
        del batch


def hf_datasets(corpus: Path, out: Path) -> None:
    """Hugging Face `datasets`: filter, shuffle, select, interleave."""
    import datasets

    datasets.disable_progress_bars()

    def load(table: str, columns: list[str]) -> Any:
        files = sorted(map(str, (corpus / table).glob("part-*.parquet")))
        cache = str(out.parent / "hf-cache")
        return datasets.load_dataset(
            "parquet", data_files=files, columns=columns, cache_dir=cache, split="train"
        )

    risky, inconsistent = set(), set()
    for batch in load("annotations", ["trace_id", "pattern", "label"]).iter(10_000):
        for trace_id, pattern, label in zip(batch["trace_id"], batch["pattern"], batch["label"], strict=True):
            if label:
                risky.add(trace_id)
                if pattern == "inconsistency":
                    inconsistent.add(trace_id)
    traces = load("traces", ["trace_id", "prompt_id", "prompt", "kind", "strategy", "reasoning", "answer"])

    def short(row: dict[str, Any]) -> bool:
        return len((row["prompt"] + row["reasoning"] + row["answer"]).encode()) <= 4 * 4096

    def safety(row: dict[str, Any]) -> bool:
        return (
            row["kind"] == "harmful"
            and row["strategy"] == "improved"
            and row["trace_id"] not in risky
            and short(row)
        )

    def benign(row: dict[str, Any]) -> bool:
        return row["kind"] == "benign" and row["trace_id"] not in inconsistent and short(row)

    parts = [
        traces.filter(keep).shuffle(seed=42).select(range(n)) for keep, n in ((safety, 1000), (benign, 100))
    ]
    mixed = datasets.interleave_datasets(
        parts, probabilities=[0.91, 0.09], seed=42, stopping_strategy="all_exhausted"
    )
    mixed.to_parquet(str(out) + ".parquet")


def pandas(corpus: Path, out: Path) -> None:
    """pandas: read the columns needed, pivot the annotations, merge, filter, sample."""
    import pandas as pd

    notes = pd.read_parquet(corpus / "annotations", columns=["trace_id", "pattern", "label"])
    verdicts = notes.pivot_table(index="trace_id", columns="pattern", values="label", aggfunc="max")
    verdicts["risky"] = verdicts.any(axis=1)
    traces = pd.read_parquet(
        corpus / "traces",
        columns=["trace_id", "prompt_id", "prompt", "kind", "strategy", "reasoning", "answer"],
    )
    bytes_ = traces["prompt"].str.len() + traces["reasoning"].str.len() + traces["answer"].str.len()
    traces = traces[bytes_ <= 4 * 4096].merge(
        verdicts[["risky", "inconsistency"]], left_on="trace_id", right_index=True
    )
    safety = traces[(traces.kind == "harmful") & (traces.strategy == "improved") & ~traces.risky.astype(bool)]
    benign = traces[(traces.kind == "benign") & ~traces.inconsistency.astype(bool)]
    mixed = pd.concat([safety.sample(1000, random_state=42), benign.sample(100, random_state=42)])
    mixed.sample(frac=1, random_state=42).to_parquet(str(out) + ".parquet")


def polars(corpus: Path, out: Path) -> None:
    """polars, lazy: one query that reads the columns needed, and draws by a hash of the id."""
    import polars as pl

    notes = pl.scan_parquet(corpus / "annotations" / "*.parquet").group_by("trace_id").agg(
        risky=pl.col("label").any(),
        inconsistency=pl.col("label").filter(pl.col("pattern") == "inconsistency").any(),
    )  # fmt: skip
    columns = ["trace_id", "prompt_id", "prompt", "kind", "strategy", "reasoning", "answer"]
    texts = [pl.col(name).str.len_bytes() for name in ("prompt", "reasoning", "answer")]
    traces = pl.scan_parquet(corpus / "traces" / "*.parquet").select(columns)
    usable = traces.filter(pl.sum_horizontal(texts) <= 4 * 4096).join(notes, on="trace_id")
    safety = usable.filter(
        (pl.col("kind") == "harmful") & (pl.col("strategy") == "improved") & ~pl.col("risky")
    )
    benign = usable.filter((pl.col("kind") == "benign") & ~pl.col("inconsistency"))
    parts = [
        rows.sort(pl.col("trace_id").hash(seed=42)).head(n) for rows, n in ((safety, 1000), (benign, 100))
    ]
    mixed = pl.concat(pl.collect_all(parts, engine="streaming"))
    mixed.sample(fraction=1, shuffle=True, seed=42).write_parquet(str(out) + ".parquet")


def index(corpus: Path, out: Path) -> None:
    """What `curate annotate` does at its end, so that a mix need not: it reads the texts of new parts once."""
    from curation.corpus.query import connect
    from curation.corpus.store import Store
    from curation.mix import narrow

    store = Store(corpus)
    narrow.refresh(connect(store), store)


CONTENDERS = {f.__name__: f for f in (curate, index, scan, scan_narrow, hf_datasets, pandas, polars)}
OPTIONAL = {"hf_datasets": "datasets", "pandas": "pandas", "polars": "polars"}
"""Contenders that are skipped where their package is not installed."""


def timed(name: str, corpus: Path, out: Path) -> dict[str, float]:
    """Run a contender in a process of its own; seconds of the work without the start of Python, and peak memory in MB."""
    command = [sys.executable, "-m", "benchmarks.mix", name, str(corpus), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    anonymous = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            anonymous = max(anonymous, int(lines.get("RssAnon", "0 kB").split()[0]))
        except OSError:
            pass
        time.sleep(0.02)
    if process.returncode:
        sys.exit(f"{name} failed with exit status {process.returncode}")
    assert process.stdout
    found = json.loads(process.stdout.read().splitlines()[-1])
    return {**found, "peak_anonymous_mb": anonymous // 1024}


def measure(traces: int = TRACES, others: bool = OTHERS) -> dict[str, Any]:
    """Build in turns: before any index, again, after `curate annotate` made the index, and the others."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, out = Path(folder) / "corpus", Path(folder) / "mix"
        write_corpus(corpus, traces)
        size = sum(path.stat().st_size for path in corpus.rglob("*.parquet"))
        found: dict[str, Any] = {"traces": traces, "annotations": 5 * traces, "corpus_mb": size // 1_000_000}
        timed("scan", corpus, out)  # warms the page cache
        for name in ("scan", "scan_narrow"):
            found[name] = timed(name, corpus, out)
        found["first"] = timed("curate", corpus, out)
        digest = (out / "manifest.json").read_bytes()
        found["again"] = timed("curate", corpus, out)
        shutil.rmtree(corpus / ".index")
        found["index"] = timed("index", corpus, out)
        found["annotated"] = timed("curate", corpus, out)
        found["identical"] = digest == (out / "manifest.json").read_bytes()
        shutil.rmtree(out)
        for name, package in OPTIONAL.items() if others else ():
            found[package] = (
                timed(name, corpus, out) if find_spec(package) else f"skipped: no package {package}"
            )
    return found


def main() -> None:
    """Print the figures as a JSON line and as sentences."""
    found = measure()
    print(json.dumps({"benchmark": "mix", **found}))
    print(f"build-mix of {found['traces']} traces, seconds; CPU seconds; peak MB (anonymous)")
    for name in ("scan", "index", "first", "again", "annotated", *OPTIONAL.values()):
        one = found.get(name)
        if isinstance(one, str):
            print(f"  {name}: {one}")
        elif one:
            ratios = ", ".join(
                f"{one[unit] / found['annotated'][unit]:.2f}"
                for unit in ("seconds", "cpu_seconds", "peak_mb")
            )
            print(f"  {name}: {one['seconds']}; {one['cpu_seconds']}; {one['peak_mb']} ({one['peak_anonymous_mb']}); "
                  f"{ratios} of a first build after `curate annotate`")  # fmt: skip


def contend(name: str, corpus: str, out: str) -> None:
    """One contender, in this process."""
    start, cpu = time.perf_counter(), time.process_time()
    CONTENDERS[name](Path(corpus), Path(out))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    status = Path("/proc/self/status").read_text()  # `getrusage` would count the parent's memory
    peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    print(json.dumps({"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "peak_mb": peak}))


if __name__ == "__main__":
    contend(*sys.argv[1:])
