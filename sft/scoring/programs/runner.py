"""What starts a program inside the sandbox: sets its limits, then runs it, or calls one function of it.

It is text to `sandbox.py`, which lays it into the sandbox; nothing imports it. Everything here shares a process with the
program, so nothing it prints is trusted: the right answers are not in here.
"""

import json
import os
import resource
import runpy
import sys
from importlib import import_module
from typing import Any

PROGRAM = "/program.py"
READY = b"\x00ready\n"
"""First on stderr: the limits hold and the program begins. Without it nothing of the program has run."""
STARRED = "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json builtins typing"
PLAIN = "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json"
"""LiveCodeBench runs programs with these imports made, first the names in them and then the modules."""


def limit(limits: dict[str, tuple[int, int]]) -> None:
    for name, (soft, hard) in limits.items():
        resource.setrlimit(getattr(resource, name), (soft, hard))


def imports() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for module in map(import_module, STARRED.split()):
        public = getattr(module, "__all__", None) or [name for name in vars(module) if name[0] != "_"]
        names |= {name: getattr(module, name) for name in public}
    return names | {name: import_module(name) for name in PLAIN.split()}


def plain(value: Any) -> Any:
    """JSON has no tuples: an inner one is not the list that LiveCodeBench would compare it with, and must not become it."""
    if isinstance(value, tuple):
        return {"tuple": [plain(one) for one in value]}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return {key: plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def call(fn_name: str) -> None:
    """Call the function with one JSON argument per line of stdin; the result is JSON on stdout, and only that."""
    arguments = [json.loads(line) for line in sys.stdin.read().split("\n")]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    names = runpy.run_path(PROGRAM, imports(), "solution")
    owner = names["Solution"]() if "Solution" in names else None
    function = getattr(owner, fn_name) if owner is not None else names[fn_name]
    result = function(*arguments)
    # the outermost tuple counts as a list there
    found = [plain(one) for one in result] if isinstance(result, tuple) else plain(result)
    json.dump(found, out, default=repr)
    out.close()


def main(limits: str, fn_name: str = "") -> None:
    limit(json.loads(limits))
    sys.argv = [PROGRAM]
    sys.setrecursionlimit(50_000)
    os.write(2, READY)
    try:
        if fn_name:
            call(fn_name)
        else:
            runpy.run_path(PROGRAM, imports(), "__main__")
    except SystemExit:
        pass  # how many a right program ends


if __name__ == "__main__":
    main(*sys.argv[1:])
