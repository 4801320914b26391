"""Typer's classes, made to start quickly: an option that is not given is not converted, so that pydantic is not loaded for it.

Typer converts by pydantic, which takes longer to load than any help takes to print. Importing this module also lets Python search
for reference cycles less often: what modules define stays, and looking through it again and again takes a tenth of a start. Nor does
pydantic look through every installed package for plugins, unless its environment variable says which not to load.
"""

import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from shlex import quote
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

gc.set_threshold(50_000, 10, 10)
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
KERNELS = "bitsandbytes.backends.cpu.ops"
"""Complains, wherever bitsandbytes is installed, that kernels which nothing here uses are not."""
F = TypeVar("F", bound=Callable[..., Any])


class _NoPandas:
    """A finder of modules to which pandas is not installed."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """Nothing, so that other finders look; raises ModuleNotFoundError for pandas."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _leave_pandas_out() -> None:
    """Let pyarrow look for pandas once and find none; what makes or takes data frames looks again."""
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_NoPandas)


class QuickCommand(TyperCommand):
    """A command that does not convert what is not given, and knows where a corpus that was named without its option belongs."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        import logging  # help does without

        logging.getLogger(KERNELS).setLevel(logging.ERROR)
        if "corpus" in ctx.params:
            _leave_pandas_out()
        return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command line; a word too many that is a corpus is told with the option for it."""
        # a path would fail where a word is longer than a file name may be, as a query is
        words = [word for word in args if os.access(f"{word}/corpus.json", os.R_OK)]
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter:
            raise
        except Exception as error:
            if words and "extra argument" in str(getattr(error, "message", "")):
                error.message += f"; a corpus is named with --corpus {quote(words[0])}"  # type: ignore[attr-defined]
            raise

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` among them."""
        return [_unconverted(parameter) for parameter in super().get_params(ctx)]


class QuickGroup(TyperGroup):
    """A group that does not convert what is not given."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` among them."""
        return [_unconverted(parameter) for parameter in super().get_params(ctx)]


class Commands(typer.Typer):
    """What `typer.Typer` is, of quick groups and commands."""

    def __init__(self, cls: type[TyperGroup] = QuickGroup, **settings: Any) -> None:
        super().__init__(cls=cls, **settings)

    def command(self, *arguments: Any, **settings: Any) -> Callable[[F], F]:
        """A decorator, as of `typer.Typer`."""
        return super().command(*arguments, cls=QuickCommand, **settings)


def _unconverted(parameter: Any) -> Any:
    if not isinstance(parameter.process_value, partial):
        parameter.process_value = partial(_process, parameter, parameter.process_value)
    return parameter


def _process(parameter: Any, convert: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    """The value of a parameter; one that is not given is null, or an empty list, without being converted."""
    if value is not None or parameter.required:
        return convert(context, value)
    absent = () if parameter.multiple or parameter.nargs == -1 else None
    return parameter.callback(context, parameter, absent) if parameter.callback else absent
