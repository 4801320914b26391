"""What a machine can check of the tests themselves: each asserts something, no assertion hangs on a wall clock, all names are public."""

import ast
import re
from collections.abc import Iterator

CLOCKS = {
    name + unit for name in ("time", "monotonic", "perf_counter") for unit in ("", "_ns")
} - {"time"} | {"time.time", "datetime.now", "datetime.utcnow"}  # fmt: skip
"""Clocks that go on while a neighbour has the processor. CPU time (`process_time`, `getrusage`) may be asserted."""
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_field_defaults", "_repr_html_"}
"""Of named tuples, and what a notebook calls."""
PRIVATE_PATH = re.compile(r"(?:schemas|annotators|curation|sft)(?:\.\w+)*\._(?!_)\w+(?:\.\w+)*")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def missing_assertions(tree: ast.Module) -> Iterator[str]:
    for test in ast.walk(tree):
        if isinstance(test, Function) and test.name.startswith("test_"):
            inside = list(ast.walk(test))
            if not any(_asserts(node) for node in inside):
                yield f"{test.lineno}: {test.name} asserts nothing"


def _asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return not isinstance(node.test, ast.Constant)
    expected = ("pytest.raises", "pytest.warns")
    return isinstance(node, ast.withitem) and ast.unparse(node.context_expr).startswith(expected)


def assertions_on_a_wall_clock(tree: ast.Module) -> Iterator[str]:
    """Follows a reading through assignments and the returns of functions in the same file."""
    read = set[str]()
    for _ in range(5):  # steps from a clock to the assertion
        for node in ast.walk(tree):
            value = getattr(node, "value", None)
            if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr)) and _timed(
                value, read
            ):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                read |= {target.id for target in targets if isinstance(target, ast.Name)}
            elif isinstance(node, Function) and any(
                _timed(inner.value, read) for inner in ast.walk(node) if isinstance(inner, ast.Return)
            ):
                read.add(node.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and _timed(node.test, read):
            yield f"{node.lineno}: asserts on a wall clock; take CPU time or a count"


def _timed(expression: ast.AST | None, read: set[str]) -> bool:
    return expression is not None and any(
        (isinstance(node, ast.Name) and node.id in read)
        or (isinstance(node, ast.Attribute) and node.attr == "seconds")
        or (isinstance(node, ast.Call) and _is_clock(ast.unparse(node.func)))
        for node in ast.walk(expression)
    )


def _is_clock(called: str) -> bool:
    return called in CLOCKS or called.rpartition(".")[2] in CLOCKS or called.endswith("datetime.now")


def private_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        for name in _private(node):
            yield f"{node.lineno}: {name} is private; test what its callers see, or give it a public name"  # type: ignore[attr-defined]


def _private(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        yield from (path for a in node.names if PRIVATE_PATH.fullmatch(path := f"{node.module}.{a.name}"))
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if PRIVATE_PATH.fullmatch(alias.name))
    elif isinstance(node, ast.Attribute) and _hidden(node.attr) and node.attr not in PUBLIC:
        if ast.unparse(node.value) not in ("self", "cls"):
            yield ast.unparse(node)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        if PRIVATE_PATH.fullmatch(node.value):
            yield node.value
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "getattr", "delattr")):
        yield from (
            str(a.value) for a in node.args[1:2] if isinstance(a, ast.Constant) and _hidden(str(a.value))
        )


def _hidden(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
