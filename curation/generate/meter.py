"""Progress of generation on stderr: rate, tokens per second, time left and failures; a bar on a terminal, else a line now and then."""

import time
from types import TracebackType
from typing import Any, Self

from curation import console
from curation.engines import Reply

LINE_SECONDS = 30.0


class Meter:
    """Counts replies while a `with` block runs."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.replies = 0
        self.failures = 0
        self.prompt_tokens = 0
        self.new_tokens = 0

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        terminal = Console(stderr=True)
        columns = (TextColumn("generate"), BarColumn(), TextColumn("{task.fields[text]}"))
        self._bar: Any = Progress(
            *columns, console=terminal, disable=not terminal.is_terminal, transient=True
        )
        self._silent = terminal.is_terminal
        self._task = self._bar.add_task("generate", total=self._total, text="")
        self._bar.start()
        self._began = self._said = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self.replies + self.failures:
            console.say(f"generate: {self.text()}")

    def reply(self, reply: Reply) -> None:
        """Count an answer."""
        self.replies += 1
        self.prompt_tokens += reply.prompt_tokens
        self.new_tokens += reply.reasoning_tokens + reply.answer_tokens
        self._show()

    def failure(self) -> None:
        """Count a question that was not answered."""
        self.failures += 1
        self._show()

    def text(self) -> str:
        """Where it stands, in one line."""
        done, spent = self.replies + self.failures, max(time.monotonic() - self._began, 1e-6)
        left = (self._total - done) * spent / max(done, 1)
        failed = f", {self.failures} failed" if self.failures else ""
        return (
            f"{done}/{self._total} traces, {done / spent:.1f}/s, {self.new_tokens / spent:,.0f} tokens/s, "
            f"{left:.0f} s left{failed}"
        )

    def _show(self) -> None:
        now = time.monotonic()
        self._bar.update(self._task, advance=1, text=self.text() if self._silent else "")
        if not self._silent and now - self._said > LINE_SECONDS:
            console.say(f"generate: {self.text()}")
            self._said = now
