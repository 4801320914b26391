"""The attempts of an attack and their record on disk: an append-only file, so that a killed run goes on where it was.

Which attempts come next is decided from the record alone. The surprise: the budget is spent in a fixed order (every goal's first stream
first), so where a run was killed does not change on which goals the last attempts are spent.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from annotators.catalog import MODEL_FACTORIES
from curation.corpus.store import make_folder, write_file
from schemas.errors import RecipeError

RECORD, SETTINGS = "attempts.jsonl", "attack.json"
JUDGES = ("judges", "judge_model")
"""The settings that say who judges."""
SUCCESS = 0.5
"""A score from here on is a success."""


class AttemptPlace(NamedTuple):
    """Which attempt: the goal's prompt, the stream (an independent try) and the round in it."""

    goal: str
    stream: int
    round: int


class Attempt(NamedTuple):
    """One attempt."""

    place: AttemptPlace
    said: str
    """What the attacker wrote."""
    prompt: str | None
    """The prompt in it; null if there is none, so that the model was not asked."""
    judged: bool = False
    measure: str = ""
    """The title of the measure that tells success; the same in all attempts."""
    score: float | None = None
    """1 or 0, or a judge's score between them; null: nobody could judge the answer."""
    answer: str = ""
    """Of the attacked model."""

    @property
    def success(self) -> bool | None:
        """Whether it succeeded; null if nobody could judge it."""
        return None if self.score is None else self.score >= SUCCESS


def next_places(
    goals: Sequence[str],
    attempts: Mapping[AttemptPlace, Attempt],
    streams: int,
    depth: int,
    budget: int | None,
) -> list[AttemptPlace]:
    """The attempts that come next: those of the first round that lacks some; none when the attack is over.

    Args:
        goals: ids of the goals' prompts.
        attempts: those that were made.
        streams: independent tries of a goal.
        depth: rounds of a stream.
        budget: at most so many attempts; null: no limit.
    """
    left = streams * depth * len(goals) if budget is None else budget
    done: set[str] = set()
    for number in range(depth):
        wanted = [
            AttemptPlace(goal, stream, number)
            for stream in range(streams)
            for goal in goals
            if goal not in done
        ]
        wanted = wanted[:left]
        if missing := [place for place in wanted if place not in attempts]:
            return missing
        left -= len(wanted)
        done |= {place.goal for place in wanted if attempts[place].success}
    return []


class AttackRecord:
    """The attempts of an attack, on disk.

    Args:
        folder: of the attack.
        settings: what it depends on; an attack with others needs another folder.

    Raises:
        RecipeError: if the folder holds an attack with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        self._path = folder / RECORD
        path, told = (
            folder / SETTINGS,
            orjson.dumps(settings, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2),
        )
        if path.is_file() and path.read_bytes() != told:
            raise RecipeError(f"{folder}: {_told_apart(orjson.loads(path.read_bytes()), settings)}")
        make_folder(folder)
        write_file(path, told)
        self.attempts: dict[AttemptPlace, Attempt] = {}
        for line in self._path.read_bytes().splitlines(keepends=True) if self._path.is_file() else ():
            if line.endswith(b"\n"):  # the last line of a killed run may be half
                attempt = _read(line)
                self.attempts[attempt.place] = attempt
        self._rewrite()

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Add attempts, or what became of them."""
        lines = []
        for attempt in attempts:
            self.attempts[attempt.place] = attempt
            lines.append(_written(attempt))
        with self._path.open("ab") as file:
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Write every attempt once, in order."""
        self._rewrite()

    def _rewrite(self) -> None:
        write_file(self._path, b"".join(_written(self.attempts[place]) for place in sorted(self.attempts)))


def _told_apart(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What another attack was begun with, and what to do; where only the judges differ, how to choose those."""
    differ = {name for name in now.keys() | before.keys() if now.get(name) != before.get(name)}
    advice = "choose another --out"
    if differ <= {*JUDGES} and before.get("judges") and not _of_other_versions(before, now):
        advice += f", or judge it as it was begun, by {_judges(before)}, not by {_judges(now)}: {_options(before['judges'])}"
    return f"holds an attack with another {', '.join(sorted(differ))}; {advice}"


def _judges(settings: Mapping[str, Any]) -> str:
    model = settings.get("judge_model")
    return " and ".join(settings["judges"]) + (f" with {model}" if model else "")


def _of_other_versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a judge of both has another version, which nobody can choose."""
    first, second = ({name.partition("@")[0]: name for name in one["judges"]} for one in (before, now))
    return any(first[name] != second[name] for name in first.keys() & second.keys())


def _options(judges: Sequence[str]) -> str:
    """The options that choose judges; what their names do not tell is in capitals."""
    families = {name: name.partition("@")[0].partition(":")[0] for name in judges}
    plain = [_given(name) for name, family in families.items() if family not in MODEL_FACTORIES]
    asked = [_given(name) for name, family in families.items() if family in MODEL_FACTORIES]
    told = [f"--annotators {','.join(plain)}"] if plain else []
    return " ".join([*told, *([f"--judge {','.join(asked)} --judge-model MODEL"] if asked else [])])


def _given(judge: str) -> str:
    """A judge as an option names it: without its version and its model, and one of own training by its folder."""
    family, _, variant = judge.partition("@")[0].partition(":")
    own = variant.startswith("own-") or family == "safety_classifier"
    return f"{family}:FOLDER" if own else judge.partition("@")[0].partition("+")[0]


def _written(attempt: Attempt) -> bytes:
    row = attempt._asdict()
    return orjson.dumps(row.pop("place")._asdict() | row, option=orjson.OPT_APPEND_NEWLINE)


def _read(line: bytes) -> Attempt:
    row = orjson.loads(line)
    return Attempt(AttemptPlace(row.pop("goal"), row.pop("stream"), row.pop("round")), **row)
