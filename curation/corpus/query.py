"""The only user of DuckDB: SQL over a corpus's parts, in memory, safe for untrusted queries.

Tables `prompts`, `traces`, `annotations`, `quarantine`; views `verdicts` (consensus, see sql/verdicts.sql) and
`candidates` (one row per trace with every column a mix can filter on). The connection can open no file but parts of the
corpus, read-only (`curation.corpus.part_files`), and its configuration is locked. Untrusted SQL goes through
`curation.corpus.untrusted` first.
"""

import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
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
from curation.codebook.known import Known
from curation.corpus import amendments, candidates, memory, unsafe_union
from curation.corpus.compact import pack_many
from curation.corpus.filling import identifier, quoted, rejected, sql_file
from curation.corpus.part_files import SCHEME, PartFiles, address, same_type, sql_type
from curation.corpus.store import Store, conform, part_schema
from curation.integrity.damage import damaged, gone
from schemas.choices import Policy
from schemas.errors import CorpusError, RecipeError
from schemas.patterns import RISKY_PATTERNS
from schemas.tables import AMENDABLE, TABLES

Connection = duckdb.DuckDBPyConnection
EngineFailure = duckdb.Error
_BROKEN = re.compile(
    r"parquet|snappy|magic bytes|thrift|decompress|corrupt|data page|dictionary", re.IGNORECASE
)
"""Words of DuckDB for a file whose bytes are not what they should be."""


def connect(
    corpus: Store,
    memory_limit: str | None = None,
    threads: int | None = None,
    parts: Mapping[str, Sequence[str]] | None = None,
    policy: Policy = "ranked",
    rows: Mapping[str, pa.Table] | None = None,
    counted: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Connection:
    """Open a snapshot of the corpus with every view; parts added later are not visible. Arguments as of `open_tables`, and

    Args:
        policy: the consensus policy (docs/annotators.md).
        counted: family of annotators -> those of it, with versions, whose labels count; all those of other families do.
    """
    connection = open_tables(corpus, memory_limit, threads, parts, rows)
    connection.execute(sql_file("curation.corpus", "influences.sql"))
    connection.execute(sql_file("curation.corpus", "people_verdicts.sql"))
    _define_annotations(connection, policy, counted)
    pattern_annotators = candidates.pattern_annotators(connection)
    known = known_entries(connection)
    connection.execute(sql_file("curation.corpus", "trajectories.sql"))
    weights = _define_verdicts(connection, policy, pattern_annotators, known)
    pieces = candidates.pieces(pattern_annotators, weights, known)
    connection.execute(sql_file("curation.corpus", "candidates.sql", **pieces))
    candidates.keep_columns(connection)
    return connection


def open_tables(
    corpus: Store,
    memory_limit: str | None = None,
    threads: int | None = None,
    parts: Mapping[str, Sequence[str]] | None = None,
    rows: Mapping[str, pa.Table] | None = None,
) -> Connection:
    """Open a snapshot of the tables, and of the views only those of prompts and of clusters.

    `connect` counts every annotation and plans the consensus and `candidates`, which a lookup in a table does not need.

    Args:
        corpus: the corpus.
        memory_limit: DuckDB's memory limit, such as "4GB"; CURATE_MEMORY by default. Beyond it DuckDB spills to the
            system's temporary folder.
        threads: number of threads; all cores by default.
        parts: names of the visible part files of each table; all by default.
        rows: rows of tables to open instead of the corpus's parts; the other tables are empty.
    """
    connection = _bounded(memory_limit or memory.megabytes(memory.limit()))
    connection.execute(f"set threads = {threads or len(os.sched_getaffinity(0))}")
    connection.execute("set preserve_insertion_order = false")
    connection.execute("set parquet_metadata_cache = true")  # parts never change: read each footer once
    # Files that do not belong to DuckDB's own file system count as remote: it would fetch columns that it does not need.
    connection.execute("set disable_parquet_prefetching = true")
    _close_off(connection, corpus.root)
    if parts is None and rows is None:
        pack_many(corpus)
    wanted = {table: None if parts is None else parts.get(table, ()) for table in TABLES}
    seen = {table: [] if rows is not None else corpus.parts(table, wanted[table]) for table in TABLES}
    put_right = [table for table in AMENDABLE if seen["amendments"]]
    for table, schema in TABLES.items():
        name = f"{table}_as_written" if table in put_right else table
        if rows and table in rows:
            connection.register(name, rows[table])
        else:
            define_table(connection, corpus.root, seen[table], name, schema)
    for table in put_right:
        connection.execute(amendments.view(table))
    connection.execute(sql_file("curation.corpus", "prompt_sets.sql"))
    connection.execute(sql_file("curation.corpus", "clusters.sql"))
    return connection


def of_trace(connection: Connection, corpus: Store, trace_id: str) -> Connection:
    """A connection with the annotations of one trace only: its verdicts are those of the corpus, without the work for all others.

    Which versions of annotators count, and what they judge, depends on the whole corpus. So each annotator also stands there with
    one row about no trace for every pattern that it judged.
    """
    said = select(connection, "select * from annotations where trace_id = $id", {"id": trace_id})
    witnesses = select(connection, sql_file("curation.corpus", "witnesses.sql"))
    rows = {table: select(connection, f"from {table}") for table in ("calibrations", "codebooks")}
    rows["annotations"] = pa.concat_tables(
        [conform(said, TABLES["annotations"]), conform(witnesses, TABLES["annotations"])]
    )
    return connect(corpus, rows=rows)


def known_entries(connection: Connection) -> Known:
    """The entries of all codebooks that a corpus knows."""
    return Known.of_texts(
        connection.execute("select text from codebooks order by codebook, version").fetchall()
    )


def keywords() -> set[str]:
    """Words that SQL keeps for itself, in lower case."""
    found = duckdb.connect(":memory:").execute(
        "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
    )
    return {str(name).lower() for (name,) in found.fetchall()}


def _close_off(connection: Connection, root: Path) -> None:
    """Let a connection open the parts of one corpus, read-only, and nothing else; for good."""
    connection.register_filesystem(PartFiles(root))
    connection.execute(f"set allowed_directories = [{quoted(SCHEME)}]")
    connection.execute("set python_enable_replacements = false")  # names of Python variables are no tables
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


@contextmanager
def read_only(connection: Connection) -> Iterator[None]:
    """A transaction in which the engine refuses to change any table, also those in memory."""
    connection.execute("begin transaction read only")
    try:
        yield
    finally:
        connection.execute("rollback")


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
    reviewed = "where trace_id in (select trace_id from current_annotations where rank <= 0)"
    pattern_annotators = candidates.pattern_annotators(connection)
    if len({one.name for one in pattern_annotators}) > candidates.MOST_COLUMNS:
        return _combinations_of_many(connection, reviewed if reviewed_only else "")
    pieces = candidates.label_columns(pattern_annotators, known_entries(connection))
    names = {f"o{n}": one.name for n, one in enumerate(pattern_annotators)}
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
        combinations[pattern] = [_combination(row, names) for row in rows]
    connection.execute("drop table labels")
    return combinations


def _combinations_of_many(connection: Connection, only: str) -> dict[str, list[LabelCombination]]:
    query, entries = (
        sql_file("curation.corpus", "combinations_of_many.sql", only=only),
        known_entries(connection).entries,
    )
    by_pattern: dict[str, list[LabelCombination]] = {}
    for row in select(connection, query).to_pylist():
        labels = {one["name"]: one["label"] for one in row["labels"]}
        if row["pattern"] in entries:
            by_pattern.setdefault(row["pattern"], []).append(
                LabelCombination(labels, row["people"], row["traces"])
            )
    return by_pattern


def _combination(row: dict[str, Any], names: Mapping[str, str]) -> LabelCombination:
    truth, traces = row.pop("people"), row.pop("traces")
    labels = {names[column]: label for column, label in row.items() if label is not None}
    return LabelCombination(labels, truth, traces)


def select(connection: Connection, query: str, values: Mapping[str, Any] | None = None) -> pa.Table:
    """Run a query and return its rows.

    Args:
        connection: of the corpus.
        query: trusted SQL; untrusted text in it has passed `curation.corpus.untrusted`.
        values: parameters of the query.

    Raises:
        RecipeError: if DuckDB rejects the query; says where.
    """
    try:
        return connection.sql(query, params=dict(values) if values else None).to_arrow_table()
    except duckdb.Error as error:
        raise trouble(error) or RecipeError(rejected(str(error), query)) from error


def execute(connection: Connection, statement: str, values: Mapping[str, Any] | None = None) -> list[Any]:
    """Run a statement and return its rows as tuples; arguments and errors as for `select`."""
    try:
        return connection.execute(statement, dict(values or {})).fetchall()
    except duckdb.Error as error:
        raise trouble(error) or RecipeError(rejected(str(error), statement)) from error


def trouble(error: Exception) -> CorpusError | None:
    """The error for a user if DuckDB failed but the query is not at fault: no memory, no disk space, a missing part."""
    if isinstance(error, duckdb.OutOfMemoryException):
        now = os.environ.get(memory.VARIABLE, memory.DEFAULT)
        return CorpusError(
            f"this query needs more than {memory.VARIABLE}={now}; raise it, or free disk space "
            f"in {tempfile.gettempdir()}, where DuckDB spills ({rejected(str(error)).splitlines()[0]})"
        )
    if not isinstance(error, duckdb.Error):
        return None
    said = rejected(str(error))
    if part := re.search(rf"{SCHEME}[^'\"\s]+\.parquet", said):
        exists = "No files found" not in said and "open file" not in said
        return CorpusError(damaged(part[0], said) if exists else gone(part[0]))
    broken = isinstance(error, duckdb.InvalidInputException | duckdb.SerializationException)
    if isinstance(error, duckdb.IOException) or (broken and _BROKEN.search(said)):
        missing = re.search(r"(?:pattern|open file) \"(.+?)\"", said)
        return CorpusError(gone(missing[1]) if missing else damaged("a part of the corpus", said))
    return None


def risky_spans(connection: Connection, patterns: Sequence[str] = RISKY_PATTERNS) -> list[dict[str, Any]]:
    """trace_id, field, start and end of every evidence span of a true label of these patterns (sql/repair_spans.sql)."""
    query = connection.sql(sql_file("curation.corpus", "repair_spans.sql"), params={"risky": list(patterns)})
    return list(query.to_arrow_table().to_pylist())


def benchmark_keys(texts: Sequence[str]) -> list[str]:
    """The registry key of each prompt text (sql/benchmark_key.sql)."""
    connection = duckdb.connect(":memory:")
    connection.register("given", pa.table({"text": pa.array(texts, pa.string())}))
    key = sql_file("curation.corpus", "benchmark_key.sql", text="text")
    return [key_of_text for (key_of_text,) in connection.execute(f"select {key} from given").fetchall()]


def define_table(
    connection: Connection, root: Path, parts: Sequence[Path], table: str, schema: pa.Schema
) -> None:
    """A view of the parts; columns that an older version did not write are null.

    Parts with equal columns are read together: with `union_by_name` DuckDB opens every part in every query it plans.
    """
    alike: dict[str, list[str]] = {}
    complete = False
    for part in parts:
        columns = part_schema(part).remove_metadata()
        complete = complete or set(schema.names) <= set(columns.names)
        alike.setdefault(str(columns), []).append(quoted(address(root, part)))
    if not parts:
        _define_empty(connection, table, schema)
        return
    reads = [f"select * from read_parquet([{', '.join(names)}])" for names in alike.values()]
    for rows in reads:
        _check_columns(connection, rows, table, schema)
    if not complete:
        _define_empty(connection, f"{table}_columns", schema)
        reads.append(f"select * from {table}_columns")
    connection.execute(f"create view {table} as {' union all by name '.join(reads)}")


def _check_columns(connection: Connection, rows: str, table: str, schema: pa.Schema) -> None:
    """Raise if parts have a column that is none of the table, or of another type."""
    try:
        relation = connection.sql(rows)
        found = dict(zip(relation.columns, relation.types, strict=True))
    except duckdb.Error as error:
        raise trouble(error) or CorpusError(damaged(f"a part of {table}", rejected(str(error)))) from error
    wanted = {field.name: field.type for field in schema}
    if strange := sorted(
        name for name in found if name not in wanted or not same_type(found[name], wanted[name])
    ):
        why = f"its column {strange[0]} is none of the table, or of another type"
        raise CorpusError(damaged(f"a part of {table}", why))


def _define_empty(connection: Connection, table: str, schema: pa.Schema) -> None:
    columns = ", ".join(f"{identifier(field.name)} {sql_type(field.type)}" for field in schema)
    connection.execute(f"create table {table} ({columns})")


def _define_annotations(connection: Connection, policy: Policy, counted: Mapping[str, Sequence[str]]) -> None:
    """Define the views of the annotations that count."""
    calibrated = connection.execute("select exists (from calibrations)").fetchone() == (True,)
    decides = "if(label is null or score is null or threshold is null, label, score >= threshold)"
    joined = f"left join ({sql_file('curation.corpus', 'thresholds.sql')}) t using (annotator, pattern)"
    pieces = {
        "lowest": "1" if policy == "majority" else "3",
        "counted": " and ".join(
            f"(split_part(split_part(annotator, '@', 1), ':', 1) <> {quoted(family)} "
            f"or annotator in ({', '.join(map(quoted, ('', *names)))}))"
            for family, names in counted.items()
        )
        or "true",
        "calibrated": decides if calibrated else "label",
        "thresholds": joined if calibrated else "",
    }
    connection.execute(sql_file("curation.corpus", "current_annotations.sql", **pieces))


def _define_verdicts(
    connection: Connection, policy: Policy, annotators_of: Sequence[candidates.PatternAnnotator], known: Known
) -> dict[str, ConsensusWeights]:
    """Define the view and macros of the consensus; returns the weights of each weighted pattern."""
    single = ", ".join(
        f"({quoted(name)}, {quoted(pattern.removeprefix('unsafe_'))})"
        for name, pattern in candidates.single_field(annotators_of).items()
    )
    connection.execute(
        sql_file("curation.corpus", "verdicts.sql", single=single or "(null::varchar, null::varchar)")
    )
    weights = _weights(connection, policy, known)
    if weights:
        values = ", ".join(
            f"({quoted(name)}, {quoted(pattern)}, {known.prior:.6f}, {r.if_true:.6f}, {r.if_false:.6f})"
            for pattern, known in weights.items()
            for name, r in known.annotators.items()
        )
        connection.execute(sql_file("curation.corpus", "consensus_weighted.sql", weights=values))
    else:
        connection.execute(sql_file("curation.corpus", "consensus_ranked.sql"))
    connection.execute(sql_file("curation.corpus", "unsafe_union.sql", **unsafe_union.pieces()))
    connection.execute("create view verdicts as from verdicts_from(-1)")
    return weights


def _weights(connection: Connection, policy: Policy, known: Known) -> dict[str, ConsensusWeights]:
    if policy in ("ranked", "majority"):
        return {}
    graded = {
        name for name, entry in known.entries.items() if entry.graded
    }  # their scores are no probabilities
    by_labels = label_combinations(connection, reviewed_only=policy == "weighted")
    estimate = measured_weights if policy == "weighted" else dawid_skene
    by_pattern = {
        pattern: estimate(without_people(combinations))
        for pattern, combinations in by_labels.items()
        if pattern not in graded
    }
    return {pattern: weights for pattern, weights in by_pattern.items() if weights}
