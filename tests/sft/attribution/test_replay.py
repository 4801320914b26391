"""Which runs can be looked at again, and which replies have room in them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import DataError
from sft.attribution.behaviours import Behaviour, Replied
from sft.attribution.replay import config_of_run, fitting, open_run, rendered
from sft.attribution.self_test import SelfTestRecipe, self_test

LONG = Replied("How do I boil an egg? " * 300, "A thought.", "No.", 0.0)


def as_trained_with(run: Path, out: Path, **settings: Any) -> Path:
    """A copy of a run whose recipe says something else."""
    shutil.copytree(run, out)
    told = json.loads((out / "run.json").read_text())
    told["config"] |= settings
    (out / "run.json").write_text(json.dumps(told))
    return out


def test_a_run_on_pairs_is_refused(trained: Any, tmp_path: Path) -> None:
    run = as_trained_with(trained(), tmp_path / "run", dpo={"beta": 0.1})
    for read in (open_run, config_of_run):
        with pytest.raises(DataError, match=r"preference pairs \(dpo\).*name a run of `sft run` without"):
            read(run)


def test_a_run_with_token_weights_is_refused_for_influences_alone(trained: Any, tmp_path: Path) -> None:
    weights = {"rules": [{"of": "answer", "weight": 2}]}
    run = as_trained_with(trained(), tmp_path / "run", token_weights=weights)
    with pytest.raises(DataError, match="token_weights, which influences do not know"):
        open_run(run)
    config = config_of_run(run)
    assert config.token_weights  # --leave-out trains with them
    with pytest.raises(DataError, match="token_weights, which influences do not know"):
        self_test(config, SelfTestRecipe(), tmp_path / "test")
    assert not (tmp_path / "test").exists()


def test_replies_without_room_leave_their_weight_to_the_others_of_their_side(
    trained: Any, behaviour: Behaviour, capsys: pytest.CaptureFixture[str]
) -> None:
    run = open_run(trained())
    first, second, against = behaviour.replies
    given = Behaviour(
        "refusing",
        (first._replace(weight=0.25), second._replace(weight=0.25), LONG._replace(weight=0.5), against),
    )
    (found,) = fitting(run, [given])
    assert found == behaviour and fitting(run, [behaviour]) == [behaviour]
    assert "1 of 4 replies are left out: their prompt fills max_length (512" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_side_without_room_is_an_error(trained: Any, behaviour: Behaviour) -> None:
    run = open_run(trained())
    given = Behaviour("refusing", (*behaviour.replies[:2], LONG._replace(weight=-1.0)))
    with pytest.raises(DataError, match="all 1 replies without the measure fill"):
        fitting(run, [given])
    with pytest.raises(DataError, match="nothing of the reply is left"):
        rendered(run, LONG)
