"""Models for annotators: an engine that judges, loaded when it is first asked, with its tokens counted.

Judges answer greedily and in order of arrival. Nothing here knows what is asked; the rubrics and guards in `annotators` do.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from annotators.base import Annotator, Answer, Conversation
from curation.engines import Engine, Reply, Sampling
from curation.engines.choosing import open_engine
from curation.engines.settings import EngineSettings, model_name
from curation.engines.streaming import Question, stream
from schemas.errors import EngineError
from schemas.trace import Trace

BYTES_PER_TOKEN = 4
ANSWERED = ("closed", "no_think")
"""Think states of replies that have an answer."""


class EngineModel:
    """An engine as annotators see it."""

    def __init__(self, settings: EngineSettings) -> None:
        self.name = model_name(settings)
        self._settings = settings
        self._engine: Engine | None = None
        self.questions = self.prompt_tokens = self.generated_tokens = 0

    def answer(
        self, conversations: Sequence[Conversation], max_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> Iterator[Answer]:
        """Answer the conversations; see `annotators.base.Model`."""
        if not conversations:
            return
        self._engine = self._engine or open_engine(self._settings)
        sampling = Sampling(
            max_new_tokens=max_tokens, json_schema=dict(schema) if schema else None, continues=False
        )
        questions = [Question([dict(message) for message in asked], 0) for asked in conversations]
        for place, reply in stream(self._engine, questions, sampling):
            yield Answer(
                place, reply if isinstance(reply, EngineError) else self._read(reply, schema is not None)
            )

    def tokens(self) -> dict[str, int]:
        """What was asked and answered so far, for a manifest."""
        return {
            "questions": self.questions,
            "prompt": self.prompt_tokens,
            "generated": self.generated_tokens,
        }

    def _read(self, reply: Reply, bound: bool) -> str:
        self.questions += 1
        self.prompt_tokens += reply.prompt_tokens
        self.generated_tokens += reply.reasoning_tokens + reply.answer_tokens
        if bound and reply.think_state == "unclosed":
            # A schema that binds from the first token leaves no room for the end of a think block that the chat
            # template has opened: all there is follows the schema.
            return reply.reasoning
        return reply.answer if reply.think_state in ANSWERED else ""


class CallEstimate(NamedTuple):
    """What an annotator would take."""

    traces: int
    """Not judged yet."""
    questions: int
    """Before anything is asked again."""
    prompt_tokens: int
    """UTF-8 bytes / 4."""
    generated_tokens: int
    """By the usual length of the annotator's replies."""


def estimate(annotator: Annotator, traces: Iterator[Trace]) -> CallEstimate:
    """What it would take to judge some traces. Nobody is asked."""
    seen = questions = size = 0
    for trace in traces:
        asked = annotator.questions(trace) if annotator.questions else ()
        seen += 1
        questions += len(asked)
        size += sum(len(message["content"].encode()) for messages in asked for message in messages)
    return CallEstimate(seen, questions, size // BYTES_PER_TOKEN, questions * annotator.reply_tokens)
