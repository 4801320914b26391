"""What a server's answer says: a reply, or why there is none and whether to ask again.

The surprise: servers report errors with status 200, give content as lists, and count tokens in ways that cannot be; an answer
that has arrived is never asked for again because of what stands around it.
"""

import json
from collections.abc import Callable, Mapping
from math import exp
from typing import Any, NamedTuple

import orjson

from annotators.base import Token
from curation.engines.base import Reply, reply_of
from schemas.response.fault import Fault
from schemas.response.finish import finish_word
from schemas.response.messages import WrongPart, read_message
from schemas.response.splitting import ReadResponse, read

REFUSED = {401: "the key is not accepted", 403: "access is refused", 404: "no such address or model"}
"""Answers that no further request would change."""
AGAIN = frozenset({408, 409, 425, 429})
PASSING = ("rate", "overload", "timeout", "timed out", "unavailable", "busy", "internal", "capacity")
"""Words in the kind of an error that passes."""
NOTHING_SAID = "null"
"""The finish reason of a server that gives none."""
WORDS = 200
"""Code points of a server's words that are shown."""
LONGEST_PAUSE_S = 120.0
MOST_TOKENS = 2**31


class RequestRejected(Exception):
    """The server will not answer anybody, or has stopped answering."""


class Unusable(Exception):
    """One request that the server will not answer."""


class Again(Exception):
    """Worth another try."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class HttpAnswer(NamedTuple):
    """What came over the wire."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def read_answer(answer: HttpAnswer, lead: str, note: Callable[[str], None]) -> Reply:
    """The reply in a server's answer.

    Args:
        answer: status, headers and body.
        lead: the beginning of the assistant's turn, if the prompt held it.
        note: is told what was ignored.

    Raises:
        RequestRejected: if the server answers nobody.
        Unusable: if it does not answer this request.
        Again: if it may answer later.
    """
    status, headers, content = answer
    if status != 200:
        _raise(status, _words(_parsed(content)) or content[:WORDS].decode("utf-8", "replace"), headers)
    body = _parsed(content)
    if not isinstance(body, dict):
        raise Again("an answer that is not of the OpenAI protocol (no JSON object)")
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        if said := _words(body):
            _raise(_code(body), said, headers)
        raise Again("an answer that is not of the OpenAI protocol (no choices)")
    reply = _with_tokens(_reply(choice, lead), body.get("usage"), note)
    return reply._replace(tokens=_tokens(choice.get("logprobs")))


def _parsed(content: bytes) -> Any:
    """The JSON of a body; what strict JSON does not know (NaN, half surrogates, bytes that are not UTF-8) included."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        try:
            return json.loads(content.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError):
            return None


def _words(body: Any) -> str:
    """The server's own words in the body of an error."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error") or body.get("detail") or (body if body.get("object") == "error" else None)
    if isinstance(error, dict):
        error = error.get("message") or error
    return str(error or body.get("message") or "")[:WORDS]


def _code(body: dict[str, Any]) -> int | str:
    """The status that an error in a body of status 200 has, or its kind."""
    error = body.get("error")
    places = [place for place in (error, body) if isinstance(place, dict)]
    for value in (place.get(key) for place in places for key in ("code", "status", "status_code", "type")):
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            return int(value)
        if (isinstance(value, str) and value) or type(value) is int:
            return value
    return "error"


def _raise(code: int | str, words: str, headers: Mapping[str, str]) -> None:
    said = f"{code}: {words}" if words else f"{code}"
    if code in REFUSED:
        raise RequestRejected(f"{REFUSED[int(code)]} ({said})")
    passing = (
        any(word in code.lower() for word in PASSING)
        if isinstance(code, str)
        else code in AGAIN or code >= 500
    )
    if passing:
        raise Again(f"status {said}", retry_after(headers.get("retry-after")))
    raise Unusable(f"the server rejects the request ({said})")


def retry_after(value: str | None) -> float | None:
    """The pause that a server asks for, in seconds; null for a date or nonsense."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return min(seconds, LONGEST_PAUSE_S) if seconds >= 0 else None


def _reply(choice: dict[str, Any], lead: str) -> Reply:
    finish = finish_word(choice) or NOTHING_SAID
    reading = _reading(choice, lead, finish)
    if _broken(reading.reasoning + reading.answer):
        fault = Fault("lone_surrogate", "the reply has half a surrogate or bytes that are not UTF-8")
        reading = ReadResponse(_escaped(reading.reasoning), _escaped(reading.answer), fault)
    return reply_of(reading, finish, 0, len)


def _reading(choice: dict[str, Any], lead: str, finish: str) -> ReadResponse:
    message = choice.get("message")
    if "text" in choice and not isinstance(message, dict):
        return read(lead + str(choice["text"] or ""), finish)
    try:
        found = read_message(message if isinstance(message, dict) else {}, finish)
    except WrongPart as error:
        return ReadResponse("", "", Fault("wrong_type", str(error)))
    return found._replace(reasoning=found.reasoning.strip("\r\n"), answer=found.answer.strip("\r\n"))


def _broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _tokens(told: Any) -> tuple[Token, ...]:
    """The log-probabilities of a chat or of a completion; none where the server's are of another form."""
    if not isinstance(told, dict):
        return ()
    try:
        if "content" in told:
            return tuple(
                Token(one["token"], {o["token"]: exp(o["logprob"]) for o in one["top_logprobs"]})
                for one in told["content"] or ()
            )
        pairs = zip(told["tokens"], told["top_logprobs"], strict=True)
        return tuple(
            Token(text, {o: exp(value) for o, value in (others or {}).items()}) for text, others in pairs
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()


def _with_tokens(reply: Reply, usage: Any, note: Callable[[str], None]) -> Reply:
    """Put the server's token counts in: reasoning apart where it says so, else shared out by length of text."""
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("completion_tokens_details")
    said = [
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        details.get("reasoning_tokens") if isinstance(details, dict) else None,
    ]
    prompt, total, told = (count if _is_count(count) else None for count in said)
    if any(count is not None and not _is_count(count) for count in said):
        note("the server counts tokens in numbers that cannot be; they are ignored")
    characters, total = reply.reasoning_tokens + reply.answer_tokens, total or 0
    shared = round(total * reply.reasoning_tokens / characters) if characters else 0
    reasoning = min(told if told is not None else shared, total)
    return reply._replace(
        prompt_tokens=prompt or 0, reasoning_tokens=reasoning, answer_tokens=total - reasoning
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST_TOKENS
