"""Runs pieces of work one after the other here, or one on each GPU at a time, each step in a process of its own.

The surprise: training and scoring in one process leave the optimiser's memory to the engine that comes after. On a GPU every step is
therefore a child, which gives all of it back.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from queue import Queue
from typing import Any, NamedTuple, TypeVar

from curation import console
from schemas.errors import CurateError

VISIBLE = "CUDA_VISIBLE_DEVICES"
Piece = TypeVar("Piece")


class Step(NamedTuple):
    """One step of a piece of work: a function of a module, and what it is called with."""

    function: Callable[..., None]
    arguments: tuple[Any, ...]


def visible() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE)
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def each(
    pieces: Sequence[Piece],
    work: Callable[[Piece], Iterable[Step]],
    titles: Sequence[str],
    gpus: Sequence[str] | None = None,
) -> dict[str, str]:
    """Do every piece's steps, and say which pieces failed and why; a failure stops no other piece.

    Args:
        pieces: what is to be done.
        work: the steps of a piece.
        titles: of the pieces, for progress and failures.
        gpus: one piece at a time on each of these; those that are visible by default.
    """
    gpus = visible() if gpus is None else gpus
    numbered = [(n, piece, title) for n, (piece, title) in enumerate(zip(pieces, titles, strict=True), 1)]

    def one(number: int, piece: Piece, title: str, run: Callable[[Step], str | None]) -> str | None:
        console.say(f"sweep: {number} of {len(pieces)}: {title}")
        return next(_failures(work(piece), run), None)

    if not gpus:
        reasons = [one(*told, _attempt) for told in numbered]
    else:
        free: Queue[str] = Queue()
        for gpu in gpus:
            free.put(gpu)

        def on_a_gpu(told: tuple[int, Piece, str]) -> str | None:
            gpu = free.get()
            try:
                return one(*told, lambda step: _apart(gpu, step))
            finally:
                free.put(gpu)

        with ThreadPoolExecutor(len(gpus)) as threads:
            reasons = list(threads.map(on_a_gpu, numbered))
    failed = {title: reason for title, reason in zip(titles, reasons, strict=True) if reason}
    for title, reason in failed.items():
        console.say(f"sweep: {title} failed: {reason}")
    return failed


def _failures(steps: Iterable[Step], run: Callable[[Step], str | None]) -> Iterator[str]:
    """The reason of the first step that failed; the steps after it are not taken."""
    for step in steps:
        if reason := run(step):
            yield reason


def _attempt(step: Step) -> str | None:
    try:
        step.function(*step.arguments)
    except CurateError as error:
        return str(error)
    return None


def _apart(gpu: str, step: Step) -> str | None:
    """Take a step in a new process that sees one GPU."""
    with ProcessPoolExecutor(1, get_context("spawn"), _use, (gpu,)) as child:
        try:
            return child.submit(_attempt, step).result()
        except BrokenProcessPool:
            return "its process was killed, most likely for lack of memory; use a smaller batch or another method"
        except RuntimeError as error:  # CUDA out of memory, for one
            return f"{type(error).__name__}: {error}"


def _use(gpu: str) -> None:
    os.environ[VISIBLE] = gpu
