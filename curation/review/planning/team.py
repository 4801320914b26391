"""A round's people and their traces, kept with the round: no later push lets anybody else in."""

import json
from pathlib import Path
from typing import NamedTuple

from curation.corpus.store import Store, write_file
from curation.review.planning.assignment import Plan
from schemas.errors import CorpusError
from schemas.ids import canonical_json


class Team(NamedTuple):
    """Who reviews a round, and which traces each."""

    reviewers: tuple[str, ...]
    assigned: Plan
    """Empty for a round that was pushed before there were plans: there everybody may review everything."""


def load(corpus: Store, name: str) -> Team | None:
    """The team of a round; null if it has none yet.

    Raises:
        CorpusError: if its file is damaged.
    """
    path = _path(corpus, name)
    if not path.exists():
        return None
    try:
        known = json.loads(path.read_bytes())
        assigned = {trace: tuple(people) for trace, people in known["assigned"].items()}
        return Team(tuple(known["reviewers"]), assigned)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"{path}: damaged ({error}); restore it from a copy") from error


def save(corpus: Store, name: str, team: Team) -> None:
    """Keep a round's team; the caller holds the lock of `review_tasks`."""
    write_file(_path(corpus, name), canonical_json(team._asdict()) + b"\n")


def _path(corpus: Store, name: str) -> Path:
    return corpus.root / "rounds" / f"{name}.team.json"
