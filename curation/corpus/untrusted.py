"""Untrusted SQL: conditions and orders of recipes, the query of `curate sql`.

What such text asks is decided on the tree that DuckDB's own parser makes of it, against lists of what is allowed
(`allowed/*.txt`), never on the text. Only then does it reach a template of ours (`curation.corpus.query.sql_file`).
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from curation.corpus.bounds import bounded
from curation.corpus.filling import rejected, sql_file
from curation.corpus.query import Connection, read_only, select
from schemas.choices import meant
from schemas.errors import RecipeError
from schemas.tables import TABLES

LONGEST = 20_000
"""Characters of one SQL text; time to bind it grows faster than its length."""
VIEWS = {
    "verdicts",
    "candidates",
    "trajectories",
    "current_annotations",
    "latest_annotators",
    "current_clusters",
    "prompt_sets",
    "current_influences",
}


class Allowed(NamedTuple):
    """What a text may be made of."""

    nodes: frozenset[str]
    """Classes and types of nodes."""
    functions: frozenset[str]
    """Functions and operators."""


class Conjunct(NamedTuple):
    """One of the clauses that `and` joins."""

    sql: str
    """As DuckDB writes it."""
    columns: list[str]
    """Columns that it names, without structs' fields."""
    texts: list[str]
    """Texts that it compares with."""


def conjuncts(connection: Connection, condition: str) -> list[Conjunct]:
    """The clauses of a condition that has passed `check_condition`; one, where no `and` joins several at the top."""
    statement = _parsed(connection, f"select ({condition}\n)", "one expression")
    waiting, found = list(statement["node"]["select_list"]), []
    while waiting:
        node = waiting.pop(0)
        if node.get("type") == "CONJUNCTION_AND":
            waiting = [*node["children"], *waiting]
            continue
        inner = [one for one in _nodes(node) if one.get("class") in ("COLUMN_REF", "CONSTANT")]
        alone = {
            "error": False,
            "statements": [statement | {"node": statement["node"] | {"select_list": [node]}}],
        }
        back = select(
            connection,
            "select json_deserialize_sql($tree::json) as text",
            {"tree": orjson.dumps(alone).decode()},
        )
        names = [one["column_names"][0] for one in inner if len(one.get("column_names", ())) == 1]
        texts = [one["literal"]["text"] for one in inner if one.get("literal", {}).get("kind") == "STRING"]
        text = str(back["text"][0].as_py()).removeprefix("SELECT ")
        found.append(Conjunct(_unwrapped(text), list(dict.fromkeys(names)), texts))
    return found


def _unwrapped(text: str) -> str:
    """Without the brackets around the whole, which DuckDB adds."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if not depth and place < len(text) - 1:
            return text
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def check_condition(connection: Connection, condition: str) -> None:
    """Check that `condition` is one boolean SQL expression over `candidates`.

    Raises:
        RecipeError: with what is not allowed, or DuckDB's explanation.
    """
    check_expression(connection, condition)
    # The newline keeps a trailing `--` comment from hiding the parenthesis.
    query = f"select trace_id from candidate_columns candidates where ({condition}\n) limit 0"
    bounded(connection, lambda: select(connection, query))


def check_order(connection: Connection, expression: str) -> None:
    """Check that `expression` is one SQL expression over `candidates`, `part` and `tokens`; raises as `check_condition`."""
    check_expression(connection, expression)
    rows = "(select *, ''::varchar as part, 0 as tokens from candidate_columns candidates)"
    query = f"select ({expression}\n) from {rows} limit 0"
    bounded(connection, lambda: select(connection, query))


def check_expression(connection: Connection, text: str) -> None:
    """Check that `text` is one SQL expression of allowed nodes and functions, so that it may stand in brackets in a template.

    Raises:
        RecipeError: if it is not.
    """
    _check_length(text)
    node = _parsed(connection, f"select ({text}\n)", "one expression")["node"]
    plain = node["type"] == "SELECT_NODE" and len(node["select_list"]) == 1
    others = ("modifiers", "where_clause", "group_expressions", "group_sets", "having", "qualify", "sample")
    source = node.get("from_table") or {"type": "EMPTY"}
    if not plain or source["type"] != "EMPTY" or any(node[name] for name in others) or node["cte_map"]["map"]:
        raise RecipeError("only one SQL expression is allowed here")
    if node["select_list"][0].get("subquery_type") == "SCALAR":
        raise RecipeError("this is a query; write an expression, such as: trace_id in (select ...)")
    _check_tree(node, _recipes())


def select_untrusted(connection: Connection, query: str) -> pa.Table:
    """Run one untrusted SELECT and return its rows; it can change neither the corpus nor the connection.

    Raises:
        RecipeError: if it is not exactly one SELECT of allowed nodes and functions, or DuckDB rejects it.
    """
    _check_length(query)
    _check_tree(_parsed(connection, query, "one SELECT statement"), _queries())

    def read() -> pa.Table:
        with read_only(connection):
            return select(connection, query)

    return bounded(connection, read)


def prompts_where(
    connection: Connection, condition: str, limit: int | None, seed: int
) -> list[dict[str, Any]]:
    """The prompts that meet a condition over `prompts`, in the order of their files (sql/generate_prompts.sql).

    Raises:
        RecipeError: if it is not one boolean SQL expression.
    """
    try:
        check_expression(connection, condition)
        query = sql_file("curation.corpus", "generate_prompts.sql", where=condition)
        values = {"seed": str(seed), "limit": limit or 2**62}
        rows = bounded(connection, lambda: select(connection, query, values))
    except RecipeError as error:
        raise RecipeError(f"where: {error}") from error
    return list(rows.to_pylist())


def _check_length(text: str) -> None:
    if len(text) > LONGEST:
        raise RecipeError(
            f"{len(text):,} characters of SQL, {LONGEST:,} are allowed; write less, or annotate"
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecipeError(
            f"unpaired surrogate at character {error.start + 1} of the SQL; retype it"
        ) from error


def _parsed(connection: Connection, sql: str, wanted: str) -> dict[str, Any]:
    parse = "select json_serialize_sql($sql) as tree"
    serialized = bounded(connection, lambda: select(connection, parse, {"sql": sql}))
    try:
        tree = orjson.loads(serialized["tree"][0].as_py())
    except ValueError as error:
        raise RecipeError("this SQL is nested too deeply; use fewer parentheses") from error
    if tree["error"] and tree["error_type"] == "not implemented":
        raise RecipeError(f"only {wanted} is allowed here; the corpus is read-only")
    if tree["error"]:
        raise RecipeError(rejected(tree["error_message"]))
    if len(tree["statements"]) != 1:
        raise RecipeError(f"only {wanted} is allowed here, these are {len(tree['statements'])} statements")
    return dict(tree["statements"][0])


def _check_tree(tree: dict[str, Any], allowed: Allowed) -> None:
    own = {
        entry["key"].lower() for node in _nodes(tree) for entry in (node.get("cte_map") or {}).get("map", ())
    }
    tables = TABLES.keys() | VIEWS | own
    for node in _nodes(tree):
        for kind in (node.get("class"), node.get("type")):
            if isinstance(kind, str) and kind not in allowed.nodes:
                raise RecipeError(f"{kind.lower().replace('_', ' ')} is not allowed in this SQL")
        name = node.get("function_name")
        if name is not None and (name.lower() not in allowed.functions or _elsewhere(node)):
            raise RecipeError(
                f"the function {name!r} is not allowed in this SQL{meant(name, allowed.functions)}; docs/security.md says which are"
            )
        table = node.get("table_name") if node.get("type") in ("BASE_TABLE", "SHOW_REF") else None
        if table and (table.strip('"').lower() not in tables or _elsewhere(node)):
            raise RecipeError(
                f"there is no table {table!r}{meant(table, tables)}; there are {', '.join(sorted(tables))}"
            )
        if node.get("sample") or node.get("at_clause"):
            raise RecipeError("a sample is not allowed in this SQL: it would draw others each time")


def _elsewhere(node: dict[str, Any]) -> bool:
    places = (node.get("catalog") or node.get("catalog_name"), node.get("schema") or node.get("schema_name"))
    return any(place and place.lower() not in ("main", "memory") for place in places)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


@cache
def _recipes() -> Allowed:
    return Allowed(_listed("nodes.txt"), _listed("functions.txt"))


@cache
def _queries() -> Allowed:
    recipes = _recipes()
    return Allowed(
        recipes.nodes | _listed("query_nodes.txt"), recipes.functions | _listed("query_functions.txt")
    )


def _listed(name: str) -> frozenset[str]:
    text = (files("curation.corpus") / "allowed" / name).read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("# "))
    return frozenset(word for line in lines for word in line.split())
