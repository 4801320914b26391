"""What is wrong with a Jinja template, in a line of text."""

import traceback

JINJA_NAME = "<template>"
"""The file name of the code that Jinja makes of a template that is no file."""
MOST = 500
"""Characters."""


def template_fault(error: BaseException) -> str:
    """The line of the template and what went wrong there, such as "line 3: UndefinedError: 'x' is undefined"."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == JINJA_NAME]
    line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return (f"line {line}: " if line else "") + " ".join(what.split())[:MOST]
