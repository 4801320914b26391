"""Work is done piece by piece, or one piece on each GPU, in processes of their own; failures stop nothing else."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import DataError, MissingExtraError
from sft.devices import VISIBLE, Step, each


def note(folder: str, name: str) -> None:
    if name == "bad":
        raise DataError("no such data")
    if name == "missing":
        raise MissingExtraError("trl", "train")
    if name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    (Path(folder) / name).write_text(f"{os.environ.get(VISIBLE)} {os.getpid()}")


def steps(folder: Path) -> object:
    def work(name: str) -> Iterator[Step]:
        yield Step(note, (str(folder), name))
        yield Step(note, (str(folder), f"{name}-scored"))

    return work


def test_a_piece_that_fails_is_named_and_its_other_steps_are_left_out(tmp_path: Path) -> None:
    failed = each(["a", "bad", "b"], steps(tmp_path), ["A", "BAD", "B"], gpus=[])  # type: ignore[arg-type]
    assert failed == {"BAD": "no such data"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a-scored", "b", "b-scored"]


def test_every_step_on_a_gpu_is_a_process_that_sees_it_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "test_devices", sys.modules[__name__])
    monkeypatch.setattr(note, "__module__", "tests.sft.test_devices")
    failed = each(["a", "killed", "missing"], steps(tmp_path), ["A", "K", "M"], gpus=["7"])  # type: ignore[arg-type]
    assert "process was killed" in failed["K"] and "lrm-curate[train]" in failed["M"]
    seen = [(tmp_path / name).read_text().split() for name in ("a", "a-scored")]
    assert [gpu for gpu, _ in seen] == ["7", "7"] and len({pid for _, pid in seen} | {str(os.getpid())}) == 3
