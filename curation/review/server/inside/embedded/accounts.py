"""The database and its owner.

`python -m argilla_server database migrate` would do the first, but that command breaks with click 8.2 and costs a
second import of the server.
"""

import sqlite3

from alembic import command
from alembic.config import Config
from argilla_server.contexts import accounts
from argilla_server.database import ALEMBIC_CONFIG_FILE, AsyncSessionLocal, async_engine, database_url_sync
from argilla_server.models import User, UserRole


def migrate() -> None:
    """Bring the database to the server's version, in write-ahead mode so that readers never block the writer."""
    command.upgrade(Config(ALEMBIC_CONFIG_FILE), "head")
    path = database_url_sync().removeprefix("sqlite:///").split("?")[0]
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")  # kept in the file
    connection.close()


async def ensure_owner(owner: dict[str, str]) -> None:
    """Create the owner (`username`, `password`, `api_key`) where there is none, or give them these: the file may have been lost."""
    async with AsyncSessionLocal() as db:
        known = await accounts.get_user_by_username(db, owner["username"])
        if known is not None and known.api_key != owner["api_key"]:
            await known.update(
                db, api_key=owner["api_key"], password_hash=accounts.hash_password(owner["password"])
            )
        elif known is None:
            await User.create(
                db,
                first_name=owner["username"],
                username=owner["username"],
                role=UserRole.owner,
                api_key=owner["api_key"],
                password_hash=accounts.hash_password(owner["password"]),
                workspaces=[],
            )
    await async_engine.dispose()  # this event loop ends here; uvicorn makes another
