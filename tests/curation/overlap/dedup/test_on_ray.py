"""Dedup with its texts read by Ray, on nodes that come and go: the clusters are those of one machine."""

import os
import random
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.overlap.dedup import stage as dedup
from curation.overlap.dedup.stage import DedupRecipe
from schemas import content_id, prompt_id
from schemas.errors import CorpusError

pytestmark = pytest.mark.slow
NODE = {"num_cpus": 2, "object_store_memory": 100_000_000}
PARTS = 10
WORDS = [f"word{n}" for n in range(2000)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed; run: pip install 'lrm-curate[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 1})
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Store, Store]:
    """Two equal corpora of many parts, with copies in other parts and a template around half of the prompts."""
    rng = random.Random(1)
    texts = [" ".join(rng.choices(WORDS, k=80)) for _ in range(100 * PARTS)]
    for n in range(0, len(texts), 10):
        texts[n] = texts[n // 2 + 1] + " " + rng.choice(WORDS)
    template = " ".join(rng.choices(WORDS, k=40))
    found = []
    for name in ("here", "there"):
        corpus = Store.create(tmp_path / name)
        for start in range(0, len(texts), 100):
            rows = [(f"{template if n % 2 else ''} {text[:90]}", text) for n, text in enumerate(texts[start : start + 100], start)]  # fmt: skip
            corpus.append_rows("prompts", [{"prompt_id": prompt_id(p), "text": p} for p in dict.fromkeys(p for p, _ in rows)])  # fmt: skip
            corpus.append_rows("traces", [
                {"trace_id": content_id([start, n]), "prompt_id": prompt_id(p), "prompt": p, "reasoning": r, "answer": "", "sample_index": 0}
                for n, (p, r) in enumerate(rows)
            ])  # fmt: skip
        found.append(corpus)
    return found[0], found[1]


def clusters(corpus: Store) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in corpus.parts("clusters")}


def test_the_clusters_are_those_of_one_machine_though_nodes_die_and_come(
    nodes: Any, pair: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import cluster

    here, there = pair
    doomed = nodes.add_node(**NODE)
    done: list[str] = []
    original = cluster.part_by_part

    def disturbed(*arguments: Any) -> Iterator[Any]:
        for made in original(*arguments):
            done.append("part")
            if len(done) == PARTS + 3:
                nodes.remove_node(doomed, allow_graceful=False)
                done.append("killed")
            if len(done) == 2 * PARTS:
                nodes.add_node(**NODE)
                done.append("added")
            yield made

    monkeypatch.setattr(cluster, "part_by_part", disturbed)
    manifest = dedup.run(there.root, DedupRecipe(ray_workers=3))
    assert {"killed", "added"} < set(done)
    assert dedup.run(here.root, DedupRecipe()) == manifest
    assert clusters(here) == clusters(there)
    assert manifest.counts.balance == 0
    assert manifest.summary["response by near"]["duplicates"] >= 50  # type: ignore[index]


def test_a_part_that_is_gone_is_named_by_the_workers_too(nodes: Any, tmp_path: Path) -> None:
    from curation.overlap.dedup.on_ray import make_on_ray
    from curation.overlap.dedup.texts import Work

    with pytest.raises(CorpusError, match=r"part-no\.parquet.*deleted while it was wanted"):
        list(make_on_ray([tmp_path / "part-no.parquet"], Work("response", "near"), [], 1))  # type: ignore[arg-type]
