"""Argilla's background jobs in its own event loop: no Redis, no worker.

There are four: recompute record statuses when the overlap changed, webhooks, import from and export to the Hugging Face
Hub. The first two run here; the other two answer with an error.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, NoReturn

RETRY_AFTER = (10, 60, 180)
"""Seconds between attempts of a webhook, as in the server's own job."""

_log = logging.getLogger("embedded.jobs")
_running: set[asyncio.Task[None]] = set()


class _NoRedis:
    """What the server's queues get instead of a connection; its start-up check only pings it."""

    def ping(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse()


def replace_redis() -> None:
    """Call before argilla_server is imported: it connects while it is being imported."""
    import redis

    redis.from_url = lambda *_, **__: _NoRedis()


def run_inline() -> None:
    """Call after argilla_server is imported: from then on its jobs run in this process."""
    from argilla_server.jobs import dataset_jobs, hub_jobs, webhook_jobs

    update_status = dataset_jobs.update_dataset_records_status_job
    update_status.delay = lambda dataset_id: _start(update_status(dataset_id))
    webhook_jobs.notify_event_job.delay = lambda *event: _start(_notify(*event))
    hub_jobs.import_dataset_from_hub_job.delay = _refuse
    hub_jobs.export_dataset_to_hub_job.delay = _refuse


def _refuse(*_: Any, **__: Any) -> NoReturn:
    import redis

    raise redis.ConnectionError(
        "this server runs without Redis, so it cannot import from or export to the Hub"
    )


def _start(job: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(job)
    _running.add(task)  # the loop itself keeps only a weak reference
    task.add_done_callback(_done)


def _done(task: asyncio.Task[None]) -> None:
    _running.discard(task)
    if not task.cancelled() and task.exception():
        _log.error("background job failed", exc_info=task.exception())


async def _notify(webhook_id: Any, event: str, timestamp: Any, data: dict[str, Any]) -> None:
    from argilla_server.database import AsyncSessionLocal
    from argilla_server.models import Webhook
    from argilla_server.webhooks.v1.commons import notify_event

    async with AsyncSessionLocal() as db:
        webhook = await Webhook.get_or_raise(db, webhook_id)
    for delay in (*RETRY_AFTER, None):
        try:
            response = await asyncio.to_thread(notify_event, webhook, event, timestamp, data)  # it blocks
            response.raise_for_status()
            return
        except Exception:
            if delay is None:
                raise
            await asyncio.sleep(delay)
