"""What a start loads: help and versions come without the libraries that convert values and read tables."""

import json
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


def test_neither_writing_nor_asking_a_corpus_loads_pandas(tmp_path: Path) -> None:
    row = '{"prompt": "Why?", "reasoning": "Hm.", "answer": "So.", "kind": "math"}'
    (tmp_path / "rows.jsonl").write_text(row)
    (tmp_path / "mix.yaml").write_text('name: m\nparts: {all: {where: "true", take: all}}\n')
    corpus, mix = ("--corpus", str(tmp_path / "corpus")), str(tmp_path / "mix")
    for words in (
        ["ingest", str(tmp_path / "rows.jsonl")],
        ["build-mix", str(tmp_path / "mix.yaml"), "--out", mix],
        ["sql", "select count(*) from candidates"],
    ):
        found = loaded("curation.cli", *words, *corpus)
        assert "pyarrow" in found and not found & {"pandas", "datasets"}


def test_a_query_longer_than_a_file_name_is_answered(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        '{"prompt": "Why?", "reasoning": "Hm.", "answer": "So.", "kind": "math"}'
    )
    curate("ingest", "rows.jsonl", cwd=tmp_path)
    query = "select count(*) as n from traces where " + " or ".join(["answer = 'So.'"] * 400)
    done = curate("sql", query, "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)) == (0, [{"n": 1}]), done.stderr


def test_data_frames_are_read_after_pandas_was_left_out(tmp_path: Path) -> None:
    code = (
        "from tests.command_line import curate; from pathlib import Path\n"
        f"curate('status', cwd=Path({str(tmp_path)!r}))\n"
        "import pandas, pyarrow\nframe = pandas.DataFrame({'a': [1.0, None]})\n"
        "assert pyarrow.Table.from_pandas(frame)['a'].null_count == 1 == pyarrow.array(frame['a']).null_count\n"
        "assert pyarrow.table({'a': [1]}).to_pandas()['a'].tolist() == [1]\nprint('read')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "read\n", done.stderr
