"""The house as a machine reads it: every module and what it imports, and the rules that it can be seen to break."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
