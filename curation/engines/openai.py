"""Any server that speaks the OpenAI protocol: a vLLM server, or a vendor for judges and ordinary models.

Many requests run at once; 429, 5xx, broken replies and lost connections are tried again with growing pauses. The
surprise: a server that applies its chat template itself cannot be trusted with the beginning of an answer (R1's template
drops it), so beginnings are rendered here and need the model's tokenizer.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import Field, field_validator

from curation import console
from curation.engines.base import Message, Reply, Sampling, UnfitConversation
from curation.engines.prompting import beginning_of, plain_prompt, render, tools_apart
from curation.engines.replies import Again, HttpAnswer, RequestRejected, Unusable, read_answer
from curation.engines.streaming import Answered, Question, in_order
from curation.engines.weights import load_tokenizer, locate
from curation.recipe import Recipe
from curation.trust import hide_password, key_in
from schemas.conversation import calls_as_text
from schemas.errors import EngineError
from schemas.hiding import hide, hide_bytes, hide_known

PROBABILITIES = ("logprobs", "top_logprobs")
"""Fields of a request that some servers reject; such a request is sent again without them."""
LONGEST_BODY = 64 * 2**20
"""Bytes of one answer; a server that sends more does not end."""


class ServerSettings(Recipe):
    """Address and rate limits of the server."""

    base_url: str
    """Such as http://localhost:8000/v1."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable with the key; the key itself is never in a recipe."""
    tokenizer: str | None = None
    """Folder of the model's tokenizer: prompts are then rendered here and sent as tokens (vLLM's completions)."""
    concurrency: int = Field(default=64, ge=1)
    """Requests at once."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    timeout_s: float = Field(default=600, gt=0)
    """For one request, from its first byte to the last of its answer."""
    patience_s: float = Field(default=120, ge=0)
    """For how long a request is tried again before it counts as failed."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of every request; a null removes a field, such as `temperature: null`."""

    @field_validator("base_url")
    @classmethod
    def _has_scheme(cls, value: str) -> str:
        try:
            url = urlsplit(value)
            whole = url.scheme in ("http", "https") and url.hostname and url.port != 0
        except ValueError:  # a port beyond 65535, a bracket that is not closed
            whole = False
        if not whole:
            raise ValueError(
                f"{hide(value)}: no address of a server; write it whole, such as http://localhost:8000/v1"
            )
        return value


class OpenAIEngine:
    """Answers with a server."""

    def __init__(self, model: str, settings: ServerSettings, revision: str | None = None) -> None:
        self.name = f"{model}@{revision or 'server'}"
        self._model = model
        hide_password(settings.base_url)
        self._settings = settings
        self._tokenizer = load_tokenizer(locate(settings.tokenizer)) if settings.tokenizer else None
        self._no_probabilities = threading.Event()  # set once the server rejects a request for them

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Answer each conversation, in order."""
        questions = [Question(messages, 0) for messages in conversations]
        return in_order(self.stream(questions, sampling), len(questions))

    def stream(self, questions: Sequence[Question], sampling: Sampling) -> Iterator[Answered]:
        """Answer the questions in order of arrival; a question that cannot be answered fails alone.

        Raises:
            EngineError: if the server refuses (key, address, model) or has stopped answering.
        """
        arrived: queue.SimpleQueue[Answered | Exception | None] = queue.SimpleQueue()
        stop = threading.Event()

        def work() -> None:
            try:
                asyncio.run(
                    _Session(self._settings, stop, self._no_probabilities).answer(
                        self._requests(questions, sampling, arrived), arrived
                    )
                )
                arrived.put(None)
            except Exception as error:  # noqa: BLE001  it is raised again in the caller's thread
                arrived.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while (item := arrived.get()) is not None:
                if isinstance(item, RequestRejected):
                    raise EngineError(f"{self._settings.base_url}: {item}")
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()

    def _requests(
        self, questions: Sequence[Question], sampling: Sampling, arrived: "queue.SimpleQueue[Any]"
    ) -> Iterator["_HttpRequest"]:
        for place, question in enumerate(questions):
            try:
                request = self._request(place, question.messages, sampling)
            except UnfitConversation as error:
                arrived.put(Answered(place, error))
            else:
                yield request

    def _request(self, place: int, messages: Sequence[Message], sampling: Sampling) -> "_HttpRequest":
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.json_schema:
            wanted = {"name": "reply", "schema": sampling.json_schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        wants = 0 if self._no_probabilities.is_set() else sampling.alternatives
        if (prompt := plain_prompt(messages)) is not None:
            body |= {"logprobs": wants} if wants else {}
            return _HttpRequest(place, "completions", self._finish(body | {"prompt": prompt}), "")
        if self._tokenizer:
            rendered = render(self._tokenizer, messages, sampling.continues, sampling.chat_template_kwargs)
            body |= {"prompt": rendered.ids, "skip_special_tokens": False}
            body |= {"logprobs": wants} if wants else {}
            return _HttpRequest(place, "completions", self._finish(body), rendered.lead)
        if sampling.continues and beginning_of(messages)[1]:
            raise EngineError(
                f"{self.name}: continuing an answer on a server needs the model's tokenizer; set "
                "--tokenizer to its folder (vLLM servers), or use the vllm or transformers engine"
            )
        turns, body["tools"] = tools_apart(messages)
        body["messages"] = [_sent(turn) for turn in turns]
        body["chat_template_kwargs"] = sampling.chat_template_kwargs or None
        body |= {"logprobs": True, "top_logprobs": wants} if wants else {}
        return _HttpRequest(place, "chat/completions", self._finish(body), "")

    def _finish(self, body: dict[str, Any]) -> bytes:
        body |= self._settings.extra_body
        return orjson.dumps({name: value for name, value in body.items() if value is not None})


def _sent(turn: Message) -> Message:
    """A turn as servers take it: arguments of calls are texts, a reasoning is under vLLM's key and the older one."""
    sent = {name: value for name, value in turn.items() if name != "thinking"}
    return sent | ({"tool_calls": calls_as_text(turn["tool_calls"])} if "tool_calls" in turn else {})


class _HttpRequest:
    """A request, ready to be sent as often as it takes."""

    def __init__(self, place: int, path: str, body: bytes, lead: str) -> None:
        self.place, self.path, self.body, self.lead = place, path, body, lead

    def without_probabilities(self) -> bytes:
        """The body without its wish for log-probabilities."""
        wanted = {**orjson.loads(self.body)}
        return orjson.dumps({name: of for name, of in wanted.items() if name not in PROBABILITIES})


class _Session:
    """One run of many requests against a server."""

    def __init__(
        self, settings: ServerSettings, stop: threading.Event, no_probabilities: threading.Event
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._no_probabilities = no_probabilities
        self._not_before = 0.0
        self._said: set[str] = set()
        self._last_answer = time.monotonic()

    async def answer(self, requests: Iterator[_HttpRequest], arrived: "queue.SimpleQueue[Any]") -> None:
        """Send the requests, a fixed number at once, and put an Answered for each."""
        import httpx

        width = self._settings.concurrency
        limits = httpx.Limits(max_connections=width, max_keepalive_connections=width)
        timeout = httpx.Timeout(self._settings.timeout_s, connect=10.0)
        key = key_in(self._settings.api_key_env)
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        url = self._settings.base_url.rstrip("/") + "/"
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=timeout, headers=headers) as client:
            workers = {asyncio.create_task(self._work(client, requests, arrived)) for _ in range(width)}
            await self._watch(workers)

    async def _watch(self, workers: "set[asyncio.Task[None]]") -> None:
        """Wait for the workers; stop all of them as soon as one raises or the caller listens no more."""
        try:
            while workers:
                done, workers = await asyncio.wait(workers, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
                # All are looked at, or asyncio complains of those that failed together with the first.
                if errors := [error for error in [worker.exception() for worker in done] if error]:
                    raise errors[0]
                if self._stop.is_set():
                    return
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(
        self, client: Any, requests: Iterator[_HttpRequest], arrived: "queue.SimpleQueue[Any]"
    ) -> None:
        # The workers share one iterator; no lock is needed, since nothing is awaited while taking the next.
        for request in requests:
            try:
                arrived.put(Answered(request.place, await self._try(client, request)))
            except Unusable as error:
                arrived.put(Answered(request.place, EngineError(str(error))))

    async def _try(self, client: Any, request: _HttpRequest) -> Reply:
        import httpx
        from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay
        from tenacity import wait_random_exponential as growing

        began = time.monotonic()
        attempts = AsyncRetrying(
            retry=retry_if_exception_type((Again, httpx.TransportError)),
            wait=growing(multiplier=1.0, min=0.25, max=30.0),
            stop=stop_after_delay(self._settings.patience_s),
            sleep=asyncio.sleep,
        )
        try:
            return await attempts(self._once, client, request)
        except RetryError as error:
            fault = error.last_attempt.exception()
            reason = str(fault) or type(fault).__name__
        waited = time.monotonic() - began
        if self._last_answer < began:  # nobody has been answered in all that time
            raise RequestRejected(
                f"no usable answer for {waited:.0f} s (last: {reason}); start the server again and "
                "run the same command: it goes on where it stopped"
            )
        raise Unusable(f"no usable answer in {waited:.0f} s (last: {reason})")

    async def _once(self, client: Any, request: _HttpRequest) -> Reply:
        await self._turn()
        try:
            answer = await self._post(client, request.path, request.body)
            if answer.status in (400, 422) and b"logprobs" in answer.content:
                self._no_probabilities.set()
                answer = await self._post(client, request.path, request.without_probabilities())
            reply = read_answer(answer, request.lead, self._note)
            # Once more: what came in pieces is whole now.
            reply = reply._replace(reasoning=hide_known(reply.reasoning), answer=hide_known(reply.answer))
        except Again as error:
            if error.after_s is not None:
                self._not_before = max(self._not_before, time.monotonic() + error.after_s)
            raise
        self._last_answer = time.monotonic()
        return reply

    async def _post(self, client: Any, path: str, body: bytes) -> HttpAnswer:
        """Send a request; its whole answer is bounded in time and size."""
        import httpx

        content = bytearray()
        try:
            async with (
                asyncio.timeout(self._settings.timeout_s),
                client.stream("POST", path, content=body) as response,
            ):
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > LONGEST_BODY:
                        raise Unusable(f"an answer of more than {LONGEST_BODY} bytes")
        except TimeoutError:
            raise Again(f"no whole answer within {self._settings.timeout_s:g} s") from None
        except httpx.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise
            raise RequestRejected(
                f"its certificate is not trusted ({error}); if it should be, put the file of its authority into SSL_CERT_FILE"
            ) from error
        return HttpAnswer(response.status_code, response.headers, hide_bytes(bytes(content)))

    def _note(self, text: str) -> None:
        """Say a thing once."""
        if text not in self._said:
            self._said.add(text)
            console.say(f"{self._settings.base_url}: {text}")

    async def _turn(self) -> None:
        """Wait for this request's turn under the rate limit and any pause the server asked for."""
        now = time.monotonic()
        due = max(now, self._not_before)
        if per_minute := self._settings.requests_per_minute:
            self._not_before = due + 60 / per_minute
        if due > now:
            await asyncio.sleep(due - now)
