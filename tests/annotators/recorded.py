"""A model that plays replies back, to test what is made of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annotators.base import Answer, Conversation
from schemas.errors import EngineError
from schemas.ids import content_id
from schemas.trace import Trace

Reply = str | EngineError | Answer
"""An Answer's place is filled in."""


class Recorded:
    """Answers each conversation with the next reply recorded under a word of its text, last question first.

    An exhausted record stops the model, as a server that has gone away does.
    """

    name = "recorded@server"

    def __init__(self, replies: Mapping[str, Sequence[Reply]]) -> None:
        self._replies = {word: list(said) for word, said in replies.items()}
        self.asked: list[Conversation] = []
        self.schemas: list[Any] = []

    def answer(
        self,
        conversations: Sequence[Conversation],
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
    ) -> Iterator[Answer]:
        for place in reversed(range(len(conversations))):
            self.asked.append(conversations[place])
            self.schemas.append(schema)
            text = " ".join(message["content"] for message in conversations[place])
            word = next(word for word in self._replies if word in text)
            if not self._replies[word]:
                raise EngineError("no usable answer for 120 s")
            said = self._replies[word].pop(0)
            yield said._replace(place=place) if isinstance(said, Answer) else Answer(place, said)


def make_trace(
    prompt: str, reasoning: str, answer: str = "Sorry, no.", kind: str | None = "harmful"
) -> Trace:
    return Trace(
        trace_id=content_id([prompt, reasoning, answer]),
        prompt_id=content_id(prompt),
        prompt=prompt,
        kind=kind,  # type: ignore[arg-type]
        reasoning=reasoning,
        answer=answer,
    )
