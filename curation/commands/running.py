"""How a command line of this project (`curate`, `sft`) runs: an error that a user can act on prints without a traceback and exits 1, or 2 where the options are wrong."""

import errno
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer

from curation.commands.quick import QuickGroup
from curation.trust import ALLOWED
from schemas import __version__
from schemas.errors import CurateError, UsageError, explained


def run_app(application: typer.Typer) -> None:
    """Run a command line of this project (`curate`, `sft`) with its error rules."""
    sys.excepthook = _hidden_traceback
    try:
        _check_words(sys.argv[1:])
        try:
            application()
        finally:
            sys.stdout.flush()  # here, where an error still has a name
    except CurateError as error:
        _say(f"error: {error}")
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if not (named := _named(error)):
            raise
        _say(f"error: {named}")
        sys.exit(1)


QUERY_STOPPED = "Query interrupted"
"""What DuckDB makes of a signal that comes during a query, as a RuntimeError."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: batch systems send it before they kill. It ends a command as Ctrl-C does."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` here, so that what waits is written; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*unused: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Program(QuickGroup):
    """A command line that says what is wrong with an option without the words that pydantic puts in front."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for; Ctrl-C and SIGTERM say what is kept and how to go on."""
        try:
            with _terminable():
                return super().invoke(ctx)
        except (KeyboardInterrupt, RuntimeError) as interrupt:
            if not isinstance(interrupt, KeyboardInterrupt) and str(interrupt) != QUERY_STOPPED:
                raise
            from curation import console

            terminated = isinstance(interrupt, Terminated)
            console.say_stopped("terminated" if terminated else "stopped")
            raise typer.Exit(143 if terminated else 130) from interrupt
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


def _check_words(words: list[str]) -> None:
    """Reject names that are not UTF-8: neither Parquet nor JSON could hold them."""
    for word in words:
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise UsageError(f"{word}: a name that is not UTF-8; rename the file or folder first")


def _hidden_traceback(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """A bug's traceback, which may quote what a server said, without secrets."""
    from schemas.hiding import hide

    sys.stderr.write(hide("".join(traceback.format_exception(kind, error, at))))


def _say(message: str) -> None:
    from curation import console  # only now, so that --help stays quick

    console.say(message)


def version_option(program: str) -> Callable[..., None]:
    """The callback that gives a command line its `--version` and `--allow-env`."""

    def show(value: bool) -> None:
        if value:
            print(f"{program} {__version__}")  # noqa: T201
            raise typer.Exit

    def callback(
        version: Annotated[
            bool, typer.Option("--version", callback=show, is_eager=True, help="Print the version.")
        ] = False,
        allow_env: Annotated[
            list[str] | None,
            typer.Option(
                "--allow-env",
                metavar="NAME",
                help="Recipes may send this environment variable to their server.",
            ),
        ] = None,
    ) -> None:
        if allow_env:
            os.environ[ALLOWED] = ",".join([*os.environ.get(ALLOWED, "").split(","), *allow_env])

    return callback


def _named(error: Exception) -> object:
    """The message for an error that no stage handles: a library that is not installed, deleted data, no memory or disk space left."""
    if isinstance(error, FileNotFoundError):
        return _vanished(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        # What waits for a full device cannot be written at the end either.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = error.filename or "standard output"
        return (
            f"{where}: cannot be written ({error.strerror}); free some space and run the same command again"
        )
    if isinstance(error, OSError):
        return _in_the_way(error)
    if missing := explained(error):
        return missing
    if "duckdb" in sys.modules:
        from curation.corpus.query import trouble

        return trouble(error)
    return None


def _in_the_way(error: OSError) -> object:
    """The message for a path of the command line that cannot be used; trouble with any other is a bug."""
    from curation.corpus.store import disk_error
    from curation.integrity.damage import within

    path = error.filename and Path(os.fsdecode(error.filename))
    return disk_error(path, error) if path and within(path, _named_paths()) else None


def _named_paths() -> list[Path]:
    return [Path(part) for word in sys.argv[1:] for part in (word, *re.split("[=:]", word)) if part]


def _vanished(error: FileNotFoundError) -> str | None:
    """The message for a missing file of a corpus or of the command line; any other missing file is a bug."""
    from curation.corpus.store import MARKER
    from curation.integrity.damage import gone, missing_file, within

    path = missing_file(error)
    of_a_corpus = any((folder / MARKER).is_file() for folder in path.absolute().parents)
    return gone(path) if of_a_corpus or within(path, _named_paths()) else None
