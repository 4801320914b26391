"""Metrics to Weights & Biases or trackio, which share an interface; TensorBoard has its own callback.

Not transformers' callbacks: those send the training arguments with local paths. Only what a manifest may contain is sent, and
a resumed run continues its record. Keys stay in the libraries' own environment variables or login.
"""

import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from schemas.errors import TrainingError, require
from schemas.ids import content_id
from sft.training.config import TrainConfig

PROJECT = "lrm-curate"
WANDB = {
    "host": "-", "console": "off", "disable_code": True, "disable_git": True, "x_disable_machine_info": True,
    "x_disable_meta": True, "x_save_requirements": False,
}  # fmt: skip
"""Keeps wandb from sending host name, paths, terminal output and installed packages."""


class Tracker(TrainerCallback):
    """Sends every logged step."""

    def __init__(self, config: TrainConfig) -> None:
        """Raises MissingExtraError if the library is not installed."""
        require(config.report_to)
        self._config = config
        self._library: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        name = self._config.report_to
        self._library = import_module(name)
        try:
            with redirect_stdout(sys.stderr):  # trackio prints to stdout, which is for results
                self._library.init(**record_of(self._config))
        except Exception as error:  # the libraries and their clients have no common error class
            raise TrainingError(
                f"report_to: {name} failed to start ({error}); log in, set WANDB_MODE=offline for wandb, or set report_to to none"
            ) from error

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if self._library:
            self._library.log(dict(logs or {}), step=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._library:
            with redirect_stdout(sys.stderr):
                self._library.finish()
            self._library = None  # the last evaluation is logged after the end; metrics.jsonl has it


def record_of(config: TrainConfig) -> dict[str, Any]:
    """What is sent when a run begins: its settings, without a path of this machine, and the record that a resumed run goes on in."""
    folder = Path(config.out).resolve()
    named = {"model": Path(config.model).name, "mix": Path(config.mix).name}
    settings = config.model_dump(mode="json", exclude={"out", "presafe", "token_weights"}) | named
    if config.presafe:
        settings["presafe"] = config.presafe.model_dump(mode="json", exclude={"decisions"})
    if config.token_weights:
        settings["token_weights"] = config.token_weights.model_dump(mode="json", exclude={"ranges"})
    number = content_id([str(folder), settings])
    if config.report_to == "wandb":
        place = {"name": folder.name, "id": number[:16], "dir": str(folder), "settings": WANDB}
    else:
        place = {"name": f"{folder.name}-{number[:8]}"}  # trackio resumes a run by its name
    return {"project": PROJECT, "config": settings, "resume": "allow", **place}
