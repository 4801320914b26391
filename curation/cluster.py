"""The one home of Ray: generating and judging as Ray Data jobs, on one machine or a cluster.

Replicas only answer; parts are written by the process that started the job, so a worker or node that dies loses nothing:
Ray asks its batch again elsewhere, and a job that dies altogether is finished by running the command again. Set
RAY_ADDRESS to use a running cluster; the toolkit and the model's folder must be there on every node.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa

from annotators import catalog
from curation.dedup import texts
from curation.dedup.texts import CountedRuns, Made, Work
from curation.engines import Engine, Message, Reply, Sampling
from curation.engines.choosing import EngineSettings, Kind, model_name, open_engine
from curation.engines.streaming import Answered, Question, in_order, stream
from curation.judging import Judged, judge
from curation.memory import Array
from schemas.errors import CurateError, EngineError, MissingExtraError
from schemas.ids import content_id

BATCH = 512
"""Questions a replica is handed at once: enough to keep vLLM busy."""
RETRIES = 10
"""Workers or nodes that may die under one part before the job gives up."""
T = TypeVar("T")
INNER: Kind = "auto"
"""What a replica runs where it is no client of a server."""


class RayEngine:
    """Answers with several replicas of an engine."""

    def __init__(self, settings: EngineSettings, seed: int = 0) -> None:
        self.name = model_name(settings)
        self._settings = settings.model_copy(update={"kind": "openai" if settings.server else INNER})
        self._seed = seed
        _start()

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Answer each conversation, in order."""
        questions = [Question(messages, sampling.seed + i) for i, messages in enumerate(conversations)]
        return in_order(self.stream(questions, sampling), len(questions))

    def stream(self, questions: Sequence[Question], sampling: Sampling) -> Iterator[Answered]:
        """Answer the questions in order of arrival.

        Raises:
            EngineError: if the replicas cannot start, or die again and again.
        """
        import ray

        replicas = self._settings.replicas
        size = max(1, min(BATCH, -(-len(questions) // (4 * replicas))))
        rows = [
            {"place": place, "question": orjson.dumps(question._asdict()).decode()}
            for place, question in enumerate(questions)
        ]
        # A block is what Ray retries as a whole; one block is one batch.
        answered = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // size)).map_batches(
            Replica,
            fn_constructor_args=(self._settings.model_dump_json(), sampling.model_dump_json(), self._seed),
            batch_size=size,
            concurrency=replicas,
            num_gpus=_gpus(self._settings),
        )
        try:
            for row in answered.iter_rows():
                yield Answered(row["place"], _read(row["reply"]))
        except ray.exceptions.RayError as error:
            raise EngineError(
                f"{self.name}: the Ray job stopped ({_cause(error)}); run the same command again to go on"
            ) from error


class Replica:
    """One engine in a worker process."""

    def __init__(self, settings: str, sampling: str, seed: int) -> None:
        import ray

        # Replicas with the same seed would give the samples of one prompt the same answer.
        own = content_id([seed, ray.get_runtime_context().get_actor_id()])
        self._engine: Engine = open_engine(EngineSettings.model_validate_json(settings), int(own[:7], 16))
        self._sampling = Sampling.model_validate_json(sampling)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer a batch of questions."""
        questions = [Question(**orjson.loads(text)) for text in batch["question"]]
        places, replies = [], []
        for place, reply in stream(self._engine, questions, self._sampling):
            places.append(int(batch["place"][place]))
            replies.append(_write(reply))
        return {"place": places, "reply": replies}


def judge_on_ray(name: str, batches: Iterable[pa.RecordBatch], workers: int) -> Iterator[Judged]:
    """Judge batches of traces with an annotator of the catalog, in several workers.

    Raises:
        EngineError: if the workers die again and again.
    """
    import ray

    _start()
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    if not tables:
        return
    judged = ray.data.from_arrow(tables).map_batches(
        Judge,
        fn_constructor_args=(name,),
        batch_size=None,
        batch_format="pyarrow",
        concurrency=workers,
    )
    try:
        for row in judged.iter_rows():
            yield Judged(
                _table(row["annotations"]),
                [tuple(pair) for pair in orjson.loads(row["failures"])],
                row["traces"],
            )
    except ray.exceptions.RayError as error:
        raise EngineError(
            f"{name}: the Ray job stopped ({_cause(error)}); run the same command again"
        ) from error


class Judge:
    """One annotator in a worker process."""

    def __init__(self, name: str) -> None:
        self._annotator = catalog.get(name)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Judge a batch; the annotations travel as one Arrow stream."""
        found = judge(self._annotator, batch.combine_chunks().to_batches()[0])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, found.annotations.schema) as writer:
            writer.write_table(found.annotations)
        return pa.table(
            {
                "annotations": pa.array([sink.getvalue().to_pybytes()], pa.large_binary()),
                "failures": [orjson.dumps(found.failures).decode()],
                "traces": [found.traces],
            }
        )


def count_on_ray(parts: Sequence[Path], workers: int) -> Iterator[CountedRuns]:
    """`dedup.texts.count`, in several workers; raises as `judge_on_ray` does."""
    return _part_by_part(lambda part: next(texts.count([part])), parts, workers)


def make_on_ray(parts: Sequence[Path], work: Work, common: Array, workers: int) -> Iterator[Made]:
    """`dedup.texts.make`, in several workers; raises as `judge_on_ray` does."""

    def make(part: Path) -> Made:
        made = [*texts.make([part], work, common)]
        return Made(*(np.concatenate(column) for column in zip(*made, strict=True)))

    return _part_by_part(make, parts, workers)


def _part_by_part(work: Callable[[Path], T], parts: Sequence[Path], workers: int) -> Iterator[T]:
    """Work on parts, in order of the parts; twice as many as there are workers are under way, however many there are.

    Ray does again elsewhere what a worker or node took with it; an answer that lay on a lost node is made anew.
    """
    import ray

    _start()
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
            else EngineError(f"the Ray job stopped ({_cause(error)}); run the same command again")
        ) from error
    except ray.exceptions.RayError as error:
        raise EngineError(f"the Ray job stopped ({_cause(error)}); run the same command again") from error


def _start() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    if not ray.is_initialized():
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False


def _gpus(settings: EngineSettings) -> int:
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return settings.vllm.tensor_parallel if resources.get("GPU") and not settings.server else 0


def _write(reply: Reply | EngineError) -> str:
    return orjson.dumps({"error": str(reply)} if isinstance(reply, EngineError) else reply._asdict()).decode()


def _read(text: str) -> Reply | EngineError:
    found = orjson.loads(text)
    return EngineError(found["error"]) if "error" in found else Reply(**found)


def _table(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def _cause(error: Exception) -> str:
    """The last line of a Ray error: what went wrong, without the traces of all the processes between."""
    return next(
        (line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
    )[:300]
