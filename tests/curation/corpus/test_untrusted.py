import hashlib
import os
import resource
import signal
import threading
from pathlib import Path

import duckdb
import pytest

from curation.corpus.bounds import bounded
from curation.corpus.filling import sql_file
from curation.corpus.query import connect, read_only, select
from curation.corpus.store import Store
from curation.corpus.untrusted import LONGEST, check_condition, check_order, prompts_where, select_untrusted
from schemas import RecipeError
from schemas.errors import CorpusError
from tests.curation.corpus.test_query import fill


def hashes(folder: Path) -> dict[str, str]:
    """Every file of a folder with the hash of what is in it."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('/etc/hostname')",
        "select * from read_csv('/etc/passwd')",
        "select * from glob('/*')",
        "copy traces to 'stolen.parquet'",
        "attach 'other.db'",
        "install httpfs",
        "set memory_limit = '100GB'",
        "create table x (a int)",
        "drop view traces",
        "export database 'x'",
        "select 1; select 2",
        "pragma database_list",
        "",
    ],
)
def test_a_query_reads_the_corpus_and_nothing_else(corpus: Store, query: str) -> None:
    with pytest.raises(RecipeError):
        select_untrusted(connect(corpus), query)


def test_a_query_cannot_write_into_the_corpus(corpus: Store) -> None:
    fill(corpus, ("rules@1", True))
    before = sorted(corpus.root.rglob("*"))
    with pytest.raises(RecipeError, match="only one SELECT"):
        select_untrusted(connect(corpus), f"copy traces to '{corpus.root}/traces/part-evil.parquet'")
    assert sorted(corpus.root.rglob("*")) == before


def test_an_unknown_column_is_explained_with_the_likely_ones(corpus: Store) -> None:
    with pytest.raises(RecipeError, match="no column 'weak_vacilation'; did you mean 'weak_vacillation'"):
        check_condition(connect(corpus), "weak_vacilation = true")


@pytest.mark.parametrize(
    "condition", ["true) union select ('x'", "1; drop table x", "kind = 'x', 1", "select 1"]
)
def test_a_condition_is_one_expression(corpus: Store, condition: str) -> None:
    with pytest.raises(RecipeError):
        check_condition(connect(corpus), condition)


WRITES = [
    "copy (select 1 as a) to '{target}' (format csv)",
    "copy (select 1 as a) to '{target}' (use_tmp_file false)",
    "with x as (copy (select 1 as a) to '{target}') select * from x",
    "with x as (insert into quarantine by name (select 'q' as quarantine_id) returning *) select * from x",
    "with x as (update quarantine set stage = 'x' returning *) select * from x",
    "with x as (delete from quarantine returning *) select * from x",
    "insert into quarantine by name (select 'q' as quarantine_id)",
    "create table x as select 1 as a",
    "create or replace view traces as select 1 as a",
    "drop view traces",
    "attach '{target}' as other",
    "attach '{target}.db' as other",
    "export database '{target}-folder'",
    "call enable_logging(storage = 'file', storage_path = '{target}-log')",
    "set enable_external_access = true",
    "reset lock_configuration",
    "pragma enable_profiling",
    "prepare q as select 1",
    "explain analyze select 1",
    "checkpoint",
    "load '{target}'",
]


@pytest.mark.parametrize("statement", WRITES)
@pytest.mark.parametrize("scheme", ["", "corpus://", "file://"])
def test_a_strangers_statement_writes_nothing(
    corpus: Store, tmp_path: Path, statement: str, scheme: str
) -> None:
    fill(corpus, ("rules@1", True))
    canary = tmp_path / "canary.json"
    canary.write_text("whole")
    connection = connect(corpus)
    for target in (canary, corpus.root / "corpus.json", *corpus.parts("annotations")):
        before = hashes(tmp_path)
        with pytest.raises(RecipeError):
            select_untrusted(connection, statement.format(target=f"{scheme}{target}"))
        assert hashes(tmp_path) == before
    assert connection.execute("select count(*) from traces").fetchall() == [(1,)]


@pytest.mark.parametrize("statement", [s for s in WRITES if "{target}" in s])
def test_the_engine_itself_refuses_to_write_a_file_whatever_the_statement(
    corpus: Store, tmp_path: Path, statement: str
) -> None:
    fill(corpus, ("rules@1", True))
    connection = connect(corpus)
    before = hashes(tmp_path)
    for target in (
        corpus.root / "corpus.json",
        f"corpus://{corpus.root}/corpus.json",
        "corpus://annotations/part-f.parquet",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(statement.format(target=target)).fetchall()
    assert hashes(tmp_path) == before


@pytest.mark.parametrize(
    "statement", [s for s in WRITES if s.startswith(("insert", "create", "drop", "with x as (ins"))]
)
def test_the_engine_itself_refuses_to_change_a_table_for_a_query(corpus: Store, statement: str) -> None:
    connection = connect(corpus)
    with read_only(connection), pytest.raises(duckdb.Error):
        connection.execute(statement).fetchall()


@pytest.mark.parametrize(
    "condition",
    [
        "random() < 0.5",
        "trace_id = gen_random_uuid()::varchar",
        "now() > '2020-01-01'",
        "trace_id in (select trace_id from candidates using sample 3)",
        "trace_id in (select trace_id from candidates limit 3)",
        "exists (select 1 from read_text('/etc/hostname'))",
        "exists (select 1 from duckdb_settings())",
        "exists (select 1 from query('select 1'))",
        "getenv('HOME') is not null",
        "getvariable('x') is null",
        "current_setting('temp_directory') <> ''",
        "length(repeat('x', 4000000000)) > 1",
        "len(range(4000000000)) > 1",
        "exists (with recursive r(n) as (select 1 union all select n + 1 from r) select 1 from r)",
        "exists (select 1 from 'corpus.json')",
        "exists (select 1 from duckdb_views)",
        "exists (select 1 from information_schema.tables)",
        "trace_id = $seed",
        "trace_id = ?",
        "true) or (true",
        "true /*",
        "true -- )\n) union select ('x'",
        "'",
        "$$",
        "",
        ")",
        "(select 1 as a, 2 as b)",
        "*",
        "true\ud800",
    ],
)
def test_a_condition_that_is_more_than_a_condition_is_rejected(corpus: Store, condition: str) -> None:
    fill(corpus, ("rules@1", True))
    connection = connect(corpus)
    if condition == "true) or (true":  # two conditions in brackets are still one expression
        check_condition(connection, condition)
        return
    with pytest.raises(RecipeError):
        check_condition(connection, condition)


@pytest.mark.parametrize(
    "condition",
    [
        "kind = 'harmful' and not coalesce(weak_vacillation, false)",
        "rules.weak_vacillation is true or category in ('privacy', 'hate')",
        "regexp_matches(answer, '^I can') and length(reasoning) between 10 and 2000",
        "list_contains(benchmarks, 'x') or len(list_filter(benchmarks, lambda name: name like 'a%')) > 0",
        "case when kind is null then true else strategy <> 'short' end",
        "trace_id in (select trace_id from annotations where annotator = 'rules@1' and label group by trace_id)",
        "exists (from verdicts v where v.trace_id = candidates.trace_id and v.label)",
        "weak_vacillation_score::double > 0.5 and try_cast(category as int) is null",
        "source_file <> '{allowed}' or source_file is null",
        "json_extract_string(extra, '$.query') is null -- {where}",
        "answer ilike '%no%' and answer not like '#%' and prompt <> 'select 1; drop table x'",
    ],
)
def test_conditions_that_people_write_are_allowed(corpus: Store, condition: str) -> None:
    fill(corpus, ("rules@1", True))
    connection = connect(corpus)
    check_condition(connection, condition)
    found = select(connection, f"select count(*) as n from candidates where ({condition}\n)")
    assert found.num_rows == 1


@pytest.mark.parametrize(
    "query",
    [
        "select pattern, count(*) from verdicts where label group by all order by all limit 3",
        "with mine as (select * from annotations where label) select annotator, count(*) from mine group by 1",
        "from candidates select trace_id, row_number() over (order by trace_id) as place",
        "select * exclude (reasoning) from traces union all by name select trace_id from traces",
        "describe candidates",
        "select string_agg(pattern, ',' order by pattern) from verdicts",
        "select unnest(spans) from annotations",
        "select count(*) filter (where label) from main.annotations",
    ],
)
def test_queries_that_people_write_are_allowed(corpus: Store, query: str) -> None:
    fill(corpus, ("rules@1", True))
    assert select_untrusted(connect(corpus), query).num_columns > 0


def test_a_very_long_condition_is_rejected_at_once(corpus: Store) -> None:
    with pytest.raises(RecipeError, match="characters of SQL"):
        check_condition(connect(corpus), " or ".join(["true"] * LONGEST))


def test_a_deeply_nested_condition_is_an_error_and_no_crash(corpus: Store) -> None:
    connection = connect(corpus)
    for text in ("(" * 5000 + "true" + ")" * 5000, "not " * 4000 + "true", "-" * 15000 + "1 = 1"):
        with pytest.raises(RecipeError):
            check_condition(connection, text)


def test_an_order_may_use_what_a_condition_may(corpus: Store) -> None:
    connection = connect(corpus)
    check_order(connection, "-tokens")
    with pytest.raises(RecipeError, match="'random' is not allowed"):
        check_order(connection, "random()")


def test_a_condition_on_prompts_has_no_other_statement_in_it(corpus: Store) -> None:
    fill(corpus, ("rules@1", True))
    connection = connect(corpus)
    assert len(prompts_where(connection, "kind = 'harmful' or text = '{where}'", None, 0)) == 1
    with pytest.raises(RecipeError, match="where: "):
        prompts_where(connection, "true) or (random() < 2", None, 0)


def test_a_piece_of_a_template_is_not_scanned_again() -> None:
    text = sql_file(
        "curation.mix", "match.sql", where="x <> '{allowed}'", allowed="'{seed}'", stratum="", draw="'{order}'",
        too_long="false", lengths="",
    )  # fmt: skip
    assert "x <> '{allowed}'" in text and "['{seed}']" in text and "'{order}' as draw" in text


@pytest.mark.parametrize(
    "query",
    ["select length(repeat('x', 3000000000)) as n", "select len(range(300000000)) as n"],
)
def test_one_value_cannot_take_more_memory_than_the_limit(
    corpus: Store, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setenv("CURATE_MEMORY", "500MB")
    connection = connect(corpus)
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(CorpusError, match="CURATE_MEMORY"):
        bounded(connection, lambda: select(connection, query))
    assert resource.getrlimit(resource.RLIMIT_AS) == before


ENDLESS = "select count(*) from range(10000000) a, range(10000000) b where a.range % 7 = b.range % 5"


def test_a_query_has_a_time_limit_and_the_connection_lives_on(
    corpus: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(corpus)
    monkeypatch.setenv("CURATE_QUERY_SECONDS", "0.5")
    with pytest.raises(RecipeError, match=r"longer than 0\.5 seconds"):
        bounded(connection, lambda: select(connection, ENDLESS))
    monkeypatch.setenv("CURATE_QUERY_SECONDS", "60")
    assert select_untrusted(connection, "select 1 as a").to_pylist() == [{"a": 1}]


def test_ctrl_c_stops_a_query(corpus: Store) -> None:
    connection = connect(corpus)
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist's processes ignore it
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            bounded(connection, lambda: select(connection, ENDLESS))
    finally:
        signal.signal(signal.SIGINT, ours)
    assert select_untrusted(connection, "select 1 as a").to_pylist() == [{"a": 1}]
