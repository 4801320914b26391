"""SQL files of this project, filled in with names and values."""

import re
from importlib.resources import files


def sql_file(package: str, name: str, **pieces: str) -> str:
    """The text of a file in the `sql` folder of a package, with each `{piece}` replaced by trusted SQL.

    The file is filled in one pass: a placeholder inside a piece stays as it is.
    """
    text = (files(package) / "sql" / name).read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("--"))  # a comment may name a piece
    return re.sub(r"\{([a-z_]+)\}", lambda found: pieces[found[1]], "\n".join(lines))


def quoted(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
