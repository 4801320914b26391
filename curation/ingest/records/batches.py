"""Outputs of batches (OpenAI, Mistral, vLLM, Anthropic, Gemini), joined with their requests by id.

The requests go to a database in a temporary file, since a batch may have millions. Requests without outputs are prompts.
"""

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from curation.ingest.containers.rows import RawRow
from curation.ingest.fields import BadRow
from curation.ingest.records.exchanges import take_request, take_response, turns_of_request

KEYS = ("custom_id", "key")
"""The id that a request and its output share: OpenAI, Mistral, vLLM and Anthropic; Gemini."""
BODIES = ("body", "params", "request")
"""Where a request is: OpenAI, Mistral and vLLM; Anthropic; Gemini."""
REQUEST = "request"
"""The column under which an output gets its request."""
NOTHING_SAID = "null"
"""The finish reason of a response that has none: it is not known to be whole."""


class Requests:
    """The requests of some files by id; use it in a `with` block, which ends with its temporary file."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="curate-requests-")
        self._database = sqlite3.connect(f"{self._folder.name}/requests.db")
        self._database.execute("pragma journal_mode = off")
        self._database.execute("create table requests (id text primary key, body blob)")

    def __enter__(self) -> "Requests":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        self._folder.cleanup()

    def add(self, rows: Iterable[RawRow]) -> None:
        """Remember every request; the first of an id counts."""
        with self._database:
            for raw in rows:
                key, body = _key(raw.row), _body(raw.row)
                if key is not None and body is not None:
                    self._database.execute(
                        "insert or ignore into requests values (?, ?)", (key, orjson.dumps(body, default=str))
                    )

    def joined(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Outputs, each with its request where there is one."""
        for raw in rows:
            key = _key(raw.row)
            found = (
                key is not None
                and self._database.execute("select body from requests where id = ?", (key,)).fetchone()
            )
            yield raw._replace(row={**raw.row, REQUEST: orjson.loads(found[0])}) if found else raw


def unfold_output(fields: dict[str, Any]) -> None:
    """Replace an output and its request by messages.

    Raises:
        BadRow: missing_prompt (no request of this id), failed_request, missing_response.
    """
    _take_id(fields)
    request = fields.pop(REQUEST, None)
    error, body = _answered(fields)
    if error:
        raise BadRow("failed_request", f"the API answered with an error: {error[:300]}")
    if request is None:
        raise BadRow("missing_prompt", "no request with this id is in the files of requests")
    beside = take_response(fields, turns_of_request(request), body)
    fields.setdefault("finish_reason", NOTHING_SAID)
    fields["beside"] = take_request(fields, request) | beside


def unfold_request(fields: dict[str, Any]) -> None:
    """Replace a request by its messages."""
    _take_id(fields)
    body = _body(fields)
    for name in BODIES:
        fields.pop(name, None)
    fields["messages"] = turns_of_request(body)
    fields["beside"] = take_request(fields, body)


def _answered(fields: dict[str, Any]) -> tuple[str, Any]:
    """What went wrong, or "", and the body of the response."""
    response, result = fields.pop("response", None), fields.pop("result", None)
    error = fields.pop("error", None)
    if isinstance(result, dict):  # Anthropic
        message = result.get("message")
        return ("" if message else _words(result.get("error") or result.get("type"))), message
    if isinstance(response, dict) and "body" in response:  # OpenAI, Mistral, vLLM
        status, body = response.get("status_code", 200), response["body"]
        failed = (
            error or (isinstance(body, dict) and body.get("error")) or (status != 200 and (body or status))
        )
        return _words(failed), body
    return _words(error), response


def _words(error: Any) -> str:
    """An error in words."""
    if isinstance(error, dict):
        inner = error.get("error")
        return _words(
            inner if isinstance(inner, dict) else error.get("message") or error.get("type") or str(error)
        )
    return str(error) if error else ""


def _take_id(fields: dict[str, Any]) -> None:
    key = _key(fields)
    for name in KEYS:
        fields.pop(name, None)
    own = fields.pop("id", None)
    fields["source_id"] = key if key is not None else own


def _key(row: Any) -> str | None:
    if not isinstance(row, dict):
        return None
    value = next((row[name] for name in KEYS if row.get(name) is not None), None)
    return str(value) if isinstance(value, str | int) else None


def _body(row: Any) -> Any:
    return next((row[name] for name in BODIES if row.get(name)), None) if isinstance(row, dict) else None
