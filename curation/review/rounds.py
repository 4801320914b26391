"""A review round: its traces, the number of reviewers per trace, and the traces shown without suggestions.

A round is chosen once and stored in the corpus before it is pushed. Pushing it again sends the same traces, even if the queue has
changed; for other traces start another round.
"""

import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from curation.codebook import stored
from curation.corpus.bounds import bounded
from curation.corpus.filling import quoted, sql_file
from curation.corpus.query import Connection, connect, execute, open_tables
from curation.corpus.store import Store, write_file
from curation.corpus.untrusted import check_condition
from curation.recipe import Recipe
from curation.review import ledger
from curation.review.form.questions import FIVE, NONE, ReviewForm, form_of
from curation.review.planning import team as teams
from curation.review.planning.disputes import disputes, known
from curation.review.planning.team import Team
from curation.review.reviews import DECIDING
from schemas.choices import ReviewOrder
from schemas.codebooks import CODEBOOK_NAME
from schemas.errors import CorpusError, RecipeError
from schemas.ids import canonical_json, content_id

LOW_MARGIN = 0.4
"""A consensus score this near to 0.5 is worth a look: everything between 0.1 and 0.9."""
TEXT_BATCH = 100
GOLD, DISPUTE = "gold", "dispute"
"""Reasons of tasks that no queue chose."""


class RoundRecipe(Recipe):
    """The recipe of a round."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Also the name of its workspace and dataset."""
    traces: Annotated[int, Field(ge=1)] = 200
    """How many traces at most."""
    where: str | None = None
    """An SQL condition over `candidates` that its traces must meet."""
    audit: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share sampled from undisputed traces; more if too few are disputed or uncertain."""
    overlap: Annotated[int, Field(ge=1)] = 2
    """How many people review each trace."""
    blind: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share shown without suggestions, to measure their influence on people."""
    by: ReviewOrder = "disagreement"
    """What comes first: annotators that contradict each other, scores near one half, or traces unlike each other."""
    again: bool = False
    """Whether it may take traces that people have judged already."""
    gold: Annotated[int, Field(ge=0)] = 0
    """How many traces with known labels are mixed in, for everybody, to measure reviewers."""
    gold_from: str | None = None
    """A round whose reviews are the known labels; by default adjudicators' decisions, and what two or more people agree on."""
    adjudicates: str | None = None
    """The round whose disputes it decides."""
    codebook: Annotated[str | None, Field(pattern=CODEBOOK_NAME)] = None
    """The codebook whose entries it asks for; the five patterns by default."""
    seed: int = 42


class ReviewTask(NamedTuple):
    """A trace that a round shows."""

    trace_id: str
    reason: str
    """Why: "disagreement", "low margin", "diversity" or "audit"; "gold", or "dispute" where people disagree."""
    blind: bool
    gold: Mapping[str, bool] | None = None
    """Whether each entry with a known label is present, of a trace that is there to measure reviewers."""

    @property
    def row(self) -> dict[str, Any]:
        """As the table has it."""
        labels = self.gold or {}
        present, absent = ([name for name in labels if labels[name] is there] for there in (True, False))
        known = {"gold": present or [NONE], "gold_absent": absent}
        return self._asdict() | (dict.fromkeys(known) if self.gold is None else known)


class Round(NamedTuple):
    """A round of this corpus."""

    recipe: RoundRecipe
    tasks: list[ReviewTask]
    id: str | None = None
    """Tells it from another corpus's round of the same name; null for a round of an older version that was not pushed since."""
    team: Team | None = None
    """Null until it is pushed."""
    form: ReviewForm = FIVE
    """What it asks for."""

    def is_for(self, reviewer: str, trace_id: str) -> bool:
        """Whether somebody reviews a trace."""
        planned = self.team and self.team.assigned
        return not planned or reviewer in planned.get(trace_id, ())

    @property
    def role(self) -> str | None:
        """The role of whoever reviews it: "adjudicator", or null for reviewers."""
        return DECIDING if self.recipe.adjudicates else None


def choose(connection: Connection, recipe: RoundRecipe, form: ReviewForm = FIVE) -> list[ReviewTask]:
    """Pick the traces of a new round from the review queue.

    Args:
        connection: of the corpus.
        recipe: of the round.
        form: what it asks for.

    Raises:
        RecipeError: if `where` is wrong or nothing is left to review.
    """
    condition = recipe.where or "true"
    check_condition(connection, condition)
    settings = {
        "traces": recipe.traces,
        "audit": round(recipe.audit * recipe.traces),
        "margin": LOW_MARGIN,
        "seed": f"{recipe.seed}",
        "by": recipe.by,
        "again": recipe.again,
    }
    query = sql_file("curation.review", "queue.sql", patterns=_names(form.names), condition=condition)
    rows = bounded(connection, lambda: execute(connection, query, settings))
    if not rows:
        raise RecipeError(
            f'round "{recipe.name}": no trace of this corpus matches and waits for a review; relax --where'
        )
    return [ReviewTask(trace_id, reason, is_blind(trace_id, recipe)) for trace_id, reason in rows]


def _tasks(corpus: Store, recipe: RoundRecipe, form: ReviewForm) -> list[ReviewTask]:
    if recipe.adjudicates:
        return _disputed(corpus, recipe, form)
    tasks = choose(connect(corpus), recipe, form)
    chosen = {task.trace_id for task in tasks}
    reviews = ledger.load(corpus, form) if recipe.gold else []
    labels = known(reviews, f"gold:{recipe.seed}", apart=chosen, of_round=recipe.gold_from)
    if recipe.gold and not labels:
        raise RecipeError(
            f'round "{recipe.name}": no trace with known labels is left for --gold; known is what an adjudicator decided, what two or '
            "more people agree on, or the reviews of the round that --gold-from names"
        )
    gold = [
        ReviewTask(trace, GOLD, is_blind(trace, recipe), said)
        for trace, said in list(labels.items())[: recipe.gold]
    ]
    return mixed(tasks, gold)


def mixed(tasks: list[ReviewTask], gold: list[ReviewTask]) -> list[ReviewTask]:
    """Tasks with gold items at even distances among them."""
    every = (len(tasks) + len(gold)) / len(gold) if gold else 0.0
    together = list(tasks)
    for i, task in enumerate(gold):
        together.insert(int((i + 0.5) * every), task)
    return together


def _disputed(corpus: Store, recipe: RoundRecipe, form: ReviewForm) -> list[ReviewTask]:
    """What the adjudicated round disputes, except what was sent to an adjudicator of it already."""
    connection = open_tables(corpus)
    query = sql_file("curation.review", "adjudicated.sql")
    rows = execute(connection, query, {"round": recipe.adjudicates, "mine": recipe.name})
    found = disputes(ledger.load(corpus, form), [trace for (trace,) in rows])
    open_ones = [dispute for dispute in found if not dispute.decided]
    if not open_ones:
        raise RecipeError(
            f'round "{recipe.adjudicates}": no trace is disputed that was not sent to an adjudicator'
        )
    first = sorted(open_ones, key=lambda dispute: -len(dispute.patterns))
    return [ReviewTask(dispute.trace_id, DISPUTE, False) for dispute in first]


def is_blind(trace_id: str, recipe: RoundRecipe) -> bool:
    """Whether a round shows a trace without suggestions: decided by its id, so always the same."""
    dice = int(content_id(["blind", recipe.name, recipe.seed, trace_id])[:8], 16) / 0xFFFF_FFFF
    return dice < recipe.blind


def open_or_create(corpus: Store, recipe: RoundRecipe) -> Round:
    """The round of this name, made now if there is none.

    Raises:
        RecipeError: if there is one, and settings given now differ from its own.
    """
    path = _path(corpus, recipe.name)
    with corpus.writing("review_tasks"):
        if not path.exists():
            form = form_of(stored.known(corpus), recipe.codebook)
            _tasks(corpus, recipe, form)  # a recipe that picks nothing leaves no trace
            _keep(path, recipe.model_dump() | {"codebook_version": form.version})
        asked = _settings(path).get("codebook")
        if _settings(path).get("codebook_version") != form_of(stored.known(corpus), asked).version:
            raise CorpusError(
                f"{path}: this round was labelled under another version of the codebook: its labels can be pulled and read, but "
                "nothing more be pushed; start a new one with --round"
            )
        if "id" not in (settings := _settings(path)):
            _keep(path, settings | {"id": secrets.token_hex(16)})
        current = open_round(corpus, recipe.name)
        if not current.tasks:  # the first time, or whoever made the settings was killed right then
            tasks = _tasks(corpus, current.recipe, current.form)
            rows = [{"round": recipe.name, "position": i, **task.row} for i, task in enumerate(tasks)]
            corpus.append_rows("review_tasks", rows)
            current = current._replace(tasks=tasks)
    changed = [n for n in sorted(recipe.model_fields_set) if getattr(current.recipe, n) != getattr(recipe, n)]
    if changed:
        was = ", ".join(f"{name}: {getattr(current.recipe, name)!r}" for name in changed)
        raise RecipeError(
            f'round "{recipe.name}" exists and was made with other settings ({was}); leave them out to go on with it, '
            "or name another with --round"
        )
    return current


def with_team(corpus: Store, current: Round, team: Team, named: Collection[str] | None) -> Round:
    """The round with its team, which is kept now if it had none.

    Raises:
        RecipeError: if others are named than those who review it.
    """
    with corpus.writing("review_tasks"):
        kept = teams.load(corpus, current.recipe.name)  # another process may have been first
        if kept is None:
            teams.save(corpus, current.recipe.name, team)
    kept = kept or team
    if named is not None and set(named) != set(kept.reviewers):
        raise RecipeError(
            f'round "{current.recipe.name}" is reviewed by {", ".join(kept.reviewers) or "nobody"}; leave --reviewers out to go on '
            "with it, or change who reviews it with: curate review assign"
        )
    return current._replace(team=kept)


def open_round(corpus: Store, name: str) -> Round:
    """An existing round.

    Raises:
        CorpusError: if there is none of this name; lists those there are.
    """
    path = _path(corpus, name)
    if not path.exists():
        known = ", ".join(round_names(corpus)) or "none yet"
        raise CorpusError(
            f'{corpus.root}: no review round "{name}"; there are: {known}; make one with: curate review push (or curate review export, without a server)'
        )
    settings = _settings(path)
    version = settings.pop("codebook_version", None)
    id = settings.pop("id", None)
    query = "select trace_id, reason, blind, gold, gold_absent from review_tasks where round = $round order by position"
    tasks = open_tables(corpus).execute(query, {"round": name}).fetchall()
    recipe = RoundRecipe.model_validate(settings)
    asked = recipe.codebook and f"{recipe.codebook}@{version}"
    form = form_of(stored.known(corpus), asked)
    return Round(recipe, [_task(form, *task) for task in tasks], id, teams.load(corpus, name), form)


def round_names(corpus: Store) -> list[str]:
    """The names of a corpus's rounds."""
    return sorted(path.stem for path in (corpus.root / "rounds").glob("[!.]*.json") if "." not in path.stem)


def records(connection: Connection, name: str, form: ReviewForm = FIVE) -> Any:
    """What a round shows, as Arrow batches of `sql/records.sql`."""
    query = sql_file(
        "curation.review", "records.sql", patterns=_names(form.names), ticked=_names(form.ticked)
    )
    return connection.sql(query, params={"round": name}).to_arrow_reader(TEXT_BATCH)


def _settings(path: Path) -> dict[str, Any]:
    import json

    settings: dict[str, Any] = json.loads(path.read_bytes())
    return settings


def _task(
    form: ReviewForm,
    trace_id: str,
    reason: str,
    blind: bool,
    gold: list[str] | None,
    absent: list[str] | None,
) -> ReviewTask:
    if gold is None:
        return ReviewTask(trace_id, reason, blind)
    known = form.names if absent is None else (*gold, *absent)
    return ReviewTask(trace_id, reason, blind, {name: name in gold for name in known if name != NONE})


def _keep(path: Path, settings: dict[str, Any]) -> None:
    write_file(path, canonical_json(settings) + b"\n")


def _path(corpus: Store, name: str) -> Path:
    if name != Path(name).name or name.startswith("."):
        raise CorpusError(f"{name!r} is not a valid name for a review round; use letters, digits, - and _")
    return corpus.root / "rounds" / f"{name}.json"


def _names(patterns: tuple[str, ...]) -> str:
    return "(" + ", ".join(quoted(pattern) for pattern in patterns or ("",)) + ")"
