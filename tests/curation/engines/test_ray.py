"""Generating and judging as Ray Data jobs, on a cluster of two nodes on this machine."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from curation.annotate import stage as annotate
from curation.corpus.query import connect, open_tables, select
from curation.corpus.store import Store
from curation.generate.stage import GenerateRecipe, run
from tests.curation.chain_model import DECLINE, REFUSAL, START, WAVER
from tests.curation.models import add_prompts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed; run: pip install 'lrm-curate[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 100_000_000}
    nodes = Cluster(initialize_head=True, head_node_args=node)
    nodes.add_node(**node)
    ray.init(address=nodes.address, logging_level="ERROR", log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def recipe(model: Path, **settings: Any) -> GenerateRecipe:
    engine = {"kind": "ray", "model": str(model), "replicas": 2}
    return GenerateRecipe.model_validate(
        {"engine": engine, "sampling": {"max_new_tokens": 20, "temperature": 1.0}} | settings
    )


@pytest.fixture
def plain_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas on transformers: two vLLM engines take a minute to start on two cores."""
    monkeypatch.setattr("curation.engines.ray.INNER", "transformers")


def replicas(pids: set[int]) -> list[int]:
    """Process ids of the workers in which replicas run."""
    import psutil

    found = [process for process in psutil.process_iter(["pid", "cmdline"]) if process.info["cmdline"]]
    return [p.info["pid"] for p in found if "MapWorker" in p.info["cmdline"][0] and p.info["pid"] not in pids]


def test_a_ray_job_makes_every_planned_trace_once_on_two_nodes(
    cluster: Any, prompts: Store, r1_model: Path, plain_replicas: None
) -> None:
    settings = recipe(r1_model, samples=30)
    counts = run(prompts.root, settings).counts
    assert (counts.rows, counts.kept, counts.balance) == (120, 120, 0)
    rows = select(
        open_tables(prompts), "select distinct reasoning, answer from traces order by all"
    ).to_pylist()
    assert [row["reasoning"] for row in rows] == [START + DECLINE, START + WAVER + DECLINE]
    assert {row["answer"] for row in rows} == {REFUSAL.strip()}
    assert run(prompts.root, settings).counts == counts


def test_a_worker_killed_in_the_middle_loses_nothing(
    cluster: Any, corpus: Store, r1_model: Path, plain_replicas: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.engines.ray.BATCH", 8)
    monkeypatch.setattr("curation.generate.output.PART_ROWS", 8)
    add_prompts(corpus, [(f"How do I grow basil number {i}?", "benign") for i in range(100)])
    killed: list[int] = []
    before = set(replicas(set()))

    def kill() -> None:
        while not corpus.parts("traces"):
            time.sleep(0.02)
        for pid in replicas(before)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    counts = run(corpus.root, recipe(r1_model, samples=6)).counts
    thread.join()
    assert killed
    assert (counts.rows, counts.kept, counts.failed) == (600, 600, {})
    assert select(open_tables(corpus), "select count(*) as n from traces").to_pylist() == [{"n": 600}]


def test_judging_on_ray_gives_the_same_annotations(cluster: Any, prompts: Store, r1_model: Path) -> None:
    here_made = {
        "engine": {"kind": "transformers", "model": str(r1_model)}
    }  # who made the traces is not what is tested
    run(prompts.root, recipe(r1_model, samples=5, **here_made))
    here = Store.create(prompts.root.parent / "here")
    for table in ("prompts", "traces"):
        for part in prompts.parts(table):
            (here.root / table).mkdir(exist_ok=True)
            (here.root / table / part.name).write_bytes(part.read_bytes())
    counts = annotate.run(prompts.root, annotate.AnnotateRecipe(annotators=["rules"], ray_workers=2)).counts
    assert counts.balance == 0
    annotate.run(here.root, annotate.AnnotateRecipe(annotators=["rules"]))
    query = "select * from annotations order by trace_id, pattern, annotator"
    assert select(connect(prompts), query).equals(select(connect(here), query))
