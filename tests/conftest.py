"""Fixtures that several packages' tests use."""

from pathlib import Path

import pytest

from curation.corpus.store import Store

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not beside this checkout (see shared/data in CONTRIBUTING.md)")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "corpus")
