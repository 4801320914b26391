"""What is asked all the time is cheap, in CPU time, which a busy machine does not change much; and versions come from one place."""

import ast
import importlib
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import schemas

ROOT = Path(__file__).resolve().parents[1]
TRIES = 5
"""Neighbours on the machine only ever make a call dearer, so one cheap call is proof."""
CHEAP = {
    **dict.fromkeys(("-c;import curation", "-c;import sft", "-c;from curation import Corpus, Mix"), 0.15),
    **{
        f"-m;{program};{option}": 0.6 for program in ("curation", "sft") for option in ("--version", "--help")
    },
}
"""Arguments of Python, and the most seconds of CPU, with room for a busy machine, where CPU time doubles: `--help` takes 0.2 on an idle one."""


def cpu(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("call", CHEAP)
def test_what_is_asked_all_the_time_is_cheap(call: str) -> None:
    assert any(cpu(call.split(";")) < CHEAP[call] for _ in range(TRIES))


HEAVY = {"duckdb", "pyarrow", "numpy", "pandas", "torch", "transformers", "datasets", "jinja2", "httpx"}
LISTING = [
    ("curation", command)
    for command in ("recipes", "strategies", "formats", "--help", "build-mix --help", "--version")
]
MAIN = (
    "import sys; sys.argv[1:] = {!r}.split(); from {}.cli import main\ntry: main()\nexcept SystemExit: pass\n"
)


@pytest.mark.parametrize(("program", "command"), [*LISTING, ("sft", "--help"), ("sft", "score --help")])
def test_what_only_lists_loads_no_heavy_library(program: str, command: str) -> None:
    code = MAIN.format(command, program) + f"print(sorted(sys.modules.keys() & {HEAVY!r}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]" and len(done.stdout) > 10


@pytest.mark.parametrize("package", ["schemas", "curation", "sft"])
def test_names_that_come_lazily_are_those_that_type_checkers_see(package: str) -> None:
    module = importlib.import_module(package)
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        node.module: {alias.name for alias in node.names}
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert {home: set(names.split()) for home, names in module.HOMES.items()} == seen
    listed = {name for names in seen.values() for name in names}
    assert set(module.__all__) - {"__version__"} == listed
    assert all(getattr(module, name) is not None for name in listed)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("program", ["curation", "sft"])
def test_the_version_is_the_same_everywhere(program: str) -> None:
    done = subprocess.run([sys.executable, "-m", program, "--version"], capture_output=True, text=True)
    name = {"curation": "curate", "sft": "sft"}[program]
    assert done.stdout == f"{name} {schemas.__version__}\n" and done.returncode == 0
    assert importlib.import_module(program).__version__ == schemas.__version__


def test_every_package_is_marked_as_typed() -> None:
    assert [
        name
        for name in ("schemas", "annotators", "curation", "sft")
        if not (ROOT / name / "py.typed").is_file()
    ] == []
