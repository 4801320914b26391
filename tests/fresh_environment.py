"""Runs commands one after the other in this process and prints how each ended: a program for an environment without any extra.

    python -I -S tests/fresh_environment.py FOLDER < commands.json

FOLDER has only the packages that the wheel requires; "-" uses the environment that this Python has. Commands are lists of words.
"""

import io
import json
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module


def run(words: list[str]) -> dict[str, object]:
    """The exit code and what was said; a traceback is what an exception that nobody handled would have printed."""
    out, err, code, trace = io.StringIO(), io.StringIO(), 0, ""
    sys.argv = words
    with redirect_stdout(out), redirect_stderr(err):
        try:
            import_module({"curate": "curation.cli", "sft": "sft.cli"}[words[0]]).main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except BaseException:  # noqa: BLE001 - that it was raised is what the test is about
            code, trace = 1, traceback.format_exc()
    return {"words": words, "code": code, "said": err.getvalue()[-2000:], "traceback": trace[-2000:]}


if __name__ == "__main__":
    if sys.argv[1] != "-":
        sys.path.insert(0, sys.argv[1])
    commands = json.load(sys.stdin)
    json.dump([run(words) for words in commands], sys.stdout)
