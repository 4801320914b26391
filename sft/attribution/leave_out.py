"""`sft attribute --leave-out GROUP`: trains without each group of rows, or with it twice, and measures what changes: the cause, not an estimate of it.

    OUT/mixes/all, OUT/mixes/without-NAME ...    the mixes
    OUT/...                                      what `sft sweep` makes of them: runs, scores, table and page

Groups that overlap (a row may have several patterns) are changed one at a time. Every run has the recipe of the original: with fewer rows it
takes fewer steps, as the mix would.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import Field

from curation import console
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.page import percent
from curation.recipe import Recipe
from schemas.choices import GroupChange, RowGroup
from schemas.errors import DataError, UsageError
from schemas.ids import content_id
from schemas.row import Row, row_id
from sft import sweep
from sft.attribution.planting import write_mix
from sft.attribution.replay import config_of_run
from sft.comparison.results import Comparison
from sft.proof.mix import read_mix
from sft.scoring.statistics import Interval
from sft.sweep import ScoreSettings, SweepRecipe

ALL = "all"
"""The mix as it is."""
NAMES = {"drop": "without", "double": "twice"}
GROUPS: Mapping[RowGroup, Callable[[Row], Sequence[str]]] = {
    "part": lambda row: [row.part],
    "strategy": lambda row: [row.strategy] if row.strategy else [],
    "source": lambda row: [row.source] if row.source else [],
    "category": lambda row: [row.category] if row.category else [],
    "kind": lambda row: [row.kind] if row.kind else [],
    "pattern": lambda row: row.risky,
}
"""The groups that a row belongs to, by the name of the grouping; none where it is not known. Clusters are known to the corpus alone."""
CLUSTER: RowGroup = "cluster"
assert (*GROUPS, CLUSTER) == get_args(RowGroup)


class LeaveOutRecipe(Recipe):
    """The recipe of a leave-group-out."""

    group: RowGroup
    change: GroupChange = "drop"
    largest: Annotated[int, Field(ge=2)] | None = None
    """Only the largest so many groups; all if null."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (42,)
    score: ScoreSettings


class GroupEffect(NamedTuple):
    """What a change of one group does to one rate."""

    group: str
    rows: int
    column: str
    effect: float
    """Rate with the change less rate without, on the same prompts."""
    interval: Interval
    """95 %, over prompts; seeds count as samples."""


class LeftOut(NamedTuple):
    """The result."""

    change: GroupChange
    effects: list[GroupEffect]
    """The largest first, in each column."""
    comparison: Comparison
    failed: dict[str, str]


def leave_out(run: Path, recipe: LeaveOutRecipe, out: Path, corpus: Path | None = None) -> LeftOut:
    """Train and score a run's recipe on its mix, and on the mix with each group changed; run it again to resume.

    Args:
        run: a run, whose recipe and mix are taken.
        recipe: which groups, and how models are scored.
        out: a folder.
        corpus: the corpus of the mix, which knows clusters.

    Raises:
        DataError: if the mix has no two groups, or the corpus knows no clusters of its prompts.
        UsageError: if clusters are asked for without the corpus.
        TrainingError: if every run failed.
        CurateError: as `sft sweep` does.
    """
    config = config_of_run(run)
    mix = read_mix(Path(config.mix))
    families = _clusters(corpus) if recipe.group == CLUSTER else {}
    groups = dict(list(members(mix.rows, recipe.group, families).items())[: recipe.largest])
    if len(groups) < 2:
        raise DataError(
            f"{config.mix}: its rows have {len(groups)} values of {recipe.group}; name another group"
        )
    if (count := (len(groups) + 1) * len(recipe.seeds)) > sweep.MAX_RUNS:
        raise UsageError(
            f"{count} runs; the maximum is {sweep.MAX_RUNS}: take only the largest groups with --largest"
        )
    variants = {
        name_of(value, recipe.change): changed(mix.rows, keys, recipe.change)
        for value, keys in groups.items()
    }
    folders = [
        write_mix(out / "mixes" / name, rows, mix.mix_id, {"name": name, "group": recipe.group})
        for name, rows in {ALL: list(mix.rows), **variants}.items()
        if rows
    ]
    given = config.model_dump(mode="json", exclude={"mix", "out", "seed"}) | {"snapshots": 0}
    result = sweep.carry_out(
        SweepRecipe(
            out=str(out), mixes=[str(folder) for folder in folders], train=given, seeds=recipe.seeds,
            score=recipe.score, base=ALL,
        )
    )  # fmt: skip
    return LeftOut(recipe.change, effects(groups, recipe.change, result.comparison), *result)


def families_of(corpus: Path) -> dict[str, str]:
    """prompt_id -> the cluster of near-duplicate prompts that it is in, as the corpus knows them; none before `curate dedup`."""
    rows = select(connect(Store(corpus)), "select prompt_id, family from prompt_clusters").to_pylist()
    return {row["prompt_id"]: row["family"] for row in rows}


def _clusters(corpus: Path | None) -> dict[str, str]:
    if corpus is None:
        raise UsageError("clusters are known to the corpus of the mix alone; name it with --corpus")
    if found := families_of(corpus):
        return found
    raise DataError(f"{corpus}: knows no clusters of prompts; find them with: curate dedup")


def members(
    rows: Sequence[Row], group: RowGroup, families: Mapping[str, str] | None = None
) -> dict[str, set[str]]:
    """The row_ids of each group, the largest first; rows of no known group are in none, nor are prompts without a near-duplicate in the mix.

    Args:
        rows: of the mix.
        group: what they are grouped by.
        families: prompt_id -> cluster, for clusters.
    """
    found: dict[str, set[str]] = {}
    prompts: dict[str, set[str]] = {}
    for row in rows:
        for value in groups_of(group, families or {})(row):
            found.setdefault(value, set()).add(row.row_id)
            prompts.setdefault(value, set()).add(row.prompt_id)
    if group == CLUSTER:
        found = {value: keys for value, keys in found.items() if len(prompts[value]) > 1}
    return dict(sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])))


def groups_of(group: RowGroup, families: Mapping[str, str]) -> Callable[[Row], Sequence[str]]:
    """What tells the groups of a row; `families` is prompt_id -> cluster."""
    if group != CLUSTER:
        return GROUPS[group]
    return lambda row: [families[row.prompt_id]] if row.prompt_id in families else []


def changed(rows: Sequence[Row], keys: set[str], change: GroupChange) -> list[Row]:
    """The rows without a group, or with it twice; the second copies have ids of their own and stand at the end."""
    if change == "drop":
        return [row for row in rows if row.row_id not in keys]
    copies = [
        row.model_copy(update={"row_id": row_id(content_id(["again", row.row_id]), row.part)})
        for row in rows
        if row.row_id in keys
    ]
    return [*rows, *copies]


def name_of(value: str, change: GroupChange) -> str:
    """The name of a mix: values come from data, so what is no plain word gets a hash."""
    plain = re.sub(r"[^\w.-]+", "-", value, flags=re.ASCII).strip(".-")[:40]
    return f"{NAMES[change]}-{plain if plain == value else f'{plain}-{content_id(value)[:6]}'}"


def effects(groups: Mapping[str, set[str]], change: GroupChange, comparison: Comparison) -> list[GroupEffect]:
    """What changing each group did to each rate, the largest effect of a column first.

    Args:
        groups: row_ids by value.
        change: what became of them.
        comparison: of the mixes, measured against `ALL`.
    """
    by_name = {name_of(value, change): (value, len(keys)) for value, keys in groups.items()}
    found = [
        GroupEffect(*by_name[one.model], one.column, one.difference, one.interval)
        for one in comparison.changes
        if one.model in by_name
    ]
    order = comparison.columns
    return sorted(found, key=lambda one: (order.index(one.column), -abs(one.effect), one.group))


def show(result: LeftOut) -> None:
    """Print the effects."""
    title = f"{NAMES[result.change]}"
    rows: list[dict[str, Any]] = [
        {
            title: one.group, "rows": one.rows, "column": one.column, "effect": f"{100 * one.effect:+.1f} points",
            "95 % interval": f"{100 * one.interval.low:+.1f} to {100 * one.interval.high:+.1f}",
        }
        for one in result.effects
    ]  # fmt: skip
    if rows:
        console.show_rows(list(rows[0]), rows)
    told = [
        f"{c.column} {percent(c.rate.rate)} of {c.rate.n}" for c in result.comparison.table[ALL] if c.rate
    ]
    console.say(f"leave-out: with all rows: {', '.join(told)}")
