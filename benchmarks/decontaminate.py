"""Decontamination at size: a corpus of made-up traces with planted evaluation prompts, against 2,000 benchmark rows.

Half of the plants are verbatim and half have a tenth of their words changed; they stand in prompts, reasoning and answers. The
benchmark's rows are sentences of 15 to 60 made-up words that share no text with the corpus.

    python -m benchmarks decontaminate        # DECON_TRACES=1000000
"""

import json
import os
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.ingest.benchmarks import Benchmark
from curation.overlap.decontaminate.stage import DecontaminateRecipe, run
from schemas.manifest import InputFile
from schemas.prompt import prompt_id

TRACES = int(os.environ.get("DECON_TRACES", "1000000"))
ROWS = 2000
PLANTS = 1000
"""Of each sort."""


def make_rows(chance: random.Random) -> list[str]:
    """The benchmark."""
    words = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(8000)
    ]
    return [" ".join(chance.choices(words, k=chance.randint(15, 60))) for _ in range(ROWS)]


def changed(text: str, chance: random.Random) -> str:
    """A copy with a tenth of its words replaced."""
    words = text.split()
    for place in chance.sample(range(len(words)), max(1, len(words) // 10)):
        words[place] = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=7))
    return " ".join(words)


def plant(corpus: Store, rows: list[str], chance: random.Random) -> dict[str, set[tuple[str, str]]]:
    """Add traces with copies; returns (id, row) of each sort."""
    planted: dict[str, set[tuple[str, str]]] = {"verbatim": set(), "changed": set()}
    prompts, traces = [], []
    for number in range(2 * PLANTS):
        sort = ("verbatim", "changed")[number % 2]
        target = chance.randrange(len(rows))
        copy = rows[target] if sort == "verbatim" else changed(rows[target], chance)
        texts = {
            "prompt": f"Question {number}",
            "reasoning": "Let me see. " * 40,
            "answer": "There it is. " * 20,
        }
        field = ("prompt", "reasoning", "answer")[number % 3]
        texts[field] = f"{texts[field]} {copy} {texts[field]}" if field != "prompt" else copy + f" {number}"
        key = prompt_id(texts["prompt"])
        prompts.append({"prompt_id": key, "text": texts["prompt"]})
        traces.append({"trace_id": f"planted-{number}", "prompt_id": key, "sample_index": 0, **texts})
        planted[sort].add((key if field == "prompt" else f"planted-{number}", f"row:{target}"))
    corpus.append_rows("prompts", prompts)
    corpus.append_rows("traces", traces)
    return planted


def measure(count: int = TRACES) -> dict[str, Any]:
    """Write the corpus, compare it, and look for the plants."""
    from benchmarks.mix import write_corpus

    chance = random.Random(5)
    rows = make_rows(chance)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "corpus"
        write_corpus(root, count)
        corpus = Store(root)
        planted = plant(corpus, rows, chance)
        names = [f"row:{number}" for number in range(len(rows))]
        benchmark = Benchmark("made-up", rows, names, InputFile(name="made-up", blake2b="0"))
        start = time.perf_counter()
        run(root, [benchmark], DecontaminateRecipe())
        seconds = time.perf_counter() - start
        hits = select(connect(corpus), "select distinct id, benchmark_row from contamination").to_pylist()
    found = {(hit["id"], hit["benchmark_row"]) for hit in hits}
    return {
        "traces": count + 2 * PLANTS,
        "benchmark_rows": ROWS,
        "seconds": round(seconds, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "found": {sort: round(len(there & found) / len(there), 4) for sort, there in planted.items()},
        "others_found": len(found - planted["verbatim"] - planted["changed"]),
    }


def main() -> None:
    """Print the figures as a JSON line."""
    print(json.dumps({"benchmark": "decontaminate", **measure()}))
