"""Which prompts of an evaluation corpus each suite asks."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from curation import console
from curation.corpus.bounds import bounded
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, open_tables, select
from curation.corpus.store import Store
from curation.corpus.untrusted import check_expression
from schemas.errors import DataError, RecipeError
from sft.scoring.asking import Asking
from sft.scoring.joint.prompts import paired_prompts
from sft.scoring.prefill.prompts import beginning, risky_reasonings
from sft.scoring.suite_files import EVERY, ChosenSuite, SuiteFile

PLAIN_SET = "-plain"
"""Ends the name of the set of a joint suite's plain questions."""
SOME = 10
"""Of more suites than this, those without prompts are not told one by one."""


class AskedSuite(NamedTuple):
    """A suite with its prompts."""

    suite: SuiteFile
    asking: Asking
    prompts: list[dict[str, Any]]
    """Rows of the prompts table."""
    questions: Mapping[str, str] = MappingProxyType({})
    """In joint suites: the prompt of an attack -> the same question asked plainly, which is among the prompts too."""
    reasonings: Mapping[str, str] = MappingProxyType({})
    """In suites with prefills: the prompt -> the reasoning that its reply begins with."""

    @property
    def ways(self) -> list["AskedWay"]:
        """How the prompts are asked: once as they are, or with a beginning of each length."""
        if self.suite.prefill is None:
            return [AskedWay(None, self.asking, self.prompts)]
        return [self._way(words) for words in self.suite.prefill.words]

    def _way(self, words: int) -> "AskedWay":
        begun = {
            key: text
            for key, whole in self.reasonings.items()
            if (text := beginning(whole, words)) is not None
        }
        prompts = [row for row in self.prompts if row["prompt_id"] in begun]
        return AskedWay(
            f"{words} words" if words else None,
            self.asking._replace(prefixes=begun) if words else self.asking,
            prompts,
        )


class AskedWay(NamedTuple):
    """Some prompts and how they are asked."""

    attack: str | None
    """What the way is called in the table; null: the plain one."""
    asking: Asking
    prompts: list[dict[str, Any]]


def load_prompts(corpus: Store, suites: Sequence[ChosenSuite], limit: int | None = None) -> list[AskedSuite]:
    """The suites that a corpus has prompts for.

    Raises:
        DataError: if there are none for any.
        RecipeError: if a condition is none.
    """
    plain = all(one.suite.where == EVERY and one.suite.prefill is None for one in suites)
    connection = open_tables(corpus) if plain else connect(corpus)
    found = [_found(connection, one, limit) for one in suites]
    named = {row["prompt_id"] for one in found if not one.suite.remaining for row in one.prompts}
    asked = [
        one._replace(prompts=[row for row in one.prompts if row["prompt_id"] not in named][:limit])
        if one.suite.remaining
        else one
        for one in found
    ]
    empty = [one.suite for one in asked if not one.prompts]
    if len(empty) == len(asked) and empty[0].prefill:
        raise DataError(
            f"{corpus.root}: no trace has a risky reasoning for a prompt of {empty[0].name}: none is {empty[0].prefill.where}; "
            f"add traces of these prompts with curate ingest, and label them with curate annotate --corpus {corpus.root}"
        )
    if len(empty) == len(asked):
        told = ", ".join(f"{suite.name} ({' or '.join(suite.sets or suite.kinds)})" for suite in empty)
        raise DataError(
            f"{corpus.root}: no prompts for {told}; add some with: {_adding(empty[0])} --corpus {corpus.root}"
        )
    if empty and len(suites) <= SOME:
        console.say(
            f"score: no prompts for {', '.join(suite.name for suite in empty)} in this corpus; skipped"
        )
    return [one for one in asked if one.prompts]


def _adding(suite: SuiteFile, ending: str = "") -> str:
    return (
        f"curate ingest --set {suite.sets[0]}{ending}"
        if suite.sets
        else f"curate ingest FILE --kind {suite.kinds[0]}"
    )


def _found(connection: Connection, chosen: ChosenSuite, limit: int | None) -> AskedSuite:
    suite, asking = chosen
    late = suite.remaining or suite.joint or suite.prefill
    rows = _prompts_of(connection, suite, None if late else limit)
    if suite.prefill:
        ids = [row["prompt_id"] for row in rows]
        begun = risky_reasonings(connection, ids, suite.prefill.where, suite.name)
        return AskedSuite(
            suite, asking, [row for row in rows if row["prompt_id"] in begun][:limit], reasonings=begun
        )
    if suite.joint is None:
        return AskedSuite(suite, asking, rows)
    prompts, questions, alone = paired_prompts(connection, suite.sets, rows, limit)
    if alone:
        console.say(
            f"score: {suite.name}: {alone} attacks are left out: the question inside is unknown, or no prompt of the corpus; "
            f"add it with: {_adding(suite, PLAIN_SET)}"
        )
    return AskedSuite(suite, asking, prompts, questions)


def _prompts_of(connection: Connection, suite: SuiteFile, limit: int | None) -> list[dict[str, Any]]:
    try:
        check_expression(connection, suite.where)
        values = {
            "kinds": list(suite.kinds),
            "sets": list(suite.sets),
            "limit": 2**62 if limit is None else limit,
        }
        rows = bounded(
            connection,
            lambda: select(connection, sql_file("sft.scoring", "prompts.sql", where=suite.where), values),
        )
    except RecipeError as error:
        raise RecipeError(f"suite {suite.name}: where: {error}") from error
    return list(rows.to_pylist())
