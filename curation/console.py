"""Terminal output: progress and totals on stderr, results on stdout."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from schemas.manifest import Counts

if TYPE_CHECKING:
    from rich.console import RenderableType


class Advance(Protocol):
    """Advances a progress bar by `n` units."""

    def __call__(self, n: int = 1) -> None: ...


@contextmanager
def progress(description: str, total: int | None = None, unit: str = "rows") -> Iterator[Advance]:
    """Show a bar with rate and time left on stderr while the block runs; silent if stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(description, total=total, unit=unit)

        def advance(n: int = 1) -> None:
            bar.advance(task, n)

        yield advance


def say(message: str) -> None:
    """Print a line to stderr."""
    print(message, file=sys.stderr)  # noqa: T201


def result(text: str) -> None:
    """Print a command's result to stdout."""
    print(text)  # noqa: T201


def json_result(value: Any) -> None:
    """Print a command's result to stdout as one JSON document."""
    result(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def say_counts(stage: str, counts: Counts) -> None:
    """Print a stage's totals, which always add up."""
    say(f"{stage}: {counts}")


def show(renderable: "RenderableType") -> None:
    """Print a rich table or text on stdout."""
    from rich.console import Console

    Console().print(renderable)


def show_rows(columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Print query results as a table on stdout."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*(escape(str(row[name])) for name in columns))
    show(table)
