"""What a start loads: help and versions come without the libraries that convert values and read tables."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import curate

LATER = {"duckdb", "pyarrow", "numpy", "pydantic_core", "typer._adapters", "yaml", "datasets"}


def loaded(program: str, *words: str) -> set[str]:
    code = (
        f"import atexit, sys\nfrom {program} import main\nsys.argv = {['x', *words]!r}\n"
        "atexit.register(lambda: sys.stderr.write('\\n' + ' '.join(sys.modules)))\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("curation.cli", ["--help"]),
        ("curation.cli", ["ingest", "--help"]),
        ("curation.cli", ["build-mix", "--help"]),
        ("curation.cli", ["review", "--help"]),
        ("curation.cli", ["review", "push", "--help"]),
        ("curation.cli", ["--version"]),
        ("sft.cli", ["--help"]),
        ("sft.cli", ["score", "--help"]),
    ],
)
def test_help_converts_nothing(program: str, words: list[str]) -> None:
    assert not loaded(program, *words) & LATER


@pytest.mark.parametrize("command", ["recipes", "strategies", "formats"])
def test_a_list_of_names_loads_no_table_reader(command: str) -> None:
    assert not loaded("curation.cli", command) & {"duckdb", "pyarrow", "numpy", "datasets"}


def test_an_option_that_is_missing_or_wrong_is_still_told(tmp_path: Path) -> None:
    assert curate("build-mix", cwd=tmp_path).returncode == 2
    assert "'x' is not one of" in curate("ingest", "a", "--kind", "x", cwd=tmp_path).stderr
    assert "no input" in curate("ingest", cwd=tmp_path).stderr


def test_asking_a_corpus_loads_no_pandas(tmp_path: Path) -> None:
    row = '{"prompt": "Why?", "reasoning": "Hm.", "answer": "So."}'
    (tmp_path / "rows.jsonl").write_text(row)
    corpus = ("--corpus", str(tmp_path / "corpus"))
    assert curate("ingest", "rows.jsonl", *corpus, cwd=tmp_path).returncode == 0
    found = loaded("curation.cli", "sql", "select count(*) from candidates", *corpus)
    assert "duckdb" in found and not found & {"pandas", "datasets"}
