"""Reviewing at size: the embedded server's start, push, pull, search and memory at 840 and at 20,000 traces.

    python -m benchmarks review
    BENCH_REVIEW=840 python -m benchmarks review

Traces are made-up words (2,400 characters) with machine annotations, so every record has three suggestions and a vector.
One person answers 200 of them, half in one request at a time and half in bulk.
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curation.corpus.store import Store
from curation.review import dataset as datasets
from curation.review import pull, push
from curation.review.client import Client, embedded_target
from curation.review.rounds import RoundRecipe
from curation.review.server import credentials, environment, process
from schemas import RISKY_PATTERNS

SIZES = [int(size) for size in os.environ.get("BENCH_REVIEW", "840,20000").split(",")]
CHARACTERS = 2400
ANSWERS = 200
REPEATS = 7


def main() -> None:
    """Print the figures of docs/review.md."""
    environment.ensure()
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            measure(size, Path(folder))


def measure(size: int, folder: Path) -> None:
    """Start a server, and push, answer, pull and search a round of `size` traces."""
    home = folder / "home"
    tell(size, "ready, first start", timed(lambda: process.start(home, 0, ["ann"])), "s")
    process.stop(home)
    tell(size, "ready, second start", timed(lambda: process.start(home, 0)), "s")
    try:
        tell(size, "server memory at rest", resident(home), "MiB")
        client = Client(embedded_target(home))
        client.ensure_reviewers(credentials.load(home).reviewers)
        corpus = write_corpus(folder / "corpus", size)
        recipe = RoundRecipe(name="bench", traces=size, blind=0, overlap=1)
        tell(size, "push", size / timed(lambda: push.run(corpus.root, recipe, client=client)), "traces/s")
        tell(
            size, "push again", size / timed(lambda: push.run(corpus.root, recipe, client=client)), "traces/s"
        )
        answer(client)
        tell(
            size,
            "pull",
            size / timed(lambda: pull.run(corpus.root, round="bench", client=client)),
            "traces/s",
        )
        tell(
            size,
            "pull again",
            size / timed(lambda: pull.run(corpus.root, round="bench", client=client)),
            "traces/s",
        )
        search(size, client)
        tell(size, "server memory at the end", resident(home), "MiB")
    finally:
        process.stop(home)


def write_corpus(root: Path, size: int) -> Store:
    """Made-up traces; each annotated true for one or two patterns with evidence."""
    dice = random.Random(0)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 9))) for _ in range(20_000)]
    corpus = Store.create(root)
    for start in range(0, size, 5000):
        traces, annotations = [], []
        for n in range(start, min(size, start + 5000)):
            text = " ".join(dice.choices(words, k=CHARACTERS // 6))[:CHARACTERS]
            traces.append({
                "trace_id": f"t{n:06}", "prompt_id": f"p{n:06}", "prompt": text[:80], "reasoning": text, "answer": text[-300:],
                "strategy": dice.choice(["default", "improved"]), "model": "m@1", "sample_index": 0,
            })  # fmt: skip
            true = dice.sample(RISKY_PATTERNS, dice.randint(0, 2))
            annotations += [
                {"trace_id": f"t{n:06}", "pattern": name, "annotator": "rules@1", "label": name in true,
                 "score": round(dice.uniform(0.5, 1) if name in true else dice.uniform(0, 0.5), 2),
                 "spans": [{"field": "reasoning", "start": 100, "end": 160}] if name in true else []}
                for name in RISKY_PATTERNS
            ]  # fmt: skip
        corpus.append_rows("traces", traces)
        corpus.append_rows("annotations", annotations)
    return corpus


def answer(client: Client) -> None:
    """One person answers as the page does."""
    import httpx

    key = next(
        user["api_key"] for user in client.request("GET", "users")["items"] if user["username"] == "ann"
    )
    person = httpx.Client(base_url=f"{client.url}/api/v1", headers={"X-Argilla-Api-Key": key}, timeout=60)
    dataset = datasets.find(client, "bench")
    assert dataset is not None
    records = client.request("GET", f"datasets/{dataset.id}/records", params={"limit": ANSWERS})["items"]
    values = {"patterns": {"value": ["none"]}, "verdict": {"value": "keep"}}

    def one_by_one() -> None:
        for record in records:
            body = {"values": values, "status": "submitted"}
            person.post(f"/records/{record['id']}/responses", json=body).raise_for_status()

    tell(len(records), "answers", len(records) / timed(one_by_one), "answers/s")


def search(size: int, client: Client) -> None:
    """The median time of what the page asks for, 25 records at a time."""
    dataset = datasets.find(client, "bench")
    assert dataset is not None
    path = f"datasets/{dataset.id}/records/search"
    first = client.request("GET", f"datasets/{dataset.id}/records", params={"limit": 1})["items"][0]
    rare = first["fields"]["prompt"].split()[1]
    label = {"entity": "suggestion", "question": "patterns", "property": "value"}
    score = {"entity": "suggestion", "question": "patterns", "property": "score"}
    strategy = {"entity": "metadata", "metadata_property": "strategy"}
    asked: dict[str, dict[str, Any]] = {
        "no filter": {},
        "metadata filter": {
            "filters": {"type": "and", "and": [{"type": "terms", "scope": strategy, "values": ["improved"]}]}
        },
        "suggested label": {
            "filters": {
                "type": "and",
                "and": [{"type": "terms", "scope": label, "values": ["weak_vacillation"]}],
            }
        },
        "sort by score": {"sort": [{"scope": score, "order": "desc"}]},
        "a rare word": {"query": {"text": {"q": rare}}},
        "find similar": {"query": {"vector": {"name": "wording", "record_id": first["id"]}}},
    }
    for name, body in asked.items():
        times = [
            timed(lambda b=body: client.request("POST", path, json=b, params={"limit": 25}))
            for _ in range(REPEATS)
        ]  # type: ignore[misc]
        tell(size, f"search, {name}", 1000 * statistics.median(times), "ms")


def timed(work: Callable[[], Any]) -> float:
    """Seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def resident(home: Path) -> float:
    """The server's resident memory in MiB."""
    server = process.running(home)
    assert server is not None
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tell(size: int, what: str, value: float, unit: str) -> None:
    """One figure."""
    print(f"{size:>7,}  {what:28} {value:10.1f} {unit}", flush=True)


if __name__ == "__main__":
    main()
