"""The only user of DuckDB: SQL over a corpus's parts, in memory, safe for untrusted queries.

Tables `prompts`, `traces`, `annotations`, `quarantine`; views `verdicts` (consensus, see sql/verdicts.sql) and
`candidates` (one row per trace with every column a mix can filter on). The connection reads only files of the corpus, its
configuration is locked, and `select` rejects every statement that is not a SELECT.
"""

import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from annotators.statistics.consensus import (
    ConsensusWeights,
    LabelCombination,
    dawid_skene,
    measured_weights,
    without_people,
)
from curation.corpus import candidates, memory
from curation.corpus.store import Store, gone
from schemas.choices import Policy
from schemas.errors import CorpusError, RecipeError
from schemas.patterns import RISKY_PATTERNS
from schemas.tables import TABLES

Connection = duckdb.DuckDBPyConnection


def connect(
    corpus: Store,
    memory_limit: str | None = None,
    threads: int | None = None,
    parts: Mapping[str, Sequence[str]] | None = None,
    policy: Policy = "ranked",
) -> Connection:
    """Open a snapshot of the corpus; parts added later are not visible.

    Args:
        corpus: the corpus.
        memory_limit: DuckDB's memory limit, such as "4GB"; CURATE_MEMORY by default. Beyond it DuckDB spills to the
            system's temporary folder.
        threads: number of threads; all cores by default.
        parts: names of the visible part files of each table; all by default.
        policy: the consensus policy (docs/annotators.md).
    """
    connection = _bounded(memory_limit or memory.megabytes(memory.limit()))
    connection.execute(f"set threads = {threads or len(os.sched_getaffinity(0))}")
    connection.execute("set preserve_insertion_order = false")
    for table, schema in TABLES.items():
        seen = corpus.parts(table, None if parts is None else parts.get(table, ()))
        _define_table(connection, seen, table, schema)
    connection.execute(sql_file("curation.corpus", "clusters.sql"))
    weights = _define_verdicts(connection, policy)
    pattern_annotators = [
        candidates.PatternAnnotator(*row)
        for row in connection.execute(sql_file("curation.corpus", "pattern_annotators.sql")).fetchall()
    ]
    connection.execute(
        sql_file("curation.corpus", "candidates.sql", **candidates.pieces(pattern_annotators, weights))
    )
    root = str(corpus.root.resolve())
    connection.execute(f"set allowed_directories = [{quoted(root + os.sep)}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def _bounded(memory_limit: str) -> Connection:
    connection = duckdb.connect(":memory:")
    # By default DuckDB would spill into the working directory. It creates this folder on demand and deletes it.
    spill = str(Path(tempfile.gettempdir()) / f"curate-{secrets.token_hex(8)}")
    connection.execute(f"set memory_limit = {quoted(memory_limit)}")
    connection.execute(f"set temp_directory = {quoted(spill)}")
    return connection


def ordered(rows: pa.RecordBatchReader, by: str, memory_limit: str) -> Iterator[pa.RecordBatch]:
    """Rows in ascending order of a column, of any number: beyond the memory limit they are sorted on disk."""
    connection = _bounded(memory_limit)
    connection.execute(f"set threads = {len(os.sched_getaffinity(0))}")
    connection.register("given", rows)
    yield from connection.sql(f"select * from given order by {identifier(by)}").to_arrow_reader(65536)


def label_combinations(
    connection: Connection, reviewed_only: bool = False
) -> dict[str, list[LabelCombination]]:
    """How often each combination of labels occurs, by pattern; people are included by name.

    Args:
        connection: of the corpus.
        reviewed_only: only traces that people have labelled.
    """
    reviewed = "where trace_id in (select trace_id from current_annotations where rank = 0)"
    pattern_annotators = [
        candidates.PatternAnnotator(*row)
        for row in connection.execute(sql_file("curation.corpus", "pattern_annotators.sql")).fetchall()
    ]
    pieces = candidates.label_columns(pattern_annotators)
    only = reviewed if reviewed_only else ""
    connection.execute(
        sql_file("curation.corpus", "labels.sql", label_columns=pieces.pop("label_columns"), only=only)
    )
    combinations = {}
    for pattern, columns in pieces.items():
        rows = (
            connection.sql(sql_file("curation.corpus", "label_combinations.sql", columns=columns))
            .to_arrow_table()
            .to_pylist()
        )
        combinations[pattern] = [_combination(row) for row in rows]
    connection.execute("drop table labels")
    return combinations


def _combination(row: dict[str, Any]) -> LabelCombination:
    truth, traces = row.pop("$people"), row.pop("$traces")
    return LabelCombination({name: label for name, label in row.items() if label is not None}, truth, traces)


def select(connection: Connection, query: str) -> pa.Table:
    """Run one SELECT and return its rows.

    Raises:
        RecipeError: if the query is not exactly one SELECT, or DuckDB rejects it; says where in the query.
    """
    try:
        statements = connection.extract_statements(_sound(query))
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise RecipeError("only one SELECT statement is allowed here; the corpus is read-only")
        return connection.sql(query).to_arrow_table()
    except duckdb.Error as error:
        raise trouble(error) or RecipeError(_explain(error)) from error


def trouble(error: Exception) -> CorpusError | None:
    """The error for a user if DuckDB failed but the query is not at fault: no memory, no disk space, a missing part."""
    if isinstance(error, duckdb.OutOfMemoryException):
        now = os.environ.get(memory.VARIABLE, memory.DEFAULT)
        return CorpusError(
            f"this query needs more than {memory.VARIABLE}={now}; raise it, or free disk space "
            f"in {tempfile.gettempdir()}, where DuckDB spills ({_explain(error).splitlines()[0]})"
        )
    if isinstance(error, duckdb.IOException):
        missing = re.search(r"(?:pattern|open file) \"(.+?)\"", str(error))
        return CorpusError(gone(missing[1]) if missing else _explain(error))
    return None


def check_condition(connection: Connection, condition: str) -> None:
    """Check that `condition` is one boolean SQL expression over `candidates`.

    Raises:
        RecipeError: with DuckDB's explanation.
    """
    try:
        duckdb.SQLExpression(
            _sound(condition)
        )  # a single expression cannot escape from the parentheses below
    except duckdb.Error as error:
        raise RecipeError(_explain(error)) from error
    # The newline keeps a trailing `--` comment from hiding the parenthesis.
    select(connection, f"select trace_id from candidates where ({condition}\n) limit 0")


def check_order(connection: Connection, expression: str) -> None:
    """Check that `expression` is one SQL expression over `candidates`, `part` and `tokens`.

    Raises:
        RecipeError: with DuckDB's explanation.
    """
    try:
        duckdb.SQLExpression(_sound(expression))
    except duckdb.Error as error:
        raise RecipeError(_explain(error)) from error
    rows = "(select *, ''::varchar as part, 0 as tokens from candidates)"
    select(connection, f"select ({expression}\n) from {rows} limit 0")


def _sound(sql: str) -> str:
    try:
        sql.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecipeError(
            f"unpaired surrogate at character {error.start + 1} of the SQL; retype it"
        ) from error
    return sql


def prompts_where(
    connection: Connection, condition: str, limit: int | None, seed: int
) -> list[dict[str, Any]]:
    """The prompts that meet a condition over `prompts`, in the order of their files (sql/generate_prompts.sql).

    Raises:
        RecipeError: if it is not one boolean SQL expression.
    """
    try:
        duckdb.SQLExpression(_sound(condition))
        query = connection.sql(
            sql_file("curation.corpus", "generate_prompts.sql", where=condition),
            params={"seed": str(seed), "limit": limit or 2**62},
        )
        return list(query.to_arrow_table().to_pylist())
    except duckdb.Error as error:
        raise RecipeError(f"where: {_explain(error)}") from error


def risky_spans(connection: Connection) -> list[dict[str, Any]]:
    """trace_id, field and start of every evidence span of a risky label (sql/repair_spans.sql)."""
    query = connection.sql(
        sql_file("curation.corpus", "repair_spans.sql"), params={"risky": list(RISKY_PATTERNS)}
    )
    return list(query.to_arrow_table().to_pylist())


def benchmark_keys(texts: Sequence[str]) -> list[str]:
    """The registry key of each prompt text (sql/benchmark_key.sql)."""
    connection = duckdb.connect(":memory:")
    connection.register("given", pa.table({"text": pa.array(texts, pa.string())}))
    key = sql_file("curation.corpus", "benchmark_key.sql", text="text")
    return [key_of_text for (key_of_text,) in connection.execute(f"select {key} from given").fetchall()]


def sql_file(package: str, name: str, **pieces: str) -> str:
    """The text of a file in the `sql` folder of a package, with each `{piece}` replaced by trusted SQL."""
    text = (files(package) / "sql" / name).read_text(encoding="utf-8")
    for piece, sql in pieces.items():
        text = text.replace("{" + piece + "}", sql)
    return text


def quoted(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _define_table(connection: Connection, parts: Sequence[Path], table: str, schema: pa.Schema) -> None:
    if not parts:
        _define_empty(connection, table, schema)
        return
    names = ", ".join(quoted(str(part.resolve())) for part in parts)
    rows = f"select * from read_parquet([{names}], union_by_name = true)"
    if not set(schema.names) <= set(connection.sql(rows).columns):  # written by an older version
        _define_empty(connection, f"{table}_columns", schema)
        rows += f" union all by name from {table}_columns"
    connection.execute(f"create view {table} as {rows}")


def _define_empty(connection: Connection, table: str, schema: pa.Schema) -> None:
    connection.register("no_rows", schema.empty_table())
    connection.execute(f"create table {table} as select * from no_rows")
    connection.unregister("no_rows")


def _define_verdicts(connection: Connection, policy: Policy) -> dict[str, ConsensusWeights]:
    """Define the views and macros of the consensus; returns the weights of each weighted pattern."""
    calibrated = connection.execute("select exists (from calibrations)").fetchone() == (True,)
    decides = "if(label is null or score is null or threshold is null, label, score >= threshold)"
    joined = f"left join ({sql_file('curation.corpus', 'thresholds.sql')}) t using (annotator, pattern)"
    pieces = {
        "lowest": "1" if policy == "majority" else "3",
        "calibrated": decides if calibrated else "label",
        "thresholds": joined if calibrated else "",
    }
    connection.execute(sql_file("curation.corpus", "verdicts.sql", **pieces))
    weights = _weights(connection, policy)
    if weights:
        values = ", ".join(
            f"({quoted(name)}, {quoted(pattern)}, {known.prior:.6f}, {r.if_true:.6f}, {r.if_false:.6f})"
            for pattern, known in weights.items()
            for name, r in known.annotators.items()
        )
        connection.execute(sql_file("curation.corpus", "consensus_weighted.sql", weights=values))
    else:
        connection.execute(sql_file("curation.corpus", "consensus_ranked.sql"))
    connection.execute("create view verdicts as from verdicts_from(0)")
    return weights


def _weights(connection: Connection, policy: Policy) -> dict[str, ConsensusWeights]:
    if policy in ("ranked", "majority"):
        return {}
    by_labels = label_combinations(connection, reviewed_only=policy == "weighted")
    estimate = measured_weights if policy == "weighted" else dawid_skene
    by_pattern = {
        pattern: estimate(without_people(combinations)) for pattern, combinations in by_labels.items()
    }
    return {pattern: weights for pattern, weights in by_pattern.items() if weights}


def _explain(error: duckdb.Error) -> str:
    text = re.sub(r"\s*LINE \d+:.*", "", str(error), flags=re.DOTALL)
    return re.sub(r"^(\w+ Error): ", "", text).strip()
