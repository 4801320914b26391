"""Models for annotators: an engine, loaded at its first use, with token counts.

Judges answer greedily, or with one seed per sample, in order of completion. The prompts are made by the rubrics and guards
in `annotators`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from annotators.base import Annotator, Answer, Conversation
from curation.engines import Engine, Reply, Sampling
from curation.engines.choosing import open_engine
from curation.engines.settings import EngineSettings, model_name, runs_on_cpu
from curation.engines.streaming import Question, stream
from schemas.errors import EngineError
from schemas.response import CLOSE
from schemas.trace import Trace

BYTES_PER_TOKEN = 4
ALTERNATIVES = 5
"""Likely tokens that are asked for at each place: enough for every word that may be a verdict."""
CUT_SHORT = ("truncated", "blocked", "cut")
"""States of replies that ended too early; without an answer, they were still thinking."""


class EngineModel:
    """An engine as annotators see it."""

    def __init__(self, settings: EngineSettings) -> None:
        self.name = model_name(settings)
        self._settings = settings
        self._engine: Engine | None = None
        self.questions = self.prompt_tokens = self.generated_tokens = 0
        self.on_reply: Callable[[str], None] = lambda note: None
        """Told after each reply how many there were, since a batch of traces may take long."""

    @property
    def on_cpu(self) -> bool:
        """Whether its replies may take minutes; see `runs_on_cpu`."""
        return runs_on_cpu(self._settings)

    def answer(
        self,
        conversations: Sequence[Conversation],
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
    ) -> Iterator[Answer]:
        """Answer the conversations; see `annotators.base.Model`."""
        if not conversations:
            return
        self._engine = self._engine or open_engine(self._settings)
        sampling = Sampling(
            max_new_tokens=max_tokens,
            temperature=temperature,
            json_schema=dict(schema) if schema else None,
            continues=False,
            alternatives=ALTERNATIVES,
        )
        questions = [
            Question([dict(message) for message in asked], place if temperature else 0)
            for place, asked in enumerate(conversations)
        ]
        for place, reply in stream(self._engine, questions, sampling):
            if isinstance(reply, EngineError):
                yield Answer(place, reply)
            else:
                yield Answer(place, self._read(reply), reply.tokens)

    def tokens(self) -> dict[str, int]:
        """Tokens sent and received so far, for a manifest."""
        return {
            "questions": self.questions,
            "prompt": self.prompt_tokens,
            "generated": self.generated_tokens,
        }

    def _read(self, reply: Reply) -> str:
        self.questions += 1
        self.on_reply(f"{self.questions:,} replies")
        self.prompt_tokens += reply.prompt_tokens
        self.generated_tokens += reply.reasoning_tokens + reply.answer_tokens
        return verdict_text(reply)


def verdict_text(reply: Reply) -> str:
    """The part of a judge's reply that may hold its verdict; "" if it was cut off while thinking.

    A verdict may stand where an answer to a question never would: in the reasoning, if a schema binds from the first token
    and leaves no room for the end of a think block, or if a server's parser took all for reasoning; and in a cut reply, since
    a guard may go on after its first word.
    """
    if reply.answer.strip():
        return reply.answer
    if reply.think_state in CUT_SHORT:
        return ""
    before, closed, after = reply.reasoning.rpartition(CLOSE)
    return after if closed and after.strip() else before + after


class CallEstimate(NamedTuple):
    """Estimated requests and tokens of an annotator."""

    traces: int
    """Traces without its annotations."""
    questions: int
    """Requests, without retries."""
    prompt_tokens: int
    """UTF-8 bytes / 4."""
    generated_tokens: int
    """By the usual length of the annotator's replies."""


def estimate(annotator: Annotator, traces: Iterator[Trace]) -> CallEstimate:
    """Estimate requests and tokens for some traces; calls no model."""
    seen = questions = size = 0
    for trace in traces:
        asked = annotator.questions(trace) if annotator.questions else ()
        seen += 1
        questions += len(asked)
        size += sum(len(message["content"].encode()) for messages in asked for message in messages)
    return CallEstimate(seen, questions, size // BYTES_PER_TOKEN, questions * annotator.reply_tokens)
