"""What a run needs so that its model can be saved at the end."""

from types import SimpleNamespace

import pytest

from schemas.errors import RecipeError
from sft.training.saving import require_gathering


def trainer(stage: int, gathers: bool | None) -> SimpleNamespace:
    """As much of a trainer under DeepSpeed as is asked."""
    stages = {"stage": stage} | (
        {} if gathers is None else {"stage3_gather_16bit_weights_on_model_save": gathers}
    )
    plugin = SimpleNamespace(deepspeed_config={"zero_optimization": stages})
    accelerator = SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin))
    return SimpleNamespace(is_deepspeed_enabled=True, accelerator=accelerator)


@pytest.mark.parametrize("gathers", [False, None])
def test_sharded_weights_that_would_not_be_gathered_are_refused_before_training(gathers: bool | None) -> None:
    with pytest.raises(RecipeError, match="zero3_save_16bit_model: true"):
        require_gathering(trainer(3, gathers))


def test_weights_that_are_whole_or_are_gathered_can_be_saved() -> None:
    assert require_gathering(trainer(3, True)) is None
    assert require_gathering(trainer(2, False)) is None
    assert require_gathering(SimpleNamespace(is_deepspeed_enabled=False)) is None
