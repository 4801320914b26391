"""Starts a program inside the sandbox: sets its limits, then runs it or calls one of its functions.

`sandbox.py` copies this file into the sandbox as text; nothing imports it. It shares a process with the program, so its
output is not trusted, and it does not know the expected outputs.
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
"""First line on stderr: the limits are set and the program starts. Without it nothing of the program has run."""
STARRED = "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json builtins typing"
PLAIN = "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json"
"""Imports that LiveCodeBench adds to programs: all names of the first, then the second as modules."""


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
    """JSON has no tuples: LiveCodeBench does not count an inner tuple as a list, so it must not become one."""
    if isinstance(value, tuple):
        return {"tuple": [plain(one) for one in value]}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return {key: plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def call(fn_name: str) -> None:
    """Call the function with one JSON argument per line of stdin; stdout gets only the result, as JSON."""
    arguments = [json.loads(line) for line in sys.stdin.read().split("\n")]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    names = runpy.run_path(PROGRAM, imports(), "solution")
    owner = names["Solution"]() if "Solution" in names else None
    function = getattr(owner, fn_name) if owner is not None else names[fn_name]
    result = function(*arguments)
    # the outermost tuple counts as a list there
    output = [plain(one) for one in result] if isinstance(result, tuple) else plain(result)
    json.dump(output, out, default=repr)
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
        pass  # many correct programs end this way


if __name__ == "__main__":
    main(*sys.argv[1:])
