"""Metrics to Weights & Biases or trackio, two libraries of one interface; TensorBoard has its own callback.

Not transformers' callbacks: those send the training arguments with this machine's paths. What is sent here is what a manifest may hold,
and a resumed run goes on in its own record. Keys stay in the libraries' own environment variables or login.
"""

import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from schemas.errors import MissingExtraError, TrainingError
from schemas.ids import content_id
from sft.training.config import TrainConfig

PROJECT = "lrm-curate"
WANDB = {
    "host": "-", "console": "off", "disable_code": True, "disable_git": True, "x_disable_machine_info": True,
    "x_disable_meta": True, "x_save_requirements": False,
}  # fmt: skip
"""What keeps wandb from sending host name, paths, terminal and installed packages."""


class Tracker(TrainerCallback):
    """Sends every logged step."""

    def __init__(self, config: TrainConfig) -> None:
        """Raises MissingExtraError if the library is not there."""
        if find_spec(config.report_to) is None:
            raise MissingExtraError(config.report_to, config.report_to)
        self._config = config
        self._library: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        name = self._config.report_to
        self._library = import_module(name)
        try:
            with redirect_stdout(sys.stderr):  # trackio greets on stdout, which belongs to results
                self._library.init(**record_of(self._config))
        except Exception as error:  # each library has its own, and so have their clients
            raise TrainingError(
                f"report_to: {name}: it does not start ({error}); log in, set WANDB_MODE=offline for wandb, or set report_to to none"
            ) from error

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if self._library:
            self._library.log(dict(logs or {}), step=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._library:
            with redirect_stdout(sys.stderr):
                self._library.finish()
            self._library = None  # the last evaluation is logged after the end, and stands in metrics.jsonl


def record_of(config: TrainConfig) -> dict[str, Any]:
    """What is sent when a run begins: its settings, without a path of this machine, and the record that a resumed run goes on in."""
    folder = Path(config.out).resolve()
    named = {"model": Path(config.model).name, "mix": Path(config.mix).name}
    settings = config.model_dump(mode="json", exclude={"out", "presafe"}) | named
    if config.presafe:
        settings["presafe"] = config.presafe.model_dump(mode="json", exclude={"decisions"})
    number = content_id([str(folder), settings])
    if config.report_to == "wandb":
        place = {"name": folder.name, "id": number[:16], "dir": str(folder), "settings": WANDB}
    else:
        place = {
            "name": f"{folder.name}-{number[:8]}"
        }  # trackio finds the run to go on with by its name alone
    return {"project": PROJECT, "config": settings, "resume": "allow", **place}
