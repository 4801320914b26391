"""Patches to argilla-server 2.8.0 that make storing records and responses several times cheaper and change no result.

The server builds a new pydantic TypeAdapter for each suggestion and each metadata value, and for each stored record and
response it reloads the whole dataset to build webhook events, even where nobody listens to any.
"""

from typing import Any

from argilla_server.api.schemas.v1.questions import QuestionSettings
from argilla_server.bulk.records_bulk import UpsertRecordsBulk
from argilla_server.contexts import datasets, distribution, webhooks
from argilla_server.models import MetadataProperty, Question
from argilla_server.models.metadata_properties import MetadataPropertySettings
from pydantic import TypeAdapter


def install() -> None:
    """Patch the server's classes and modules."""
    _parse_with(Question, TypeAdapter(QuestionSettings))
    _parse_with(MetadataProperty, TypeAdapter(MetadataPropertySettings))
    UpsertRecordsBulk._notify_upsert_record_events = _notify_if_anyone_listens
    for module, name in ((distribution, "notify_record_event_v1"), (datasets, "notify_response_event_v1")):
        setattr(module, name, _if_anyone_listens(getattr(module, name)))


def _parse_with(model: Any, adapter: Any) -> None:
    model.parsed_settings = property(lambda self: adapter.validate_python(self.settings))


_notify = UpsertRecordsBulk._notify_upsert_record_events


async def _notify_if_anyone_listens(self: Any, records: Any) -> None:
    if await webhooks.list_enabled_webhooks(self._db):
        await _notify(self, records)


def _if_anyone_listens(notify: Any) -> Any:
    async def _notify_or_not(db: Any, *event: Any) -> list[Any]:
        return list(await notify(db, *event)) if await webhooks.list_enabled_webhooks(db) else []

    return _notify_or_not
