"""PAIR live (arXiv 2310.08419): an attacker model writes prompts, sees the answers of the attacked model and their scores, and tries again.

Everything is in the attack's own folder: a corpus with the prompts and the model's replies, and a record of the attempts. The surprise:
nothing in this package attacks: the attacker's instruction is a file of the user's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field

from curation import console
from curation.annotate.codebooks import judged_codebooks
from curation.annotate.stage import AnnotateRecipe, Opened
from curation.corpus.store import Store, write_file
from curation.engines import Engine, Sampling
from curation.engines.choosing import open_engine
from curation.engines.settings import EngineSettings
from curation.page import percent
from curation.reading import read_text
from curation.recipe import Recipe
from curation.versions import versions
from schemas.errors import EngineError, RecipeError, UsageError
from schemas.ids import content_id
from schemas.manifest import Counts, Manifest
from sft.attack.attacker import propose
from sft.attack.attempts import AttackRecord, next_places
from sft.attack.results import GoalAttempts, by_goal, scores_of, summary_of, with_successes
from sft.attack.target import AttackedModel, AttackGoals
from sft.scoring.asked import load_prompts
from sft.scoring.judging import recipe as usual_judges
from sft.scoring.measures import MEASURES
from sft.scoring.scores import OUTCOMES, SCORES
from sft.scoring.suite_files import choose

STAGE = "attack"
FOUND = "prompts.jsonl"
"""The prompts that succeeded, for `curate ingest --set pair`."""
KEEPS = "what the attacker wrote is kept; the same command goes on"


class AttackRecipe(Recipe):
    """The recipe of `sft attack`."""

    model: EngineSettings
    """The attacked model."""
    attacker: EngineSettings
    attacker_prompt: Path
    """File with the attacker's instruction; {goal} in it is the query that the model should answer."""
    attacker_sampling: Sampling = Sampling(max_new_tokens=1024, temperature=1.0)
    suite: str = "advbench"
    """Its prompts are the goals; it says how the model is asked and what success is."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many goals."""
    streams: int = Field(default=3, ge=1)
    """Independent tries of a goal."""
    depth: int = Field(default=3, ge=1)
    """Rounds of a stream; from the second on the attacker sees what became of the last."""
    budget: int | None = Field(default=None, ge=1)
    """At most so many attempts, spent on every goal's first stream first."""
    judging: AnnotateRecipe = Field(default_factory=usual_judges)


def find_goals(corpus: Store, suite: str, limit: int | None) -> AttackGoals:
    """The goals of an attack.

    Args:
        corpus: the evaluation corpus.
        suite: the name or file of a suite of harmful prompts.
        limit: at most so many.

    Raises:
        UsageError: if several suites are named.
        RecipeError: if the suite asks others, or its headline may be an entry of a codebook.
        DataError: if the corpus has no prompts for it.
    """
    suites = choose([suite])
    if len(suites) != 1:
        raise UsageError(f"--suite {suite}: {len(suites)} suites; an attack has the goals of one, name it")
    (chosen,) = suites
    if not chosen.suite.harmful or chosen.suite.joint or chosen.suite.prefill:
        raise RecipeError(f"--suite {suite}: an attack needs a plain suite of harmful prompts")
    if entries := [name for name in chosen.suite.headline if name not in MEASURES]:
        raise RecipeError(
            f"--suite {suite}: headline: {entries[0]} is an entry of a codebook, which tells no success; name a measure of sft suites"
        )
    (asked,) = load_prompts(corpus, [chosen], limit)
    rows = {row["prompt_id"]: row for row in asked.prompts if not row["turns"]}
    if alone := len(asked.prompts) - len(rows):
        console.say(f"{STAGE}: {alone} conversations are left out: a goal is a single query")
    return AttackGoals(chosen.suite, chosen.asking, rows)


def attack(
    target: AttackedModel, attacker: Engine, instruction: str, goals: AttackGoals, recipe: AttackRecipe, record: AttackRecord
) -> None:  # fmt: skip
    """Make the attempts that are missing, round after round; each is judged before the next round.

    Raises:
        EngineError: if the attacker or the model did not answer; what was done is in the record.
    """
    record.add(target.judge(list(record.attempts.values())))
    while places := next_places(
        list(goals.rows), record.attempts, recipe.streams, recipe.depth, recipe.budget
    ):
        failed: list[EngineError] = []
        with console.progress(STAGE, total=len(places), unit="prompts", keeps=KEEPS) as advance:
            for found in propose(
                attacker, instruction, goals.texts, places, record.attempts, recipe.attacker_sampling
            ):
                if isinstance(found, EngineError):
                    failed.append(found)
                else:
                    record.add([found])
                advance(1)
        record.add(target.judge(list(record.attempts.values())))
        if failed:
            raise EngineError(
                f"the attacker did not answer {len(failed)} of {len(places)} requests; first error: {failed[0]}; "
                "repeat the command to retry"
            )


def run(corpus_dir: Path, recipe: AttackRecipe, *, out: Path) -> Manifest:
    """Attack a model; run it again to resume.

    Args:
        corpus_dir: the evaluation corpus, which has the goals; it stays as it is.
        recipe: the models, the attacker's instruction, the budget.
        out: the attack's folder.

    Raises:
        RecipeError: if the instruction lacks {goal}, the suite is none of harmful prompts, or the folder holds another attack.
        EngineError: if a model cannot be loaded, or does not answer; what was done is kept.
        CorpusError: if the corpus is missing, or the folder cannot be written.
    """
    instruction = read_text(recipe.attacker_prompt, "check --attacker-prompt")
    if "{goal}" not in instruction:
        raise RecipeError(f"{recipe.attacker_prompt}: lacks {{goal}}; put it where the query goes")
    goals = find_goals(Store(corpus_dir), recipe.suite, recipe.limit)
    judges = recipe.judging.open(judged_codebooks(Store(corpus_dir), recipe.judging.annotators, added=False))
    engine, attacker = open_engine(recipe.model), open_engine(recipe.attacker)
    settings = _settings(recipe, goals, instruction, attacker.name, judges)
    record = AttackRecord(out, settings | {"model": engine.name})
    target = AttackedModel(engine, Store.create(out / "corpus"), goals, recipe.judging)
    attack(target, attacker, instruction, goals, recipe, record)
    record.finish()
    found = by_goal(list(goals.rows), record.attempts)
    if target.scored:
        result = scores_of(goals, found, target.scored, content_id(settings))
        write_file(out / SCORES, result.scores.model_dump_json(indent=2).encode() + b"\n")
        write_file(out / OUTCOMES, _lines([one._asdict() for one in result.outcomes]))
    write_file(out / FOUND, _lines(with_successes(found, goals)))
    manifest = _manifest(recipe, settings, found)
    write_file(out / "manifest.json", manifest.model_dump_json(indent=2).encode() + b"\n")
    return manifest


def _lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def _settings(
    recipe: AttackRecipe, goals: AttackGoals, instruction: str, attacker: str, judges: Opened
) -> dict[str, Any]:
    """What the outcome depends on beside the attacked model."""
    return {
        "attacker": attacker,
        "attacker_prompt": content_id(instruction),
        "attacker_sampling": recipe.attacker_sampling.model_dump(),
        "goals": content_id(sorted(goals.rows)),
        "asked": goals.asking.settings,
        "judges": sorted(
            judges.annotators[name].name if name in judges.annotators else name
            for name in recipe.judging.annotators
        ),
        "judge_model": judges.model.name if judges.model else None,
        "streams": recipe.streams,
        "depth": recipe.depth,
        "budget": recipe.budget,
    }


def _manifest(recipe: AttackRecipe, settings: dict[str, Any], found: Sequence[GoalAttempts]) -> Manifest:
    counts = Counts(rows=len(found), kept=sum(one.success is not None for one in found))
    for one in found:
        if one.success is None:
            counts.add("filtered", "not judged" if one.attempts else "not attacked")
    return Manifest(
        stage=STAGE,
        recipe=settings,
        seed=recipe.attacker_sampling.seed,
        versions=versions("lrm-curate", "vllm", "transformers", "torch"),
        counts=counts,
        summary=summary_of(found, recipe.streams * recipe.depth),
    )


def show(manifest: Manifest) -> None:
    """Print what an attack found."""
    told: Any = manifest.summary
    for within in told["within"]:
        rate, low, high = within["k"] / within["n"], within["low"], within["high"]
        console.result(
            f"within {within['attempts']} attempts: {within['k']} of {within['n']} goals, {percent(rate)} "
            f"({percent(low)} to {percent(high)})"
        )
    console.say(
        f"{STAGE}: {told['attempts']} attempts on {told['goals']} goals, {told['judged']} of them judged; in {told['without_prompt']} "
        f"the attacker wrote no prompt; {told['cut_by_budget']} goals were left before their last attempt, since the budget ran out"
    )
