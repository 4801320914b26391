"""The search engine's own connections to Argilla's database, with the SQL functions it brings along.

Its own, because a request holds one connection of Argilla's pool while it searches: a second one from the same pool can
dead-lock the server when many people search at once.
"""

from typing import Any

from argilla_server.settings import settings
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from embedded.search import text

engine = create_async_engine(settings.database_url, **settings.database_engine_args)


def _add_functions(connection: Any, _record: Any) -> None:
    connection.create_function("text_score", 3, text.score, deterministic=True)
    connection.create_function("text_shuffle", 2, text.shuffle, deterministic=True)


async def rows(query: Any) -> list[Any]:
    """The rows of one query."""
    async with engine.connect() as connection:
        return list((await connection.execute(query)).all())


event.listen(engine.sync_engine, "connect", _add_functions)
