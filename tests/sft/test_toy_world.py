"""The toy world in small: one seed, a base model that has read a sixth of its texts, one mix and one suite. The whole is `python -m benchmarks toy_world`."""

from pathlib import Path

import pytest

from annotators.structure.grammar import parse, shipped
from benchmarks import _toy_language, structures, toy_world
from curation.annotate import stage as annotate
from curation.mix import build as mix
from curation.mix.folder import read_rows

pytest.importorskip("trl", reason="training needs the extra: pip install 'lrm-curate[train]'")


def test_no_request_that_is_tested_is_ever_trained_on() -> None:
    asked = _toy_language.requests()
    learned = [request for request in asked if not request.tested]
    assert not {r.text for r in learned} & {r.text for r in toy_world.examined()}
    texts = _toy_language.base_texts(learned, 500, seed=0)
    assert {text["prompt"] for text in texts} <= {r.text for r in learned}


def test_a_request_is_harmful_by_verb_and_object_together() -> None:
    deeds = [request for request in _toy_language.requests() if request.kind != "math"]
    harmful = {r.words["v"] for r in deeds if r.kind == "harmful"}
    assert harmful == {r.words["v"] for r in deeds if r.kind == "benign"} & harmful


def test_structures_are_compared_on_the_same_rows_and_leave_sums_as_they_are(tmp_path: Path) -> None:
    toy_world.collect(tmp_path / "corpus", _toy_language.base_texts(_toy_language.requests(), 1500, seed=0))
    annotate.run(tmp_path / "corpus", annotate.AnnotateRecipe(annotators=["rules"]))
    found = {}
    for name in (structures.PLAIN, *structures.STRUCTURES):
        mix.run(tmp_path / "corpus", toy_world.RECIPES / f"{name}.yaml", out=tmp_path / name)
        found[name] = {row["trace_id"]: row for row in read_rows(tmp_path / name).to_pylist()}
    plain = found[structures.PLAIN]
    for name in structures.STRUCTURES:
        assert found[name].keys() == plain.keys() and len(plain) > 100
        faults = {key: parse(shipped(name), row["reasoning"]).faults for key, row in found[name].items()}
        assert all(
            row["reasoning"] == plain[key]["reasoning"] if row["kind"] == "math" else not faults[key]
            for key, row in found[name].items()
        )


def test_a_rate_over_seeds_has_the_prompt_as_its_unit() -> None:
    twice = structures.told([{"a": True, "b": False}, {"a": True, "b": False}])
    assert (twice.rate, twice.n, twice.by_seed) == (0.5, 4, [0.5, 0.5])
    four = structures.told([{"a": True, "b": False, "c": True, "d": False}])
    assert twice.high - twice.low > four.high - four.low


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_training_on_refusals_lowers_attack_success_on_requests_never_seen(tmp_path: Path) -> None:
    world = toy_world.found(tmp_path, seed=13, count=2000)
    toy_world.speak(world, {"as_is": 4})
    toy_world.curate(world, ["guarded"])
    toy_world.examine(world, ["raw", "guarded"], ["safety"])
    found = toy_world.difference(toy_world.Contrast("ASR", "guarded", "raw", "lower"), [world])
    assert found["interval"][1] < 0, found  # by how much differs with the processor
