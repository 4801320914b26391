"""The only user of Ray: jobs on one machine or a cluster.

Workers only compute; parts are written by the process that started the job, so a worker or node that dies loses nothing: Ray
retries its batch elsewhere, and a job that dies is finished by repeating the command. Set RAY_ADDRESS to use a running
cluster; the toolkit and the model's folder must exist on every node.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from schemas.errors import CurateError, EngineError, require

RETRIES = 10
"""Retries of a part after the death of a worker or node."""
T = TypeVar("T")


def start() -> None:
    """Join the cluster, or start one on this machine.

    Raises:
        MissingExtraError: if Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    require("ray")
    import ray
    import ray.data

    if not ray.is_initialized():
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False


def map_rows(
    rows: Sequence[dict[str, Any]],
    size: int,
    worker: type,
    arguments: tuple[Any, ...],
    workers: int,
    gpus: int,
) -> Iterator[dict[str, Any]]:
    """The workers' results for batches of rows, in order of completion.

    Args:
        rows: the input.
        size: rows per batch.
        worker: a class whose instances are called with a batch of columns.
        arguments: of its constructor.
        workers: number of workers.
        gpus: GPUs per worker.

    Raises:
        EngineError: if the workers cannot start, or die repeatedly.
    """
    import ray

    # A block is what Ray retries as a whole; one block is one batch.
    made = ray.data.from_items(list(rows), override_num_blocks=-(-len(rows) // size)).map_batches(
        worker, fn_constructor_args=arguments, batch_size=size, concurrency=workers, num_gpus=gpus
    )
    yield from _rows(made)


def map_tables(
    tables: Sequence[pa.Table], worker: type, arguments: tuple[Any, ...], workers: int
) -> Iterator[dict[str, Any]]:
    """The workers' results for each table, in order of completion; raises as `map_rows` does."""
    import ray

    made = ray.data.from_arrow(list(tables)).map_batches(
        worker, fn_constructor_args=arguments, batch_size=None, batch_format="pyarrow", concurrency=workers
    )
    yield from _rows(made)


def _rows(made: Any) -> Iterator[dict[str, Any]]:
    import ray

    try:
        yield from made.iter_rows()
    except ray.exceptions.RayError as error:
        raise EngineError(f"the Ray job stopped ({_cause(error)}); repeat the command to resume") from error


def part_by_part(work: Callable[[Path], T], parts: Sequence[Path], workers: int) -> Iterator[T]:
    """Process parts and return the results in order of the parts; at most twice as many as workers are in flight.

    Ray retries parts of dead workers and recomputes results lost with a node.

    Raises:
        EngineError: if the workers die repeatedly.
    """
    import ray

    start()
    task, running, rest = ray.remote(max_retries=RETRIES)(work), deque[Any](), iter(parts)
    try:
        while True:
            running += [task.remote(part.resolve()) for part in islice(rest, 2 * workers - len(running))]
            if not running:
                return
            yield ray.get(running.popleft())
    except ray.exceptions.RayTaskError as error:
        raise (
            error.cause
            if isinstance(error.cause, CurateError)
            else EngineError(f"the Ray job stopped ({_cause(error)}); repeat the command to resume")
        ) from error
    except ray.exceptions.RayError as error:
        raise EngineError(f"the Ray job stopped ({_cause(error)}); repeat the command to resume") from error


def worker_id() -> str:
    """Id of the current worker."""
    import ray

    return str(ray.get_runtime_context().get_actor_id())


def has_gpus() -> bool:
    """Whether any node has a GPU."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return bool(resources.get("GPU"))


def _cause(error: Exception) -> str:
    """The last line of a Ray error, without the tracebacks of intermediate processes."""
    return next(
        (line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
    )[:300]
