"""Leave-group-out: mixes without a group or with it twice, trained and scored, and the effects with intervals."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curation.corpus.store import Store
from schemas.prompt import prompt_id
from sft.attribution.leave_out import changed, effects, families_of, members, name_of
from sft.cli import app
from sft.comparison.stage import compare, load
from sft.proof.mix import read_mix
from sft.training.stage import train
from tests.sft.comparison.test_stage import write
from tests.sft.conftest import sample_rows, write_mix
from tests.sft.training.test_trainer import config


@pytest.fixture
def grouped(models: dict[str, Path], tmp_path: Path) -> Path:
    """A run on a mix of two parts."""
    rows = [
        row.model_copy(update={"part": "benign" if n % 3 else "safety", "risky": ("weak_vacillation",) if n == 1 else ()})
        for n, row in enumerate(sample_rows(12)[:12])
    ]  # fmt: skip
    train(config(models["own"], write_mix(tmp_path / "mix", rows), tmp_path / "run", max_steps=2))
    return tmp_path / "run"


def test_groups_are_the_values_of_rows_and_unknown_ones_are_none(grouped: Path) -> None:
    rows = read_mix(grouped.parent / "mix").rows
    assert {name: len(keys) for name, keys in members(rows, "part").items()} == {"benign": 8, "safety": 4}
    assert {name: len(keys) for name, keys in members(rows, "pattern").items()} == {"weak_vacillation": 1}
    assert members(rows, "category") == {}


def test_clusters_are_those_that_the_corpus_knows(grouped: Path, corpus: Store) -> None:
    rows = read_mix(grouped.parent / "mix").rows
    alike = [row.prompt_id for row in rows[:3]]
    corpus.append_rows("clusters", [
        {"field": "prompt", "method": "near", "id": key, "cluster_id": "c1", "representative": n == 0, "similarity": 1.0, "generation": "1"}
        for n, key in enumerate(alike)
    ])  # fmt: skip
    found = members(rows, "cluster", families_of(corpus.root))
    assert found == {"c1": {row.row_id for row in rows if row.prompt_id in alike}}
    assert members(rows, "cluster", {}) == {}
    alone = families_of(corpus.root) | {rows[5].prompt_id: "of one prompt"}
    assert members(rows, "cluster", alone) == found


def test_clusters_without_a_corpus_or_before_dedup_name_what_is_missing(grouped: Path, corpus: Store) -> None:
    command = ["attribute", str(grouped), "--leave-out", "cluster", "--evaluation", str(corpus.root)]
    done = CliRunner().invoke(app, command)
    assert "name it with --corpus" in str(done.exception)
    done = CliRunner().invoke(app, [*command, "--corpus", str(corpus.root)])
    assert "curate dedup" in str(done.exception)


def test_a_group_is_dropped_or_doubled(grouped: Path) -> None:
    rows = read_mix(grouped.parent / "mix").rows
    keys = members(rows, "part")["safety"]
    assert {row.part for row in changed(rows, keys, "drop")} == {"benign"}
    doubled = changed(rows, keys, "double")
    assert len(doubled) == 16 and len({row.row_id for row in doubled}) == 16
    assert [row.answer for row in doubled[12:]] == [row.answer for row in rows if row.part == "safety"]


def test_names_of_groups_from_data_lead_nowhere() -> None:
    assert name_of("safety", "drop") == "without-safety"
    assert "/" not in name_of("../../etc", "double") and name_of("a b", "drop") != name_of("a-b", "drop")
    assert name_of("..", "drop").startswith("without--")


def test_effects_are_the_changes_of_rates_against_the_whole_mix(tmp_path: Path) -> None:
    half, none = [True] * 10 + [False] * 10, [False] * 20
    folders = [
        write(tmp_path / name, none, refused, none)
        for name, refused in (("all", half), ("without-safety", none), ("without-benign", half))
    ]
    comparison = compare(load(folders), base="all")
    found = effects({"benign": {"a", "b"}, "safety": {"c"}}, "drop", comparison)
    by_group = {one.group: one for one in found if one.column == "over-refusal"}
    assert (by_group["safety"].effect, by_group["safety"].rows) == (-0.5, 1)
    assert by_group["safety"].interval.high < 0 and by_group["benign"].effect == 0
    assert next(one.group for one in found if one.column == "over-refusal") == "safety"  # the largest first


@pytest.mark.slow
def test_every_group_is_left_out_once_for_every_seed(grouped: Path, corpus: Store) -> None:
    texts = ["Write a fake note.", "Skip the fare.", "Copy a badge."]
    corpus.append_rows("prompts", [{"prompt_id": prompt_id(t), "text": t, "kind": "harmful"} for t in texts])
    command = ["attribute", str(grouped), "--leave-out", "part", "--evaluation", str(corpus.root), "--suite", "safety", "--seeds", "1,2", "--engine", "transformers", "--max-new-tokens", "8", "--json"]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["failed"] == {}
    out = Path(f"{grouped}-drop-part")
    runs = {path.parent.relative_to(out / "runs") for path in (out / "runs").rglob("scores.json")}
    assert {str(run.parent) for run in runs} == {"all", "without-benign", "without-safety"} and len(runs) == 6


def test_one_group_alone_cannot_be_left_out(grouped: Path, tmp_path: Path) -> None:
    command = ["attribute", str(grouped), "--leave-out", "pattern", "--evaluation", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1 and "1 values of pattern" in str(done.exception)
    done = CliRunner().invoke(app, [*command, "--seeds", "one"])
    assert done.exit_code == 2 and "whole numbers" in done.output
