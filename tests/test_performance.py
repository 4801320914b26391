"""What `make bench-check` says of figures, and the pictures of docs/performance.md; nothing is timed here."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import _guard, _pictures, train

KEPT = {stage: {"ours": 2.0, peer: 4.0} for stage, (_, peer) in _guard.STAGES.items()}


def found(stage: str, ours: float, other: float) -> dict[str, dict[str, float]]:
    return {stage: {"ours": ours, _guard.STAGES[stage][1]: other}}


@pytest.mark.parametrize("stage", sorted(_guard.STAGES))
def test_fifteen_percent_worse_fails_and_less_does_not(stage: str) -> None:
    assert _guard.faults(KEPT, found(stage, 2.29, 4.0)) == []
    (fault,) = _guard.faults(KEPT, found(stage, 2.4, 4.0))
    assert fault.startswith(f"{stage}: 0.6 of ") and "20 % worse than the 0.5 kept" in fault
    assert "make bench-renew" in fault


def test_a_slower_machine_is_no_fault_and_a_faster_one_hides_none() -> None:
    assert _guard.faults(KEPT, found("mix", 20.0, 40.0)) == []
    assert len(_guard.faults(KEPT, found("mix", 1.0, 1.5))) == 1


def test_a_stage_that_was_never_measured_is_a_fault() -> None:
    assert _guard.faults({}, found("rules", 1.0, 1.0)) == ["rules: no ratio is kept; run: make bench-renew"]


def test_the_best_of_each_side_counts_whichever_measurement_it_is_of() -> None:
    assert _guard.best({"ours": 2.0, "re": 9.0}, {"ours": 3.0, "re": 8.0}) == {"ours": 2.0, "re": 8.0}


def test_sides_take_turns_and_the_first_round_does_not_count() -> None:
    asked: list[str] = []
    sides = {name: (lambda name=name: asked.append(name)) for name in ("ours", "other")}
    assert set(_guard.in_turns(sides, rounds=2)) == {"ours", "other"}
    assert asked == ["ours", "other"] * 3


def test_ingest_is_measured_against_pyarrow_in_one_run(tmp_path: Path) -> None:
    found = _guard.ingest(tmp_path, rows=100, rounds=1)
    assert found.keys() == {"ours", "pyarrow"} and min(found.values()) > 0


def test_only_the_named_stages_are_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(_guard, "measured", lambda stage: {"ours": 1.0, _guard.STAGES[stage][1]: 2.0})
    _guard.KEPT.write_text(json.dumps({"machine": "m", "stages": KEPT}))
    assert _guard.main(["--renew", "ingest"]) == 0
    stages = json.loads(_guard.KEPT.read_text())["stages"]
    assert stages == KEPT | {"ingest": {"ours": 1.0, "pyarrow": 2.0}}
    with pytest.raises(SystemExit, match="no stage ingset; there are: ingest"):
        _guard.main(["--renew", "ingset"])


def test_every_stage_has_a_ratio_that_is_kept_and_the_machine_is_named() -> None:
    kept = json.loads(_guard.KEPT.read_text())
    assert kept["stages"].keys() == _guard.STAGES.keys() and "cores" in kept["machine"]
    assert _guard.faults(kept["stages"], kept["stages"]) == []


def test_the_pictures_of_the_page_are_those_of_the_figures() -> None:
    pictures = _pictures.draw_all(
        json.loads(_guard.KEPT.read_text()), json.loads(_pictures.GROWTH.read_text())
    )
    for name, svg in pictures.items():
        ElementTree.fromstring(svg)
        assert (_pictures.IMAGES / name).read_text() == svg
    assert len(pictures) == len(_guard.STAGES) + 1


def test_training_counts_the_least_time_of_each_step_over_all_rounds() -> None:
    rounds = [train.Measured([2.0, 1.0], [10, 10], 500), train.Measured([1.0, 3.0], [10, 10], 700)]
    assert train.best(rounds) == {
        "ms_per_token": 100.0,
        "by_round": [150.0, 200.0],
        "tokens": 20,
        "peak_mb": 700,
    }


def test_what_training_adds_is_a_share_of_a_step_of_ours() -> None:
    times = {
        "stock": 2.0,
        "ours": 2.0,
        "presafe": 2.1,
        "weights": 2.02,
        "kl": 2.5,
        "forward": 0.5,
        "stock packed": 1.0,
        "ours packed": 1.0,
    }
    found = train.ratios({name: {"ms_per_token": value} for name, value in times.items()})
    assert found == {
        "throughput": 1.0,
        "throughput packed": 1.0,
        "packing gain": 2.0,
        "presafe": 0.05,
        "weights": 0.01,
        "kl": 0.25,
        "forward": 0.25,
    }
