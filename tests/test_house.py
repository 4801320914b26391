"""The house rules that a machine can check: imports point left and in no circle, heavy libraries have one home, rooms stay small."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.own_rules import assertions_on_a_wall_clock, missing_assertions, private_names

ROOT = Path(__file__).resolve().parents[1]
STREET = ("schemas", "annotators", "curation", "sft")
HOMES = {
    "duckdb": "curation/corpus/query.py",
    "vllm": "curation/engines/vllm.py",
    "argilla": "curation/review/client.py",
    "trl": "sft/training/trainer.py",
    "ray": "curation/cluster.py",
    "sentence_transformers": "annotators/embedding/encoder.py",
}
LARGEST = 16
"""Python files in a folder."""
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


class House(NamedTuple):
    """Every module of the street, and what it imports anywhere in its text: at the top, in functions, for types only."""

    root: Path
    files: dict[str, Path]
    imports: dict[str, set[str]]
    """Modules of the street by name, other libraries by their first name."""


def sources(package: str, root: Path = ROOT) -> list[Path]:
    return sorted((root / package).rglob("*.py"))


def build(root: Path) -> House:
    files = {module_of(path, root): path for package in STREET for path in sources(package, root)}
    return House(root, files, {name: set(resolve(name, path, files)) for name, path in files.items()})


def module_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def resolve(name: str, path: Path, files: dict[str, Path]) -> Iterator[str]:
    """What a module imports. Importing a module runs the packages around it first; a module's own are running already."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for level, module, member in named_imports(path.read_text(encoding="utf-8")):
        base = package.split(".")[: len(package.split(".")) - level + 1] if level else []
        target = ".".join([*base, *([module] if module else [])])
        if f"{target}.{member}" in files:
            target = f"{target}.{member}"
        if target not in files:
            yield target.split(".")[0]
            continue
        around = [target.rsplit(".", n)[0] for n in range(target.count(".") + 1)]
        yield from (each for each in around if each == target or not f"{name}.".startswith(f"{each}."))


@cache
def named_imports(text: str) -> list[tuple[int, str, str]]:
    """Level, module and member of each import; of `import_module("name")` and `__import__("name")` too."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.level, node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found += [(0, str(a.value), "") for a in node.args[:1] if isinstance(a, ast.Constant)]
    return found


def imports(path: Path) -> set[str]:
    """The first names of what a file imports from outside its package."""
    return {
        module.split(".")[0]
        for level, module, _ in named_imports(path.read_text(encoding="utf-8"))
        if not level
    }


def back_arrows(house: House) -> list[str]:
    place = {package: number for number, package in enumerate(STREET)}
    return [
        f"{name} imports {target}, which is further right on the street"
        for name, targets in house.imports.items()
        for target in sorted(targets)
        if place.get(target.split(".")[0], -1) > place[name.split(".")[0]]
    ]


def circles(house: House) -> list[str]:
    """Each circle that a walk along the imports meets, as `a -> b -> a`."""
    found, done, path = [], set[str](), list[str]()

    def walk(name: str) -> None:
        path.append(name)
        for target in sorted(house.imports[name] & house.files.keys()):
            if target in path:
                found.append(" -> ".join([*path[path.index(target) :], target]))
            elif target not in done:
                walk(target)
        done.add(path.pop())

    for name in house.files:
        if name not in done:
            walk(name)
    return found


def second_homes(house: House) -> list[str]:
    homes = {
        name: {library for library, file in HOMES.items() if path == house.root / file}
        for name, path in house.files.items()
    }
    return [
        f"{name} imports {library}, whose one home is {HOMES[library]}"
        for name, targets in house.imports.items()
        for library in sorted(targets & HOMES.keys() - homes[name])
    ]


def crowded_folders(house: House) -> list[str]:
    folders = {path.parent for path in house.files.values()}
    counts = {folder: len(list(folder.glob("*.py"))) for folder in sorted(folders)}
    return [
        f"{folder.relative_to(house.root)} has {n} Python files, more than {LARGEST}"
        for folder, n in counts.items()
        if n > LARGEST
    ]


def bodies(house: House) -> list[str]:
    """Every `__init__.py` that does more than hand names on."""
    handing = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    return [
        f"{path.relative_to(house.root)}:{node.lineno}: only hand names on here"
        for path in house.files.values()
        if path.name == "__init__.py"
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if not isinstance(node, handing)
        and not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__"))
    ]


def repeated_class_names(house: House) -> list[str]:
    """Class names that stand for several things; a leading underscore does not make a name different."""
    places: dict[str, list[str]] = {}
    for path in house.files.values():
        for name, line in classes(path.read_text(encoding="utf-8")):
            places.setdefault(name.lstrip("_"), []).append(f"{path.relative_to(house.root)}:{line}")
    return [
        f"class {name} means several things: {', '.join(at)}" for name, at in places.items() if len(at) > 1
    ]


@cache
def classes(text: str) -> list[tuple[str, int]]:
    """Name and line of each class."""
    return [(node.name, node.lineno) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]


def odd_runs(house: House) -> list[str]:
    """Every `run` that is not `run(corpus_dir, inputs, recipe, *, the rest) -> Manifest`."""
    faults = []
    for path in house.files.values():
        if path.name in ("cli.py", "sandbox.py"):
            continue
        for node in runs(path.read_text(encoding="utf-8")):
            faults += odd_run(node, f"{path.relative_to(house.root)}:{node.lineno}: run")
    return faults


@cache
def runs(text: str) -> list[ast.FunctionDef]:
    """The functions of a module that are called `run`."""
    return [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "run"]


def odd_run(node: ast.FunctionDef, place: str) -> Iterator[str]:
    names = [argument.arg for argument in node.args.args]
    if node.returns is None or ast.unparse(node.returns) != "Manifest":
        yield f"{place} returns no Manifest; call a function that reads `read`"
    if "corpus_dir" in names and names[0] != "corpus_dir":
        yield f"{place} takes the corpus first"
    if "recipe" in names and names[-1] != "recipe":
        yield f"{place} takes everything after the recipe by keyword"


def scattered_options(house: House) -> list[str]:
    """Every named option or argument outside of `commands/options.py`."""
    return [
        f"{path.relative_to(house.root)}:{line}: move it to curation/commands/options.py"
        for path in house.files.values()
        if path != house.root / "curation/commands/options.py"
        for line in options(path.read_text(encoding="utf-8"))
    ]


@cache
def options(text: str) -> list[int]:
    """The lines in which a named option or argument is made."""
    return [
        node.lineno
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and re.search(r"typer\.(Option|Argument)", ast.unparse(node))
    ]


QUERY = re.compile(r"\bselect\b.+\bfrom\b", re.IGNORECASE | re.DOTALL)
MORE_THAN_A_LOOKUP = re.compile(
    r"\b(join|group by|union|having|qualify|case when|distinct|unnest|coalesce|count_if|sum|avg|min|max)\b|\bselect\b.+\bselect\b",
    re.IGNORECASE | re.DOTALL,
)


def sql_in_python(house: House) -> list[str]:
    """Every query in a string that does more than look up rows of one table; `query.py` puts the tables themselves together."""
    return [
        f"{path.relative_to(house.root)}:{line}: move this query to a file in sql/"
        for path in house.files.values()
        if path != house.root / "curation/corpus/query.py"
        for line in joined_queries(path.read_text(encoding="utf-8"))
    ]


@cache
def joined_queries(text: str) -> list[int]:
    """The lines of queries that do more than look up rows."""
    found = strings(ast.parse(text))
    return [line for line, said in found if QUERY.search(said) and MORE_THAN_A_LOOKUP.search(said)]


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of each string that is no docstring; what an f-string fills in is left out."""
    docs = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    pieces = {piece for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for piece in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(p.value) for p in node.values if isinstance(p, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs | pieces:
            yield node.lineno, node.value


RULES: tuple[Callable[[House], list[str]], ...] = (
    back_arrows,
    circles,
    second_homes,
    crowded_folders,
    bodies,
    repeated_class_names,
    odd_runs,
    scattered_options,
    sql_in_python,
)


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
