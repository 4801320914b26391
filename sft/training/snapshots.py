"""Snapshots of a run: its trained weights and Adam's second moments at a few steps, which `sft attribute` replays.

    OUT/snapshots/step-000012/weights.safetensors    the trained parameters before step 13, float32
    OUT/snapshots/step-000012/moments.safetensors    Adam's second moments, bias-corrected; not there for other optimisers
    OUT/snapshots/step-000012/snapshot.json          the learning rate of that step x the steps that the snapshot stands for

The surprise: the run is divided into equal intervals, and a snapshot is taken in the middle of each. The last step of a cosine schedule
has a learning rate near 0, so a snapshot at the end would say what nothing was learned from.
"""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from transformers import TrainerCallback

from curation.corpus.store import write_file
from curation.reading import hash_files
from schemas.errors import DataError

FOLDER = "snapshots"
WEIGHTS, MOMENTS, TOLD = "weights.safetensors", "moments.safetensors", "snapshot.json"


class RunSnapshot(NamedTuple):
    """A run at one step."""

    folder: Path
    step: int
    """Optimiser steps taken before it."""
    weight: float
    """Learning rate of the step to come x the steps that the snapshot stands for."""
    epsilon: float | None
    """Adam's; null for other optimisers, whose steps follow the plain gradient."""

    def weights(self) -> dict[str, Any]:
        """The trained parameters by name."""
        return _tensors(self.folder / WEIGHTS)

    def moments(self) -> dict[str, Any]:
        """Adam's second moments by name; none for other optimisers."""
        return {} if self.epsilon is None else _tensors(self.folder / MOMENTS)

    @property
    def fingerprint(self) -> str:
        """Hash of its files."""
        return hash_files(sorted(path for path in self.folder.iterdir() if path.is_file()))


def snapshots(run: Path) -> list[RunSnapshot]:
    """The snapshots of a run, in the order of their steps; none if it kept none.

    Raises:
        DataError: if one is damaged.
    """
    found = []
    for path in sorted((run / FOLDER).glob(f"step-*/{TOLD}")):
        try:
            told = json.loads(path.read_bytes())
            found.append(RunSnapshot(path.parent, told["step"], told["weight"], told["epsilon"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not a snapshot ({error}); train the run again") from error
    return found


def middles(steps: int, count: int) -> list[int]:
    """The steps before which `count` snapshots are taken: the middles of equal intervals, each at most once."""
    count = min(count, steps)
    return sorted({int((number + 0.5) * steps / count) for number in range(count)})


class TakesSnapshots(TrainerCallback):
    """Writes the snapshots of a run; one that a resumed run comes to again is replaced by its equal."""

    def __init__(self, out: Path, count: int) -> None:
        self._out, self._count = out / FOLDER, count

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        steps = middles(state.max_steps, self._count)
        if state.is_world_process_zero and state.global_step in steps:
            weight = kwargs["lr_scheduler"].get_last_lr()[0] * state.max_steps / len(steps)
            _write(self._out, state.global_step, weight, kwargs["model"], kwargs["optimizer"])


def _write(folder: Path, step: int, weight: float, model: Any, optimizer: Any) -> None:
    from safetensors.torch import save_file

    named = {name: one for name, one in model.named_parameters() if one.requires_grad}
    moments, epsilon = _moments(named, optimizer)
    building, final = folder / f".building-{step}", folder / f"step-{step:06}"
    for stale in (building, final):
        shutil.rmtree(stale, ignore_errors=True)
    building.mkdir(parents=True)
    save_file({name: _plain(one) for name, one in named.items()}, building / WEIGHTS)
    if epsilon is not None:
        save_file(moments, building / MOMENTS)
    told = {"step": step, "weight": weight, "epsilon": epsilon}
    write_file(building / TOLD, json.dumps(told).encode() + b"\n")
    building.rename(final)


def _moments(named: dict[str, Any], optimizer: Any) -> tuple[dict[str, Any], float | None]:
    """Adam's second moments divided by their bias, and its epsilon; before the first step there are none."""
    groups = {id(one): group for group in optimizer.param_groups for one in group["params"]}
    moments, epsilon = {}, None
    for name, parameter in named.items():
        state, group = optimizer.state.get(parameter, {}), groups[id(parameter)]
        if "exp_avg_sq" not in state:
            return {}, None
        moments[name] = _plain(state["exp_avg_sq"]) / (1 - group["betas"][1] ** float(state["step"]))
        epsilon = float(group["eps"])
    return moments, epsilon


def _plain(tensor: Any) -> Any:
    return tensor.detach().float().cpu().contiguous().clone()


def _tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read ({error}); train the run again") from error
