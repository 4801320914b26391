"""A review round: its traces, the number of reviewers per trace, and the traces shown without suggestions.

A round is chosen once and stored in the corpus before it is pushed. Pushing it again sends the same traces, even if the queue has
changed; for other traces start another round.
"""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from curation.corpus.bounds import bounded
from curation.corpus.filling import quoted, sql_file
from curation.corpus.query import Connection, connect, execute
from curation.corpus.store import Store, write_file
from curation.corpus.untrusted import check_condition
from curation.recipe import Recipe
from schemas.choices import ReviewOrder
from schemas.errors import CorpusError, RecipeError
from schemas.ids import canonical_json, content_id
from schemas.patterns import CODEBOOK_VERSION, RISKY_PATTERNS

LOW_MARGIN = 0.4
"""A consensus score this near to 0.5 is worth a look: everything between 0.1 and 0.9."""
TEXT_BATCH = 100


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
    seed: int = 42


class ReviewTask(NamedTuple):
    """A trace that a round shows."""

    trace_id: str
    reason: str
    """Why: "disagreement", "low margin", "diversity" or "audit"."""
    blind: bool


class Round(NamedTuple):
    """A round of this corpus."""

    recipe: RoundRecipe
    tasks: list[ReviewTask]


def choose(connection: Connection, recipe: RoundRecipe) -> list[ReviewTask]:
    """Pick the traces of a new round from the review queue.

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
    }
    query = sql_file("curation.review", "queue.sql", patterns=_names(RISKY_PATTERNS), condition=condition)
    rows = bounded(connection, lambda: execute(connection, query, settings))
    if not rows:
        raise RecipeError(
            f'round "{recipe.name}": no trace of this corpus matches and waits for a review; relax --where'
        )
    return [ReviewTask(trace_id, reason, is_blind(trace_id, recipe)) for trace_id, reason in rows]


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
            choose(connect(corpus), recipe)  # a recipe that picks nothing leaves no trace
            settings = recipe.model_dump() | {"codebook_version": CODEBOOK_VERSION}
            write_file(path, canonical_json(settings) + b"\n")
        if _settings(path).get("codebook_version") != CODEBOOK_VERSION:
            raise CorpusError(
                f"{path}: this round was labelled under another version of the codebook: its labels can be pulled and read, but "
                "nothing more be pushed; start a new one with --round"
            )
        current = open_round(corpus, recipe.name)
        if not current.tasks:  # the first time, or whoever made the settings was killed right then
            tasks = choose(connect(corpus), current.recipe)
            rows = [{"round": recipe.name, "position": i, **task._asdict()} for i, task in enumerate(tasks)]
            corpus.append_rows("review_tasks", rows)
            current = Round(current.recipe, tasks)
    changed = [n for n in sorted(recipe.model_fields_set) if getattr(current.recipe, n) != getattr(recipe, n)]
    if changed:
        was = ", ".join(f"{name}: {getattr(current.recipe, name)!r}" for name in changed)
        raise RecipeError(
            f'round "{recipe.name}" exists and was made with other settings ({was}); leave them out to go on with it, '
            "or name another with --round"
        )
    return current


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
    settings.pop("codebook_version", None)
    query = "select trace_id, reason, blind from review_tasks where round = $round order by position"
    tasks = connect(corpus).execute(query, {"round": name}).fetchall()
    return Round(RoundRecipe.model_validate(settings), [ReviewTask(*task) for task in tasks])


def round_names(corpus: Store) -> list[str]:
    """The names of a corpus's rounds."""
    return sorted(path.stem for path in (corpus.root / "rounds").glob("[!.]*.json"))


def records(connection: Connection, name: str) -> Any:
    """What a round shows, as Arrow batches of `sql/records.sql`."""
    query = sql_file("curation.review", "records.sql", patterns=_names(RISKY_PATTERNS))
    return connection.sql(query, params={"round": name}).to_arrow_reader(TEXT_BATCH)


def _settings(path: Path) -> dict[str, Any]:
    import json

    settings: dict[str, Any] = json.loads(path.read_bytes())
    return settings


def _path(corpus: Store, name: str) -> Path:
    if name != Path(name).name or name.startswith("."):
        raise CorpusError(f"{name!r} is not a valid name for a review round; use letters, digits, - and _")
    return corpus.root / "rounds" / f"{name}.json"


def _names(patterns: tuple[str, ...]) -> str:
    return "(" + ", ".join(quoted(pattern) for pattern in patterns) + ")"
