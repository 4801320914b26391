"""Models for annotators: an engine, loaded at its first use, with token counts.

Judges answer greedily, in order of completion. The prompts are made by the rubrics and guards in `annotators`.
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
        """Tokens sent and received so far, for a manifest."""
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
            # A schema enforced from the first token does not allow the end of a think block opened by the chat
            # template: the whole reply follows the schema.
            return reply.reasoning
        return reply.answer if reply.think_state in ANSWERED else ""


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
