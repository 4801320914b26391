"""The toy world in small: one seed, a base model that has read a sixth of its texts, one mix and one suite. The whole is `python -m benchmarks toy_world`."""

from pathlib import Path

import pytest

from benchmarks import _toy_language, toy_world

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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_training_on_refusals_lowers_attack_success_on_requests_never_seen(tmp_path: Path) -> None:
    world = toy_world.found(tmp_path, seed=11, count=2000)
    toy_world.speak(world, {"as_is": 4})
    toy_world.curate(world, ["guarded"])
    toy_world.examine(world, ["raw", "guarded"], ["safety"])
    found = toy_world.difference(toy_world.Contrast("ASR", "guarded", "raw", "lower"), [world])
    assert found["interval"][1] < -0.1, found
