"""A real model that is stopped after a few words: what is tried is the way there and back, not what it thinks."""

from collections.abc import Iterator, Sequence
from typing import Any

from annotators.base import Answer, Conversation
from curation.annotate.asking import EngineModel


class ShortReplies:
    """A judge's model that says at most 48 tokens, and keeps what it was asked."""

    def __init__(self, model: EngineModel) -> None:
        self.name, self.asked, self._model = model.name, [], model

    def answer(
        self,
        conversations: Sequence[Conversation],
        max_tokens: int,
        schema: Any = None,
        temperature: float = 0.0,
    ) -> Iterator[Answer]:
        self.asked += ["\n".join(str(one["content"]) for one in messages) for messages in conversations]
        yield from self._model.answer(conversations, 48, schema, temperature)
