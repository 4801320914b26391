"""SQL as text: files of this project filled in with names and values, and what DuckDB says of a query, for a user."""

import re
from functools import cache
from importlib.resources import files

from schemas.choices import meant


def sql_file(package: str, name: str, **pieces: str) -> str:
    """The text of a file in the `sql` folder of a package, with each `{piece}` replaced by trusted SQL.

    The file is filled in one pass: a placeholder inside a piece stays as it is.
    """
    return re.sub(r"\{([a-z_]+)\}", lambda found: pieces[found[1]], _read(package, name))


@cache
def _read(package: str, name: str) -> str:
    """The text of a file without comments, which may name a piece too."""
    text = (files(package) / "sql" / name).read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))


def quoted(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def rejected(message: str, query: str = "") -> str:
    """What DuckDB says is wrong with a query, without the lines that quote it; a word in double quotes is a name to it."""
    text = re.sub(r"\s*LINE \d+:.*", "", message, flags=re.DOTALL)
    text = re.sub(r"^[A-Z]\w+( \w+)? Error: ", "", text).strip()
    unknown = re.match(
        r'Referenced column "(.+?)" (?:not found|was not found).*?(?:bindings: (.*))?$', text, re.DOTALL
    )
    if not unknown:
        return text
    name, bindings = unknown[1], re.findall(r'"([^"]+)"', unknown[2] or "")
    near = meant(name, bindings)
    compared = re.search(rf"(=|<>|\bin\s*\(|\blike)\s*{re.escape(name)}\b", query, re.IGNORECASE)
    if f'"{name}"' in query or (compared and not near):
        return f"there is no column {name!r}; text stands in single quotes: {quoted(name)}"
    near = near or (f"; near: {', '.join(bindings)}" if bindings else "")
    return f"there is no column {name!r}{near}"
