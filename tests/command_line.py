"""The `curate` command in this process, with the exit code and the two outputs that another program would see.

For tests in which the process is not the point: starting one costs a second of imports. `tests/curation/test_cli.py` starts real ones.
"""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from curation.cli import main


class Done(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


class Output(io.TextIOWrapper):
    """What is printed, as text and as bytes."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


def curate(*arguments: object, cwd: Path, answer: str = "", **env: str) -> Done:
    """Run a command in a folder.

    Args:
        arguments: the words after `curate`.
        cwd: the folder.
        answer: what is typed.
        env: further environment variables.
    """
    out, err, code = Output(), Output(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["curate", *map(str, arguments)])
        patch.setattr(sys, "stdin", io.StringIO(answer))
        for name, value in env.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    return Done(code, out.text, err.text)
