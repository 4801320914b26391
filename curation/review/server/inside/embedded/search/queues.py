"""A person's queue: the records that a round has assigned to them, in the round's order.

A round writes both into its records' metadata, so a plan of overlapping reviews holds whatever people do. Records without these
are everybody's, in a random order of each person's own.
"""

from typing import Any

from argilla_server.enums import UserRole
from argilla_server.models import Record, Response, User
from sqlalchemy import String, exists, func, or_, select, type_coerce

from embedded.search import database
from embedded.search.values import each, json_path

POSITION, ASSIGNED = "position", "assigned"


async def of(user_id: Any) -> list[Any]:
    """The conditions on what a person may list: of reviewers, what is assigned to them or to nobody, or answered by them."""
    found = await database.rows(select(User.username, User.role).where(User.id == user_id))
    if not found or found[0].role != UserRole.annotator:
        return []
    people = each(Record.metadata_, ASSIGNED)
    mine = select(people.c.value).select_from(people).where(people.c.value == found[0].username)
    answered = exists().where(Response.record_id == Record.id, Response.user_id == user_id)
    nobodys = func.json_type(Record.metadata_, json_path(ASSIGNED)).is_(None)
    return [or_(nobodys, mine.correlate(Record).exists(), answered)]


def order(user_id: Any) -> list[Any]:
    """The order of a queue where the person wishes no other."""
    position = func.json_extract(Record.metadata_, json_path(POSITION))
    return [
        position.asc().nulls_last(),
        func.text_shuffle(type_coerce(Record.id, String), str(user_id)),
    ]
