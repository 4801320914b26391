"""Fixtures that several packages' tests use, and which tests one process runs when there are several (`make test`)."""

import os
from pathlib import Path

import pytest

from curation.corpus.store import Store

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # threads that wait for each other make a tiny model ten times slower

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {
    "vllm_engine": "vllm",
    "vllm_server": "vllm",
    "server_home": "review server",
    "cluster": "ray",
    "nodes": "ray",
}
"""Expensive fixtures, and the group of the tests that use them; any other test's group is its file."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A group of tests runs in one process, so that what it shares is made once; groups with slow tests begin first."""
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    slow = {groups[item] for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: groups[item] not in slow)


def _group(item: pytest.Item) -> str:
    shared = [GROUPS[name] for name in getattr(item, "fixturenames", ()) if name in GROUPS]
    return shared[0] if shared else item.nodeid.partition("::")[0]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not beside this checkout (see shared/data in CONTRIBUTING.md)")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "corpus")
