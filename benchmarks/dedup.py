"""Near-duplicates against datasketch, with planted copies.

Texts of some 300 words; every tenth is a copy of an earlier one in which words were changed until a Jaccard similarity of 0.8 over runs
of five words is left. Both look for pairs at 0.7, datasketch with its own MinHash and LSH (120 permutations) over the same word
runs; recall is the share of the planted pairs that end in one cluster. Then the whole command on 1,000,000 traces.

    python -m benchmarks dedup               # DEDUP_TEXTS=100000, DEDUP_OTHER=20000 (datasketch), DEDUP_CORPUS=1000000
"""

import json
import os
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curation.corpus.store import write_parquet
from curation.overlap.dedup import sketches
from curation.overlap.dedup.clustering import cluster, rank
from curation.overlap.dedup.stage import DedupRecipe, run
from curation.overlap.dedup.texts import RUN, Work, make
from curation.overlap.words import plain_words

TEXTS = int(os.environ.get("DEDUP_TEXTS", "100000"))
OTHER = int(os.environ.get("DEDUP_OTHER", "20000"))
CORPUS = int(os.environ.get("DEDUP_CORPUS", "1000000"))
WORDS = 300
JACCARD = 0.8
THRESHOLD = 0.7
WORK = Work("response", "near")
N = RUN[WORK.field]
PLANTED = 10
"""Every so many texts one is a copy."""


class Timed(NamedTuple):
    """Clusters, and how long they took."""

    labels: "np.ndarray[Any, Any]"
    seconds: float


def make_texts(count: int, seed: int = 0) -> tuple[list[str], list[tuple[int, int]]]:
    """Texts of made-up words, and the planted pairs among them."""
    chance = random.Random(seed)
    vocabulary = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(20_000)
    ]
    texts: list[str] = []
    pairs = []
    for number in range(count):
        if number % PLANTED == PLANTED - 1:
            original = chance.randrange(number)
            texts.append(changed(texts[original], vocabulary, chance))
            pairs.append((original, number))
        else:
            texts.append(" ".join(chance.choices(vocabulary, k=WORDS)))
    return texts, pairs


def changed(text: str, vocabulary: list[str], chance: random.Random) -> str:
    """A copy with so many words replaced that a Jaccard similarity of about JACCARD is left: each kills N runs of it."""
    words = text.split()
    runs = len(words) - N + 1
    kept = 2 * JACCARD / (1 + JACCARD)  # of a's runs, where both texts have equally many
    for place in chance.sample(range(N, len(words) - N), round(runs * (1 - kept) / N)):
        words[place] = chance.choice(vocabulary)
    return " ".join(words)


def similarity(a: str, b: str) -> float:
    """Exact Jaccard similarity over runs of N words."""
    left, right = ({tuple(w[i : i + N]) for i in range(len(w) - N + 1)} for w in (a.split(), b.split()))
    return len(left & right) / len(left | right)


def write_part(texts: list[str], folder: Path) -> Path:
    """The texts as a part of the traces; their ids are in the order of their numbers."""
    rows = {"trace_id": [f"{number:012d}" for number in range(len(texts))], "reasoning": texts}
    part = folder / f"part-{len(texts)}.parquet"
    write_parquet(part, pa.table(rows | {"answer": [""] * len(texts)}))
    return part


def ours(part: Path) -> "np.ndarray[Any, Any]":
    """Cluster as the command does, from the part to the clusters."""
    ranked = rank([part], WORK.id_column, None)
    made = make([part], WORK, np.zeros(0, np.int64))
    found = cluster(ranked, made, sketches.BANDS, THRESHOLD, None)
    return np.concatenate([piece.representatives for piece in found.pieces()]).astype(np.int64)


def ours_timed(texts: list[str]) -> Timed:
    """`ours` on texts that are on disk before the clock starts."""
    with tempfile.TemporaryDirectory() as folder:
        part = write_part(texts, Path(folder))
        start = time.perf_counter()
        return Timed(ours(part), round(time.perf_counter() - start, 2))


def datasketch(texts: list[str]) -> "np.ndarray[Any, Any]":
    """Cluster with datasketch: MinHash of the same runs, LSH, and its own estimate where texts meet."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=sketches.NUMBERS)
    labels = np.arange(len(texts))
    made: list[Any] = []
    for number, text in enumerate(texts):
        words = plain_words(text)
        minhash = MinHash(num_perm=sketches.NUMBERS)
        minhash.update_batch([" ".join(words[i : i + N]).encode() for i in range(len(words) - N + 1)])
        for other in lsh.query(minhash):
            if minhash.jaccard(made[other]) >= THRESHOLD:
                sketches.link(labels, np.array([other]), np.array([number]))
        lsh.insert(number, minhash)
        made.append(minhash)
    return sketches.roots(labels, np.arange(len(labels)))


def recall(labels: "np.ndarray[Any, Any]", pairs: list[tuple[int, int]]) -> float:
    """Share of the planted pairs that are in one cluster."""
    return float(np.mean([labels[a] == labels[b] for a, b in pairs]))


def precision(labels: "np.ndarray[Any, Any]", pairs: list[tuple[int, int]]) -> float:
    """Share of the texts found to be duplicates that belong where they were put."""
    left, right = np.array(pairs).T
    everything = np.arange(len(labels))
    truth = everything.copy()
    sketches.link(truth, left, right)
    truth = sketches.roots(truth, everything)
    duplicates = np.flatnonzero(labels != everything)
    return float(np.mean(truth[duplicates] == truth[labels[duplicates]]))


def measure(texts: int = TEXTS, other: int = OTHER, corpus: int = CORPUS) -> dict[str, Any]:
    """Both on the same texts, ours on more, then the command on a corpus."""
    made, pairs = make_texts(texts)
    few = [pair for pair in pairs if pair[1] < other]
    found: dict[str, Any] = {
        "texts": texts,
        "mean_jaccard": round(float(np.mean([similarity(made[a], made[b]) for a, b in pairs[:500]])), 3),
    }
    ours_timed(made[:200])  # loads what both load once
    labels, seconds = ours_timed(made[:other])
    found["ours_same"] = {"texts": other, "seconds": seconds, "recall": recall(labels, few)}
    start = time.perf_counter()
    labels = datasketch(made[:other])
    found["datasketch"] = {
        "texts": other,
        "seconds": round(time.perf_counter() - start, 2),
        "recall": recall(labels, few),
    }
    labels, seconds = ours_timed(made)
    found["ours"] = {"texts": texts, "seconds": seconds, "recall": recall(labels, pairs)}
    found["precision"] = precision(labels, pairs)
    found["ratio"] = round(found["datasketch"]["seconds"] / found["ours_same"]["seconds"], 1)
    del made, labels
    if corpus:
        found["command"] = command(corpus)
    return found


def command(traces: int) -> dict[str, Any]:
    """`curate dedup --methods exact,near` on a corpus of so many traces."""
    from benchmarks.mix import write_corpus

    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder) / "corpus", traces)
        start = time.perf_counter()
        counts = run(Path(folder) / "corpus", DedupRecipe()).counts
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return {"traces": counts.rows, "seconds": round(time.perf_counter() - start, 1), "peak_mb": peak}


def main() -> None:
    """Print the figures as a JSON line and as a sentence."""
    found = measure()
    print(json.dumps({"benchmark": "dedup", **found}))
    print(f"near-duplicates: {found['ratio']} times as fast as datasketch on {OTHER} texts (target: 20); recall "
          f"{found['ours']['recall']:.3f} on {TEXTS} texts (target: 0.95), datasketch {found['datasketch']['recall']:.3f}")  # fmt: skip
