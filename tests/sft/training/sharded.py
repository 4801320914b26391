"""`sft run` of several recipes on a CPU under FSDP or DeepSpeed, which accelerate starts on accelerators alone; one named `stopped` breaks off and is run again.

The processes, their shards and collectives (gloo) are real; only the name of the kind of hardware is not.
"""

import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from accelerate import PartialState
from accelerate.utils import DistributedType

from schemas.errors import CurateError, TrainingError
from sft.training import callbacks
from sft.training.stage import run

started = PartialState.__init__


def sharding(state: Any, *arguments: Any, **named: Any) -> None:
    """Start as on a CPU, then go on as on GPUs, for which accelerate shards."""
    started(state, *arguments, **named)
    if state.distributed_type == DistributedType.MULTI_CPU:
        zero = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
        state.distributed_type = DistributedType.DEEPSPEED if zero else DistributedType.MULTI_GPU


class Stops(callbacks.Watch):
    """Breaks a run off after its third step."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.global_step == 3:
            raise TrainingError("stopped at step 3")


def attempt(recipe: Path) -> None:
    """Run, or print why not."""
    try:
        run(recipe)
    except CurateError as error:
        print(f"{recipe.stem}: {error}", flush=True)


def main() -> None:
    """Run the recipes that are named."""
    for recipe in map(Path, sys.argv[1:]):
        if recipe.stem == "stopped":
            with patch.object(callbacks, "Watch", Stops):
                attempt(recipe)
        attempt(recipe)


if __name__ == "__main__":
    with patch.object(PartialState, "__init__", sharding):
        main()
