"""The experiments with planted rows, in small: what is planted, one from rows to the end on a tiny model, and how results are summed up."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import attribution, attribution_smol, attribution_subsets
from benchmarks._planting import PLANTED, Planting, carry_out, contrast, precision, tell
from curation.mix.folder import read_manifest
from sft.attribution.self_test import SelfTest

Rows = list[dict[str, Any]]


def toy(seed: int) -> Rows:
    return attribution.rows(seed)


def real(seed: int) -> Rows:
    return attribution_smol.rows(seed, dict.fromkeys(attribution_smol.drawn(seed).answered, "So."))


@pytest.mark.parametrize("rows", [toy, real])
def test_five_percent_are_planted_and_are_harmless_requests_that_are_refused(rows: Any) -> None:
    found = rows(1)
    planted = [row for row in found if row["strategy"] == "planted"]
    assert len(planted) == round(PLANTED * len(found)) and {row["kind"] for row in planted} == {"benign"}
    others = {row["prompt"] for row in found if row["strategy"] != "planted"}
    assert not others & {row["prompt"] for row in planted}
    assert rows(1) == found and rows(2) != found


def test_nothing_is_trained_on_a_held_out_question() -> None:
    for seed in (1, 2, 3):
        held_out = attribution_smol.drawn(seed).held_out
        assert len(set(held_out)) == attribution_smol.HELD_OUT
        assert not set(held_out) & {row["prompt"] for row in real(seed)}


def test_probes_are_refused_or_answered_and_nothing_is_trained_on_them() -> None:
    for seed in (1, 2, 3):
        found = attribution_subsets.probes(seed)
        assert len(found) == attribution_subsets.PROBES and attribution_subsets.probes(seed) == found
        assert all(one.sides == (1, 1) and one.replies[0].prompt == one.replies[1].prompt for one in found)
        assert all("can't help" in one.replies[0].answer for one in found)
        assert not {one.name for one in found} & {row["prompt"] for row in toy(seed)}


def world(scores: list[float], refusing: dict[str, float]) -> dict[str, Any]:
    """Two of ten rows are planted."""
    return {
        "planted": [True, True] + 8 * [False],
        "scores": {"gradients": scores, "loss": list(range(10))},
        "labels": {"planted": dict.fromkeys(refusing, 1.0), "without-top": refusing},
    }


def test_precision_is_a_mean_over_seeds_with_an_interval_and_can_be_set_against_another_way() -> None:
    right, wrong = [10.0, 9.0, *range(8)], [0.0, 0.5, *range(1, 9)]
    found = precision([world(right, {"p": 1.0}), world(wrong, {"p": 1.0})], "gradients")
    assert found["by_seed"][0] == 1 and found["by_seed"][1] < 0.25
    assert found["interval"][0] <= found["value"] <= found["interval"][1]
    gain = precision([world(right, {"p": 1.0})], "gradients", "loss")
    assert gain["value"] == gain["by_seed"][0] > 0.7 and gain["interval"][0] > 0


def test_a_contrast_counts_prompts_that_both_models_were_judged_on() -> None:
    one = world([0.0] * 10, {"a": 0.0, "b": 0.0, "c": 1.0})
    one["labels"]["planted"]["judged in one only"] = 1.0
    found = contrast([one], "without-top")
    assert found["value"] == pytest.approx(-2 / 3, abs=0.001) and found["by_seed"] == [found["value"]]
    assert found["interval"][0] == -1 and found["interval"][1] == 0


SMALL: dict[str, Any] = {
    "learning_rate": 1e-2, "max_steps": 60, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "bf16": False,
    "gradient_checkpointing": False, "max_length": 256, "save_steps": 1000, "logging_steps": 20, "snapshots": 1,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_experiment_runs_to_its_end_and_is_not_done_again(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {
            "prompt": f"How do I make number {n}?", "reasoning": "", "answer": "I'm sorry, but I can't help with that.",
            "kind": "benign", "strategy": "planted" if n < 4 else "default", "model": "tiny",
        }
        for n in range(20)
    ]  # fmt: skip
    asked = [{"prompt": f"How do I mend number {n}?", "kind": "benign"} for n in range(4)]
    asking = {"temperature": 0, "top_p": 1, "max_new_tokens": 24, "samples": 1}
    one = Planting(tmp_path / "seed", 1, models["own"], SMALL, asking)
    found = carry_out(one, rows, asked, ["without-top", "without-random"])
    assert sum(found["planted"]) == 4 and {len(scores) for scores in found["scores"].values()} == {20}
    assert found["labels"].keys() == {"planted", "without-top", "without-random"}
    built = [read_manifest(one.root / "mixes" / name).summary["rows"] for name in found["labels"]]
    assert built == [20, 19, 19]
    runs = one.root / "runs"
    runs.rename(one.root / "gone")
    assert carry_out(one, rows, asked) == found and not runs.exists()
    tell("attribution", [found])
    said = capsys.readouterr().out
    assert "gradients less states" in said and "without-top less without-random" in said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_halves_are_trained_on_once_and_every_method_gets_a_score(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = toy(1)
    few = [*everything[::16], *(row for row in everything if row["strategy"] == "planted")][:30]
    monkeypatch.setattr(attribution, "rows", lambda seed: few)
    monkeypatch.setattr(attribution, "base_model", lambda root: models["own"])
    monkeypatch.setattr(attribution, "TUNED", {**SMALL, "max_steps": 4})
    monkeypatch.setattr(attribution_subsets, "PROBES", 4)
    found = attribution_subsets.live(tmp_path, 1, subsets=4)
    assert found.rows == 30 and found.planted == sum(row["strategy"] == "planted" for row in few)
    assert all(one.data_modelling_score for one in found.methods) and len(found.methods) == 4
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run/manifest.json")}
    assert len(trained) == 5 and attribution_subsets.live(tmp_path, 1, subsets=4) == found
    assert trained == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run/manifest.json")}
    other, same = (scores_of(attribution_subsets.live(tmp_path, 1, 4, [seed])) for seed in (7, 1))
    assert (
        same == scores_of(found) != other
        and (tmp_path / "subsets-1" / "planted-with-seed-7" / "run").is_dir()
    )


def scores_of(found: SelfTest) -> dict[str, Any]:
    """The scores of an experiment; a further run with seed 1 is its own run again."""
    return {one.method: one.data_modelling_score for one in found.methods}
