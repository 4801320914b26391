"""Why a condition matches nothing, as a person reads it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from curation.corpus.funnel import Funnel, funnel
from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.corpus.untrusted import conjuncts
from tests.command_line import curate

ROWS = [
    {"prompt": f"Question {n}?", "response": "<think>\nHm.\n</think>\nNo.", "kind": "harmful", "strategy": "default" if n < 4 else None}
    for n in range(10)
]  # fmt: skip


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Funnel]:
    import json

    folder = tmp_path_factory.mktemp("funnel")
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    assert curate("ingest", "t.jsonl", cwd=folder).returncode == 0
    connection = connect(Store(folder / "corpus"))
    return lambda condition: funnel(connection, condition)


def test_rows_pass_each_clause_alone_and_in_order(passed: Callable[[str], Funnel]) -> None:
    found = passed("kind = 'harmful' and (strategy = 'default' and (not risky or answer = 'No.'))")
    assert [(c.alone, c.in_order, c.unknown) for c in found.clauses] == [(10, 10, 0), (4, 4, 6), (10, 4, 0)]
    assert (found.rows, found.left) == (10, 4)
    assert not any(clause.values or clause.fix for clause in found.clauses)


def test_a_clause_that_nothing_passes_shows_what_there_is_and_what_to_do(
    passed: Callable[[str], Funnel],
) -> None:
    (clause,) = passed("strategy = 'short'").clauses
    assert clause.values == "strategy: null 6, 'default' 4"
    assert "--set-field strategy=NAME" in clause.fix
    (clause,) = passed("not unsafe").clauses
    assert (
        clause.values == "unsafe: null 10" and "guard:qwen3guard" in clause.fix and "--base-url" in clause.fix
    )


def test_a_misspelled_value_is_guessed_and_nothing_is_to_be_run(passed: Callable[[str], Funnel]) -> None:
    (clause,) = passed("strategy = 'defalt'").clauses
    assert clause.values.endswith("; did you mean 'default'?") and not clause.fix


def test_the_lines_are_for_a_person(passed: Callable[[str], Funnel]) -> None:
    told = list(passed("kind = 'harmful' and strategy = 'short'").lines())
    assert told[0] == "  of 10 rows pass, alone and in order:"
    assert told[1].split() == ["10", "10", "kind", "=", "'harmful'"]
    assert told[2].split()[:2] == ["0", "0"] and told[3].startswith("  to change that: `curate ingest")


@pytest.mark.parametrize(
    ("condition", "clauses"),
    [
        ("a = 1 and b = 2 -- and c", ["a = 1", "b = 2"]),
        ("a or b and c", ["a OR (b AND c)"]),
        ("(a = 1) and (b or c)", ["a = 1", "b OR c"]),
        ("x in ('and', 'or') and y between 1 and 2", ["x IN ('and', 'or')", "y BETWEEN 1 AND 2"]),
        ("(a) = (b) and length(c) > 1", ["a = b", "length(c) > 1"]),
        ("true", ["true"]),
    ],
)
def test_clauses_are_what_the_parser_of_sql_says(condition: str, clauses: list[str], corpus: Store) -> None:
    assert [one.sql for one in conjuncts(connect(corpus), condition)] == clauses


def test_every_query_that_a_plan_prints_runs_and_finds_what_matches(tmp_path: Path) -> None:
    import json

    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    parts = (
        "  a: {where: \"strategy = 'default' -- those\", take: 2, stratify_by: [category]}\n"
        "  b: {where: kind = 'harmful', draw_by: prompt}\n"
    )
    (tmp_path / "m.yaml").write_text(f"name: m\nconsensus: majority\nparts:\n{parts}")
    assert curate("ingest", "t.jsonl", cwd=tmp_path).returncode == 0
    (plan,) = json.loads(curate("plan", "m.yaml", "--sql", "--json", cwd=tmp_path).stdout)
    found = {
        name: json.loads(curate("sql", part["sql"], "--json", cwd=tmp_path).stdout)
        for name, part in plan["parts"].items()
    }
    assert {name: len(rows) for name, rows in found.items()} == {"a": 4, "b": 10}
    printed = curate("plan", "m.yaml", "--sql", cwd=tmp_path).stdout
    queries = printed.split("/* part ")[1:]
    assert len(queries) == 2 and "--consensus majority" in printed
    assert all(curate("sql", f"/* part {text}", cwd=tmp_path).returncode == 0 for text in queries)
