"""An engine of several replicas on a Ray cluster: each is one of the engines of `local`."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from annotators.base import Token
from curation import cluster
from curation.engines.base import Engine, Message, Reply, Sampling
from curation.engines.local import open_local
from curation.engines.settings import EngineSettings, model_name
from curation.engines.streaming import Answered, Question, in_order, stream
from schemas.choices import EngineKind
from schemas.errors import EngineError
from schemas.ids import content_id

BATCH = 512
"""Questions a replica is handed at once: enough to keep vLLM busy."""
INNER: EngineKind = "auto"
"""What a replica runs where it is no client of a server."""


class RayEngine:
    """Answers with several replicas of an engine."""

    def __init__(self, settings: EngineSettings, seed: int = 0) -> None:
        self.name = model_name(settings)
        self._settings = settings.model_copy(update={"kind": "openai" if settings.server else INNER})
        self._seed = seed
        cluster.start()

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Answer each conversation, in order."""
        questions = [Question(messages, sampling.seed + i) for i, messages in enumerate(conversations)]
        return in_order(self.stream(questions, sampling), len(questions))

    def stream(self, questions: Sequence[Question], sampling: Sampling) -> Iterator[Answered]:
        """Answer the questions in order of arrival.

        Raises:
            EngineError: if the replicas cannot start, or die again and again.
        """
        replicas = self._settings.replicas
        size = max(1, min(BATCH, -(-len(questions) // (4 * replicas))))
        rows = [
            {"place": place, "question": orjson.dumps(question._asdict()).decode()}
            for place, question in enumerate(questions)
        ]
        made_with = (self._settings.model_dump_json(), sampling.model_dump_json(), self._seed)
        try:
            for row in cluster.map_rows(rows, size, Replica, made_with, replicas, _gpus(self._settings)):
                yield Answered(row["place"], _read(row["reply"]))
        except EngineError as error:
            raise EngineError(f"{self.name}: {error} to go on") from error


class Replica:
    """One engine in a worker process."""

    def __init__(self, settings: str, sampling: str, seed: int) -> None:
        # Replicas with the same seed would give the samples of one prompt the same answer.
        own = content_id([seed, cluster.worker_id()])
        self._engine: Engine = open_local(EngineSettings.model_validate_json(settings), int(own[:7], 16))
        self._sampling = Sampling.model_validate_json(sampling)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer a batch of questions."""
        questions = [Question(**orjson.loads(text)) for text in batch["question"]]
        places, replies = [], []
        for place, reply in stream(self._engine, questions, self._sampling):
            places.append(int(batch["place"][place]))
            replies.append(_write(reply))
        return {"place": places, "reply": replies}


def _gpus(settings: EngineSettings) -> int:
    return settings.vllm.tensor_parallel if cluster.has_gpus() and not settings.server else 0


def _write(reply: Reply | EngineError) -> str:
    if isinstance(reply, EngineError):
        return orjson.dumps({"error": str(reply)}).decode()
    tokens = [[token.text, dict(token.alternatives)] for token in reply.tokens]
    return orjson.dumps(reply._asdict() | {"tokens": tokens}).decode()


def _read(text: str) -> Reply | EngineError:
    reply = orjson.loads(text)
    if "error" in reply:
        return EngineError(reply["error"])
    return Reply(**reply | {"tokens": tuple(Token(*token) for token in reply["tokens"])})
