"""Adjudication, killed while disputes are sent, decided and fetched: nothing is lost on either side, nothing is there twice."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import _people, crash
from curation.corpus.store import Store
from curation.review import rounds
from curation.review.client import ArgillaServer, Client
from curation.review.planning import accounts, adjudication
from schemas.errors import ServerError

ADJUDICATE = next(stage for stage in crash.STAGES if stage.name == "adjudicate")


class Unreachable(Client):
    """A connection to a server that is gone."""

    def __init__(self) -> None:
        self.url = "http://gone"

    def request(self, method: str, path: str, **arguments: object) -> object:
        raise ServerError("gone")


def test_an_adjudication_killed_before_it_had_traces_is_taken_up_under_its_name(tmp_path: Path) -> None:
    crash.curate(tmp_path, "curate", "ingest", str(crash.SAMPLES / "traces.jsonl"), "--corpus", "small")
    crash.prepare_reviews(tmp_path)
    crash.curate(tmp_path, "curate", "review", "import", "reviews.jsonl", "--corpus", "small")
    corpus = Store(tmp_path / "small")
    before = set(corpus.parts("review_tasks"))
    for _ in "killed", "again":
        with pytest.raises(ServerError, match="gone"):
            adjudication.run(corpus.root, round="round-1", adjudicator="fay", client=Unreachable())
        (tasks,) = set(corpus.parts("review_tasks")) - before
        assert rounds.round_names(corpus) == ["round-1", "round-1-adjudication"]
        tasks.unlink()  # its settings are written before its tasks


@pytest.fixture
def adjudicator(server_home: Path) -> Iterator[None]:
    """One more account on the server, which other tests use as well, while a test runs."""
    accounts.add(server_home, [_people.ADJUDICATOR])
    yield
    accounts.remove(server_home, [_people.ADJUDICATOR])


@pytest.mark.slow
@pytest.mark.usefixtures("adjudicator")
def test_a_killed_adjudication_ends_like_an_undisturbed_one(target: ArgillaServer, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    (before / _people.SERVER).write_text(json.dumps(target._asdict()))
    crash.curate(before, "curate", "ingest", str(crash.SAMPLES / "traces.jsonl"), "--corpus", "small")
    crash.prepare_reviews(before)
    crash.curate(before, "curate", "review", "import", "reviews.jsonl", "--corpus", "small")
    shutil.copytree(before, after)
    crash.curate(after, *ADJUDICATE.command)
    assert len(json.loads((after / _people.DECIDED).read_text())) > 50
    found = crash.trials(ADJUDICATE, before, after, seconds=6, kills=3, chance=random.Random(6))
    crash.curate(after, *ADJUDICATE.before)
    assert found == []
