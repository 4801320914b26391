"""Values inside JSON columns, as SQL: the building blocks that filters and sorts share.

A list in a column counts as each of its members, as a field does in Elasticsearch: json_each() gives one row for a
scalar and one per member of a list.
"""

from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from argilla_server.enums import QuestionType
from sqlalchemy import func

_names = count()


def each(column: Any, *path: str) -> Any:
    """The members of a JSON column, or of what stands at a path in it, as a table with a `value` column."""
    call = func.json_each(column, json_path(*path)) if path else func.json_each(column)
    # the name must be unique within a statement; the modulus keeps SQLAlchemy's cache of statements small
    return call.table_valued(
        "key", "value", "type", name=f"each_{next(_names) % 1000}", joins_implicitly=True
    )


def json_path(*steps: str) -> str:
    """An SQLite JSON path."""
    return "$" + "".join(f'."{step}"' for step in steps)


def member(table: Any, question: Any) -> Any:
    """What a member of an answer to a question is filtered and sorted by: of spans, their label."""
    kind = question.settings.get("type")
    if kind == QuestionType.span:
        return func.json_extract(table.c.value, "$.label")
    if kind == QuestionType.ranking:
        return func.json_extract(table.c.value, "$.value")
    return table.c.value


def as_datetime(value: Any) -> datetime | None:
    """A point in time as the database stores it (UTC without a zone); null for what is none."""
    try:
        parsed = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return parsed.astimezone(UTC).replace(tzinfo=None) if parsed.tzinfo else parsed


def as_uuids(values: list[Any]) -> list[UUID]:
    """Those values that are UUIDs."""
    uuids = []
    for value in values:
        try:
            uuids.append(UUID(str(value)))
        except ValueError:
            continue
    return uuids


def as_numbers(values: list[Any]) -> list[float]:
    """Those values that are numbers."""
    numbers = []
    for value in values:
        try:
            numbers.append(float(value))
        except ValueError:
            continue
    return numbers


def as_members(kind: Any, values: list[Any]) -> list[Any]:
    """Those values that are members of an enum."""
    known = {str(member.value): member for member in kind}
    return [known[str(value)] for value in values if str(value) in known]
