"""Terminal output: progress and totals on stderr, results on stdout.

Everything passes `schemas.showing.clean`: names, text and errors come from data, and a terminal obeys control characters;
and `schemas.hiding`, since a text may hold a key.
"""

import json
import math
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from schemas.hiding import hide, hide_known
from schemas.showing import clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from schemas.manifest import Counts

LINE_SECONDS = 60.0
"""Interval between progress lines if stderr is not a terminal."""
FIRST_LINE_SECONDS = 15.0
"""Until the first of them."""
ENOUGH = 10
"""Units, or a tenth of the whole, from which the time left is told: fewer would make hours of minutes."""


STARTS_AGAIN = "the corpus has only whole parts; run the same command again"
"""What is true of every stage that is stopped."""
_open: "list[ProgressState]" = []
"""What is going on, outermost first."""
_stopped: "list[ProgressState]" = []
"""What was being done when Ctrl-C or SIGTERM came, innermost first."""


class Advance(Protocol):
    """Advances progress by `n` units, and sets a note to show with it; `total` if it is known only now, and `n` was done before."""

    def __call__(self, n: int = 1, note: str = "", total: int | None = None) -> None: ...


class ProgressState:
    """Progress as text."""

    def __init__(self, description: str, total: int | None, unit: str, keeps: str) -> None:
        self._description, self.total, self._unit = description, total, unit
        self.keeps = keeps
        self._began = monotonic()
        self._note = ""
        self._before = 0
        self.tokens = 0
        self.done = 0

    def advance(self, n: int = 1, note: str = "", total: int | None = None) -> None:
        """Count `n` more units; a note is shown at the end of the line until the next one."""
        self.done += n
        if total is not None:
            self.total, self._before = total, self.done
        self._note = note or self._note

    def numbers(self) -> str:
        """Count, rate and time left, such as "120/400 traces, 6.0/s, 47 s left"."""
        spent = max(monotonic() - self._began, 1e-6)
        of_total = "" if self.total is None else f"/{self.total:,}"
        pieces = [f"{self.done:,}{of_total} {self._unit}"]
        if made := self.done - self._before:
            rate = made / spent
            pieces.append(f"{rate:,.1f}/s" if rate >= 0.5 else f"{60 * rate:,.1f}/min")
            if self.total is not None and made >= min(ENOUGH, self.total / 10):
                pieces.append(f"{_duration((self.total - self.done) / rate)} left")
        if self.tokens:
            pieces.append(f"{self.tokens:,} tokens")
        return ", ".join([*pieces, *filter(None, [self._note])])

    def line(self) -> str:
        """The numbers after the description."""
        return f"{self._description}: {self.numbers()}"


@contextmanager
def progress(
    description: str, total: int | None = None, unit: str = "rows", keeps: str = STARTS_AGAIN
) -> Iterator[Advance]:
    """Show count, rate and time left on stderr while the block runs: a bar on a terminal, otherwise a line every minute.

    Args:
        description: what is done.
        total: units of the whole; null if nobody knows yet.
        unit: what is counted, in the plural.
        keeps: what is kept if the command is stopped inside the block, and how to go on.
    """
    state = ProgressState(description, total, unit, keeps)
    _open.append(state)
    try:
        with _bar(description, total, state) if sys.stderr.isatty() else _lines(state):
            yield state.advance
    except KeyboardInterrupt:
        _stopped.append(state)
        raise
    finally:
        _open.remove(state)


def count_tokens(n: int) -> None:
    """Count tokens that a model has written: what is going on shows them before the first reply has ended."""
    if _open:
        _open[0].tokens += n


def say_stopped(cause: str) -> None:
    """Say after Ctrl-C or SIGTERM how far the command was, what is kept, and how to go on."""
    if _stopped:
        whole = _stopped[
            -1
        ]  # of what is inside of another, such as a model's answers, only the other can go on
        say(f"{cause}: {whole.line()}; {whole.keeps}")
    else:
        say(f"{cause}: {STARTS_AGAIN}")
    _stopped.clear()


@contextmanager
def _bar(description: str, total: int | None, state: ProgressState) -> Iterator[None]:
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class Numbers(ProgressColumn):
        def render(self, task: Task) -> Text:
            task.completed, task.total = state.done, state.total
            return Text(state.numbers())

    columns = (TextColumn("{task.description}", markup=False), Numbers(), BarColumn())
    with Progress(*columns, console=_terminal(stderr=True), transient=True) as bar:
        bar.add_task(description, total=total)
        yield


@contextmanager
def _lines(state: ProgressState) -> Iterator[None]:
    finished = threading.Event()

    def report() -> None:
        wait = min(FIRST_LINE_SECONDS, LINE_SECONDS)
        while not finished.wait(wait):
            say(state.line())
            wait = LINE_SECONDS

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def say(message: str) -> None:
    """Print a line to stderr."""
    print(clean(hide(message)), file=sys.stderr)  # noqa: T201


def result(text: str) -> None:
    """Print a command's result to stdout."""
    print(clean(hide_known(text)))  # noqa: T201


def json_result(value: Any) -> None:
    """Print a command's result to stdout as one JSON document."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=2, default=str)
    result(re.sub(r"[^\n\x20-\x7e]", _escaped, text))


def _escaped(character: re.Match[str]) -> str:
    """As JSON may write it, so that programs read what was there."""
    return character[0] if clean(character[0]) == character[0] else json.dumps(character[0])[1:-1]


def plain(value: Any) -> Any:
    """Named tuples, models and decimals inside a result as what JSON knows; what is no number (NaN, infinite) is null."""
    if isinstance(value, Decimal):
        value = int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def say_counts(stage: str, counts: "Counts") -> None:
    """Print a stage's totals, which always add up."""
    say(f"{stage}: {counts}")


def show(renderable: "RenderableType") -> None:
    """Print a rich table or text on stdout."""
    _terminal().print(renderable)


def _terminal(stderr: bool = False) -> "Console":
    """A rich console whose text is clean; what colours it, rich itself adds behind this."""
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class Terminal(Console):
        def render(
            self, renderable: "RenderableType", options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else clean(text), style, control)

    return Terminal(stderr=stderr)


def show_rows(columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Print query results as a table on stdout."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(*map(escape, columns))
    for row in rows:
        table.add_row(*(escape(hide_known(str(row[name]))) for name in columns))
    show(table)
