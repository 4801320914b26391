"""The house rules that a machine can check: imports point left and in no circle, heavy libraries have one home, rooms stay small."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house_rules import (
    HOMES,
    LARGEST,
    ROOT,
    RULES,
    STREET,
    House,
    back_arrows,
    bodies,
    build,
    circles,
    crowded_folders,
    imports,
    odd_runs,
    repeated_class_names,
    scattered_options,
    second_homes,
    sources,
    sql_in_python,
)
from tests.own_rules import assertions_on_a_wall_clock, missing_assertions, private_names

HEAVY = {
    "torch",
    "transformers",
    "trl",
    "peft",
    "vllm",
    "argilla",
    "datasets",
    "duckdb",
    "pyarrow",
    "sentence_transformers",
    "rich",
}


@pytest.fixture(scope="module")
def house() -> House:
    return build(ROOT)


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps_its_rules(house: House, rule: Callable[[House], list[str]]) -> None:
    assert rule(house) == []


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_lives_in_its_home(house: House, library: str) -> None:
    assert library in imports(ROOT / HOMES[library])


LAZY = "\n\ndef planted():\n    {}\n"
PLANTS = [
    *((second_homes, "curation/console.py", f"import {library}.part", f"imports {library}") for library in HOMES),
    (second_homes, "sft/cli.py", "importlib.import_module('duckdb')", "sft.cli imports duckdb"),
    (second_homes, "curation/review/pull.py", "import argilla", "curation.review.pull imports argilla"),
    (circles, "curation/corpus/store.py", "from curation.corpus import query", "-> curation.corpus.store -> curation.corpus.query"),
    (circles, "curation/corpus/store.py", "from curation.corpus.query import connect", "-> curation.corpus.store -> curation.corpus.query"),
    (circles, "curation/corpus/store.py", "from .query import connect", "-> curation.corpus.store -> curation.corpus.query"),
    (circles, "annotators/base.py", "import annotators.rules.bank", "annotators.rules.annotating -> annotators.base"),
    (back_arrows, "schemas/ids.py", "from annotators import base", "schemas.ids imports annotators.base"),
    (back_arrows, "annotators/base.py", "import curation.console", "annotators.base imports curation.console"),
    (back_arrows, "curation/console.py", "from sft.scoring import suites", "curation.console imports sft.scoring.suites"),
    (odd_runs, "curation/corpus/status.py", "pass\n\ndef run(corpus_dir) -> dict: ...", "returns no Manifest"),
    (odd_runs, "curation/corpus/status.py", "pass\n\ndef run(out, corpus_dir) -> Manifest: ...", "takes the corpus first"),
    (odd_runs, "curation/corpus/status.py", "pass\n\ndef run(recipe, out) -> Manifest: ...", "by keyword"),
    (scattered_options, "curation/commands/mix.py", "pass\n\nMINE = typer.Option()", "move it to"),
    (sql_in_python, "curation/report/why.py", "query = 'select a, count(*) from traces group by a'", "curation/report/why.py:"),
    (sql_in_python, "sft/scoring/stage.py", "query = f'select {1} from traces\\n join prompts using (prompt_id)'", "sft/scoring/stage.py:"),
    (bodies, "curation/mix/__init__.py", "pass", "curation/mix/__init__.py:"),
    (repeated_class_names, "curation/console.py", "class _Trace: ...", "class Trace means several things: "),
]  # fmt: skip


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("house")
    for package in STREET:
        for path in sources(package):
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return copy


@pytest.mark.parametrize(("rule", "file", "line", "fault"), PLANTS)
def test_a_planted_fault_is_seen_and_named(
    copied: Path, rule: Callable[[House], list[str]], file: str, line: str, fault: str
) -> None:
    path = copied / file
    before = path.read_text(encoding="utf-8")
    path.write_text(before + LAZY.format(line), encoding="utf-8")
    found = rule(build(copied))
    path.write_text(before, encoding="utf-8")
    assert any(fault in one for one in found), found
    assert rule(build(copied)) == []


def test_a_seventeenth_file_in_a_folder_is_seen(copied: Path) -> None:
    room = copied / "curation" / "mix"
    planted = [room / f"planted{n}.py" for n in range(LARGEST + 1 - len(list(room.glob("*.py"))))]
    for path in planted:
        path.write_text("")
    found = crowded_folders(build(copied))
    for path in planted:
        path.unlink()
    assert found == ["curation/mix has 17 Python files, more than 16"]


def test_tests_stand_where_the_code_does() -> None:
    folders = {
        path.parent.relative_to(ROOT / "tests") for package in STREET for path in sources(f"tests/{package}")
    }
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()] == []
    assert [
        str(folder) for folder in folders if len(list((ROOT / "tests" / folder).glob("*.py"))) > LARGEST
    ] == []


@pytest.mark.parametrize("rule", [missing_assertions, assertions_on_a_wall_clock, private_names])
def test_the_tests_keep_their_own_rules(rule: Callable[[ast.Module], Iterator[str]]) -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources("tests")}
    assert [f"{path.relative_to(ROOT)}:{fault}" for path, tree in trees.items() for fault in rule(tree)] == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (missing_assertions, "def test_a():\n    run()"),
        (missing_assertions, "async def test_a():\n    assert True"),
        (assertions_on_a_wall_clock, "def test_a():\n    assert time.time() < 1"),
        (assertions_on_a_wall_clock, "def test_a():\n    start = perf_counter()\n    took = f() - start\n    assert took < 1"),
        (assertions_on_a_wall_clock, "def once():\n    return time.monotonic_ns() - a\ndef test_a():\n    assert any(once() for _ in b)"),
        (private_names, "from curation.mix.build import _rows"),
        (private_names, "import sft._hidden.train"),
        (private_names, "engine._client.close()"),
        (private_names, "monkeypatch.setattr('curation.mix.build._rows', 1)"),
        (private_names, "monkeypatch.setattr(build, '_rows', 1)"),
    ],
)  # fmt: skip
def test_a_test_that_breaks_a_rule_is_seen(rule: Callable[[ast.Module], Iterator[str]], text: str) -> None:
    assert len(list(rule(ast.parse(text)))) == 1


def test_schemas_touch_no_disk_and_no_network() -> None:
    # yaml: the shipped codebooks are files of the package
    allowed = {"pydantic", "pyarrow", "schemas", "yaml", *sys.stdlib_module_names} - {
        "os",
        "pathlib",
        "socket",
        "urllib",
        "http",
    }
    offenders = {path.name: imports(path) - allowed for path in sources("schemas")}
    assert {path: names for path, names in offenders.items() if names} == {}


@pytest.mark.parametrize("program", ["curation.cli", "sft.cli"])
def test_help_loads_no_heavy_library(program: str) -> None:
    code = f"import sys, {program}; print(sorted(set(sys.modules) & {HEAVY - {'rich'}!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", STREET)
def test_nothing_is_unpickled_and_no_code_of_a_model_or_shell_is_run(package: str) -> None:
    for path in sources(package):
        assert not imports(path) & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}, path
        for call in (
            node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
        ):
            named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
            for forbidden in ("trust_remote_code", "shell"):
                value = named.get(forbidden)
                assert value is None or (isinstance(value, ast.Constant) and value.value is False), (
                    path,
                    call.lineno,
                )
            assert ast.unparse(call.func) not in ("eval", "exec", "os.system", "yaml.load", "torch.load"), (
                path,
                call.lineno,
            )


def test_packages_are_listed_by_name() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(STREET)
    extras = project["project"]["optional-dependencies"]
    assert set(extras["all"][0].partition("[")[2].rstrip("]").split(",")) == extras.keys() - {"all", "dev"}


def test_exact_versions_stand_in_the_constraints_alone_and_torch_goes_first() -> None:
    """An exact torch in the metadata would replace the CUDA build of whoever installs the package."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [line for lines in project["optional-dependencies"].values() for line in lines]
    exact = {line.partition("==")[0] for line in [*project["dependencies"], *asked] if "==" in line}
    assert exact == {"vllm", "argilla"}
    constraints = (ROOT / "requirements" / "constraints.txt").read_text().splitlines()
    torch = next(line for line in constraints if line.startswith("torch=="))
    installs = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line]
    assert f"'{torch}'" in installs[1] and "--upgrade pip" in installs[0]


def commands(app: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Every command of a command line by its whole name."""
    for name, command in getattr(app, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from commands(command, *names, name)
        else:
            yield " ".join([*names, name]), command


@pytest.mark.parametrize("program", ["curate", "sft"])
def test_every_command_stands_in_a_group_and_shows_an_example(program: str) -> None:
    from typer.main import get_command

    from curation import cli as curate
    from sft import cli as sft

    listed = dict(commands(get_command({"curate": curate.app, "sft": sft.app}[program]), program))
    assert len(listed) > 8
    assert [name for name, command in listed.items() if not command.rich_help_panel] == []
    assert [name for name, command in listed.items() if f"{name}" not in (command.help or "")] == []
