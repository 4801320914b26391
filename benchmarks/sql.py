"""Untrusted SQL made from a grammar: conditions, orders, queries and whole recipes, most of them attacks.

After all of them, every file of the corpus and a canary beside it are as they were, and no result or error holds the canary or
the value of an environment variable.

    python -m benchmarks sql         # 20,000 texts; SQL_INPUTS=500 for fewer
"""

import hashlib
import os
import random
import tempfile
from collections import Counter
from pathlib import Path

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.corpus.untrusted import check_condition, check_order, prompts_where, select_untrusted
from curation.mix.planning import plan
from curation.mix.recipe import MixRecipe
from curation.recipe import Lines, check_recipe
from schemas.errors import CurateError

INPUTS = int(os.environ.get("SQL_INPUTS", "20000"))
CANARY = "canary-51c0ffee"
VARIABLE = "BENCHMARK_CANARY_VARIABLE"

GRAMMAR: dict[str, tuple[str, ...]] = {
    "condition": (
        "{b}", "{b} and {b}", "not ({b})", "{b}) or ({b}", "{b} -- {junk}\n", "{b}) union {select} --", "{b}; {write}", "{b} /* {junk} */",
        "exists ({select})", "trace_id in ({select})", "case when {b} then {b} else {b} end", "{select}", "{write}", "{junk}",
    ),
    "b": (
        "kind = {text}", "risky", "not risky", "{n} < {n}", "{text} like {text}", "{f}({args}) is null", "{column} is not null", "true",
        "regexp_matches({column}, {text})", "{place}", "exists ({select})", "{column} in ({text}, {text})", "({b})", "list_contains(benchmarks, {text})",
    ),
    "select": (
        "select {column} from {table}", "select * from {table} where {b}", "with x as ({select}) select * from x", "with x as ({write}) select * from x",
        "with x as ({write} returning *) from x", "from {table} select {f}({args}) as a", "{select} union all {select}", "select {n} as a, {text} as b",
        "with recursive x as (select 1 as a union all select a + 1 from x) select count(*) from x limit 3", "describe {table}", "select * from {table} limit 1",
        "select {column}, row_number() over () from {table}",
    ),
    "write": (
        "copy (select 1) to {path}", "copy ({select}) to {path} (format csv, use_tmp_file false)", "copy {table} from {path}", "insert into {table} {select}",
        "update traces set answer = {text}", "delete from {table}", "create table x as {select}", "create or replace view traces as {select}",
        "drop view {table}", "attach {path} as y", "export database {path}", "set {setting} = {text}", "reset {setting}", "install httpfs", "load {path}",
        "call enable_logging(storage = 'file', storage_path = {path})", "pragma enable_profiling", "checkpoint", "create secret s (type s3)",
    ),
    "table": (
        "traces", "prompts", "annotations", "candidates", "verdicts", "{path}", "read_text({path})", "read_csv({path})", "read_parquet({path})", "glob('/*')",
        "duckdb_settings()", "duckdb_secrets()", "information_schema.tables", "query({text})", "query_table({text})", "sniff_csv({path})", "os", "environ",
        "range(3)", "(values (1), (2)) v(a)", "read_blob({path})", "candidates using sample 3", "main.traces", "system.main.duckdb_views",
    ),
    "f": (
        "getenv", "current_setting", "getvariable", "length", "lower", "random", "now", "md5", "repeat", "range", "concat", "read_text", "list_transform",
        "json_execute_serialized_sql", "json_serialize_sql", "nextval", "write_log", "coalesce", "format", "version", "user", "regexp_replace", "abs",
    ),
    "args": ("{text}", "{column}", "{text}, {n}", "{path}", "", "{n}", "{text}, {text}, {text}"),
    "column": ("trace_id", "prompt", "answer", "kind", "reasoning", "rules.weak_vacillation", "source_file", "columns(*)", "*", "#1", "$1", "$seed", "?"),
    "text": ("'harmful'", "'{place}'", "'{variable}'", "''", "'{canary_file}'", "$${junk}$$", "'a' 'b'", "e'\\x41'"),
    "place": ("{{allowed}}", "{{seed}}", "{{where}}", "{{order}}", "{{parts}}", "{{}}"),
    "path": (
        "'{canary_file}'", "'corpus://{canary_file}'", "'{corpus}/corpus.json'", "'corpus://corpus.json'", "'{corpus}/traces/part-0.parquet'",
        "'corpus://traces/part-0.parquet'", "'corpus://../canary.txt'", "'/proc/self/environ'", "'/dev/stdout'", "'file://{canary_file}'",
    ),
    "setting": ("enable_external_access", "allowed_directories", "memory_limit", "lock_configuration", "temp_directory"),
    "n": ("0", "1", "-7", "1e308", "9223372036854775807", "null", "tokens"),
    "junk": ("'", '"', "$$", "--", "/*", ")", "(", ";", "\\", "\x00", "\u202e", "{place}", "💣", "select"),
}  # fmt: skip


def attack(folder: Path, inputs: int, seed: int = 0) -> Counter[str]:
    """Feed `inputs` texts; returns how many were accepted and rejected.

    Raises:
        AssertionError: if a file changed, or a canary shows in a result or an error.
    """
    os.environ[VARIABLE] = f"variable-{CANARY}"
    canary = folder / "canary.txt"
    canary.write_text(CANARY)
    corpus = _corpus(folder / "corpus")
    before = checksums(folder)
    chance = random.Random(seed)
    connection = connect(corpus)
    words = {"canary_file": str(canary), "corpus": str(corpus.root), "variable": VARIABLE}
    counts: Counter[str] = Counter()
    for number in range(inputs):
        text = write(chance, chance.choice(("condition", "condition", "select", "b", "write")), words)
        try:
            shown = _feed(chance.randrange(4) if number % 100 else 4, text, connection, corpus)
            counts["accepted"] += 1
        except CurateError as error:
            shown = str(error)
            counts["rejected"] += 1
        assert CANARY not in shown.replace(text, ""), f"a canary shows after: {text!r}"
        if number % 500 == 499:
            assert checksums(folder) == before, f"a file changed before: {text!r}"
    assert checksums(folder) == before, "a file changed"
    return counts


def write(chance: random.Random, symbol: str, words: dict[str, str], depth: int = 0) -> str:
    """A random text of the grammar."""
    choices = GRAMMAR[symbol]
    text = chance.choice(choices if depth < 8 else [c for c in choices if "{" not in c] or ["1"])
    pieces = text.replace("{{", "\x01").replace("}}", "\x02").split("{")
    made = pieces[0]
    for piece in pieces[1:]:
        name, rest = piece.split("}", 1)
        made += (words[name] if name in words else write(chance, name, words, depth + 1)) + rest
    return made.replace("\x01", "{").replace("\x02", "}")


def checksums(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder; the kept indexes of mixes are left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".index" not in path.parts
    }


def _feed(kind: int, text: str, connection: object, corpus: Store) -> str:
    if kind == 0:
        return str(check_condition(connection, text))  # type: ignore[arg-type,func-returns-value]
    if kind == 1:
        return str(check_order(connection, text))  # type: ignore[arg-type,func-returns-value]
    if kind == 2:
        return str(prompts_where(connection, text, 3, 0))  # type: ignore[arg-type]
    if kind == 3:
        return str(select_untrusted(connection, text).to_pylist())  # type: ignore[arg-type]
    data = {
        "name": "x",
        "allow_benchmarks": [text],
        "parts": {text: {"where": text}, "b": {"where": "true"}},
        "order_by": [text],
    }
    return str(plan(check_recipe(data, Lines(Path("r.yaml"), {}), MixRecipe), corpus.root))


def _corpus(root: Path) -> Store:
    corpus = Store.create(root)
    rows = range(20)
    corpus.append_rows(
        "prompts", [{"prompt_id": f"p{n}", "text": f"Question {n}", "kind": "harmful"} for n in rows]
    )
    corpus.append_rows(
        "traces",
        [
            {
                "trace_id": f"t{n}",
                "prompt_id": f"p{n}",
                "prompt": f"Question {n}",
                "reasoning": "r",
                "answer": "a",
                "sample_index": 0,
            }
            for n in rows
        ],
    )
    labels = [
        {"trace_id": f"t{n}", "pattern": "weak_vacillation", "annotator": "rules@1", "label": n % 2 == 0}
        for n in rows
    ]
    corpus.append_rows("annotations", labels)
    return corpus


def main() -> None:
    """Feed all texts and print how many were accepted and rejected."""
    with tempfile.TemporaryDirectory() as folder:
        print(dict(attack(Path(folder), INPUTS)))
