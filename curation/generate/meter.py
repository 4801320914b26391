"""Progress of generation: what every stage shows of its progress, and tokens per second and failures."""

from contextlib import ExitStack
from time import monotonic
from types import TracebackType
from typing import Self

from curation import console
from curation.engines import Reply

KEEPS = "finished traces are saved; the same command goes on with the others"


class Meter:
    """Counts replies while a `with` block runs."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._open = ExitStack()
        self.replies = 0
        self.failures = 0
        self.prompt_tokens = 0
        self.new_tokens = 0

    def __enter__(self) -> Self:
        self._advance = self._open.enter_context(console.progress("generate", self._total, "traces", KEEPS))
        self._began = monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._open.close()
        if done := self.replies + self.failures:
            console.say(f"generate: {done}/{self._total} traces, {self.text()}")

    def reply(self, reply: Reply) -> None:
        """Count an answer."""
        self.replies += 1
        self.prompt_tokens += reply.prompt_tokens
        self.new_tokens += reply.reasoning_tokens + reply.answer_tokens
        self._advance(note=self.text())

    def failure(self) -> None:
        """Count a question that was not answered."""
        self.failures += 1
        self._advance(note=self.text())

    def text(self) -> str:
        """Tokens per second, and failures where there are any."""
        rate = self.new_tokens / max(monotonic() - self._began, 1e-6)
        return f"{rate:,.0f} tokens/s" + (f", {self.failures} failed" if self.failures else "")
