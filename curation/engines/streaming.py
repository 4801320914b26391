"""Many questions to one engine, answers as they arrive, so that a long answer holds nobody up and failures stay single.

Engines with a queue of their own (vLLM, servers) are `StreamingEngine`s; any other engine is asked a batch at a time.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

from curation.console import Advance
from curation.engines.base import Engine, Message, Reply, Sampling, UnfitConversation
from schemas.errors import EngineError
from schemas.ids import content_id

BATCH = 64


class Question(NamedTuple):
    """One conversation and the seed of its answer."""

    messages: Sequence[Message]
    seed: int
    """Differs between samples of one prompt; engines that cannot seed single answers seed a batch or a session."""


class Answered(NamedTuple):
    """What became of a question."""

    place: int
    """Its place among the questions, from 0."""
    reply: Reply | EngineError


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that keeps many questions going at once."""

    def stream(self, questions: Sequence[Question], sampling: Sampling) -> Iterator[Answered]:
        """Answer the questions, in order of arrival, each exactly once.

        Raises:
            EngineError: if no further question can be answered.
        """
        ...


def stream(engine: Engine, questions: Sequence[Question], sampling: Sampling) -> Iterator[Answered]:
    """Answer the questions on any engine; raises as `StreamingEngine.stream` does."""
    if isinstance(engine, StreamingEngine):
        yield from engine.stream(questions, sampling)
        return
    numbered = iter(enumerate(questions))
    while batch := list(islice(numbered, BATCH)):
        seed = int(content_id([question.seed for _, question in batch])[:8], 16)
        seeded = sampling.model_copy(update={"seed": seed})
        try:
            replies = engine.chat([question.messages for _, question in batch], seeded)
        except UnfitConversation:
            yield from _one_by_one(engine, batch, seeded)
            continue
        for (index, _), reply in zip(batch, replies, strict=True):
            yield Answered(index, reply)


def _one_by_one(
    engine: Engine, batch: Sequence[tuple[int, Question]], sampling: Sampling
) -> Iterator[Answered]:
    """Answer a batch of which a conversation is unfit."""
    for index, question in batch:
        try:
            (reply,) = engine.chat([question.messages], sampling)
        except UnfitConversation as error:
            yield Answered(index, error)
        else:
            yield Answered(index, reply)


def told(answers: Iterator[Answered], advance: Advance) -> Iterator[Answered]:
    """The answers, each of which advances a progress."""
    for answer in answers:
        advance()
        yield answer


def in_order(answers: Iterator[Answered], total: int) -> list[Reply]:
    """The replies in the order of their questions.

    Raises:
        EngineError: if a question was not answered.
    """
    replies: dict[int, Reply] = {}
    for place, reply in answers:
        if isinstance(reply, EngineError):
            raise reply
        replies[place] = reply
    return [replies[index] for index in range(total)]
