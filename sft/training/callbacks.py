"""What a run does at each logged step: writes its metrics, keeps its count of tokens, and stops where the loss diverges."""

import json
import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from curation.console import Advance
from schemas.errors import TrainingError

SIGNIFICANT = 6
"""Significant digits of a metric."""
WINDOW = 10
"""Number of logged losses that are averaged to detect divergence."""
DIVERGED = 3.0
"""A run has diverged if its mean loss exceeds its best by this factor."""


class Watch(TrainerCallback):
    """Stops a run whose loss is not finite or has diverged.

    Args:
        out: the run's folder, for the message.
        least: a best loss below this counts as this; DPO's goes towards 0, of which many times over is still next to nothing.
    """

    def __init__(self, out: Path, least: float = 0.0) -> None:
        self._out, self._least = out, least
        self._losses: list[float] = []
        self._best = math.inf

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        self._losses = [*self._losses, loss][-WINDOW:]
        mean = sum(self._losses) / len(self._losses)
        if len(self._losses) == WINDOW:
            self._best = min(self._best, mean)
        if not math.isfinite(loss) or mean > DIVERGED * max(self._best, self._least):
            best = f", after a best of {self._best:.4g}" if math.isfinite(self._best) else ""
            told = (
                f"the mean loss of the last {WINDOW} logs is {mean:.4g}"
                if math.isfinite(loss)
                else f"the loss is {loss:.4g}"
            )
            raise TrainingError(
                f"{self._out}: step {state.global_step}: {told}{best}; lower learning_rate or add warmup_steps, and set `out` to a new folder"
            )


class TokenCount(TrainerCallback, ExportableState):
    """Keeps the number of trained tokens in checkpoints: TRL counts from zero again in a resumed run."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"num_tokens": self._trainer._total_train_tokens}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kept = state.stateful_callbacks.get(type(self).__name__, {})
        if state.global_step:
            self._trainer._total_train_tokens = int(kept.get("attributes", {}).get("num_tokens", 0))


class MetricsFile(TrainerCallback):
    """Writes every logged step to metrics.jsonl, and advances the progress bar.

    A resumed run rewrites the file from the checkpoint's history first, so repeated steps are listed once.
    """

    def __init__(self, path: Path, advance: Advance) -> None:
        self._path = path
        self._advance = advance

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._path.write_text("".join(_line(entry) for entry in state.log_history), encoding="utf-8")
        self._advance(state.global_step, total=state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._advance()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            with self._path.open("a", encoding="utf-8") as handle:
                handle.write(_line(state.log_history[-1]))


def _line(entry: dict[str, Any]) -> str:
    rounded = {k: float(f"{v:.{SIGNIFICANT}g}") if isinstance(v, float) else v for k, v in entry.items()}
    return json.dumps(rounded) + "\n"
