"""Servers that speak the OpenAI protocol, well-behaved and otherwise: faults, limits, keys and storms."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from curation.engines import Sampling, openai
from curation.engines.openai import OpenAIEngine, ServerSettings
from curation.engines.prompting import asked
from curation.engines.streaming import Question
from curation.generate.stage import GenerateRecipe, run
from schemas.errors import EngineError
from tests.curation.engines.server import GOOD, Server, ask, settings
from tests.curation.engines.server import serve as serve
from tests.curation.models import free_port


@pytest.mark.parametrize(
    "fault", [429, 500, 503, b"<html>busy</html>", b'{"choices": []}', b"HALF a stream", None]
)
def test_a_passing_fault_is_tried_again(serve: Callable[..., Server], fault: Any) -> None:
    server = serve(lambda n, body: fault if n == 1 else GOOD)
    (reply,) = ask(server, patience_s=20)
    assert reply.answer == "Here you are."
    assert len(server.asked) == 2


@pytest.mark.parametrize("fault", [429, 500, b"garbage", b"HALF a stream", None])
def test_a_lasting_fault_is_a_named_error(serve: Callable[..., Server], fault: Any) -> None:
    with pytest.raises(EngineError, match="no usable answer for"):
        ask(serve(lambda n, body: fault))


@pytest.mark.parametrize(("status", "words"), [(401, "key"), (404, "no such address or model")])
def test_a_refusal_stops_at_once(serve: Callable[..., Server], status: int, words: str) -> None:
    server = serve(lambda n, body: status)
    with pytest.raises(EngineError, match=words):
        ask(server, n=100, concurrency=1)
    assert len(server.asked) == 1


def test_a_rejected_request_fails_alone(serve: Callable[..., Server]) -> None:
    server = serve(lambda n, body: 400 if body["messages"][0]["content"] == "Q3" else GOOD)
    questions = [Question([{"role": "user", "content": f"Q{i}"}], i) for i in range(6)]
    found = dict(OpenAIEngine("m", settings(server)).stream(questions, Sampling()))
    assert [place for place, reply in found.items() if isinstance(reply, EngineError)] == [3]
    assert len(found) == 6


def test_no_more_requests_run_at_once_than_allowed(serve: Callable[..., Server]) -> None:
    running, most, lock = [0], [0], threading.Lock()

    def script(n: int, body: Any) -> Any:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1
        return GOOD

    assert len(ask(serve(script), n=40, timeout_s=10)) == 40
    assert most[0] == 4


def test_the_rate_limit_is_kept(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, sleep = [], asyncio.sleep

    async def record(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", record)
    ask(serve(lambda n, body: GOOD), n=6, requests_per_minute=1)
    assert sorted(round(pause / 60) for pause in pauses) == [1, 2, 3, 4, 5]


def test_the_key_comes_from_the_environment_and_fields_can_be_added_and_removed(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "k-1")
    server = serve(lambda n, body: GOOD)
    ask(server, api_key_env="MY_KEY", extra_body={"temperature": None, "reasoning_effort": "low"})
    headers = {name.lower(): value for name, value in server.headers[0].items()}
    assert headers["authorization"] == "Bearer k-1"
    assert "temperature" not in server.asked[0]
    assert server.asked[0]["reasoning_effort"] == "low"


def test_a_beginning_without_a_tokenizer_is_refused(serve: Callable[..., Server]) -> None:
    engine = OpenAIEngine("m", settings(serve(lambda n, body: GOOD)))
    with pytest.raises(EngineError, match="--tokenizer"):
        engine.chat(
            [[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "<think>\nHm"}]], Sampling()
        )


def test_one_who_stops_listening_stops_the_requests(serve: Callable[..., Server]) -> None:
    server = serve(lambda n, body: GOOD)
    questions = [Question([{"role": "user", "content": f"Q{i}"}], i) for i in range(5000)]
    answers = OpenAIEngine("m", settings(server)).stream(questions, Sampling())
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert len(server.asked) < 5000


def recipe(server: Server, **server_settings: Any) -> GenerateRecipe:
    how = {"base_url": server.base_url, "patience_s": 2, "timeout_s": 5, "concurrency": 4} | server_settings
    return GenerateRecipe.model_validate({"engine": {"model": "m", "server": how}, "samples": 25})


def test_every_planned_trace_is_there_once_after_a_storm_of_faults(
    serve: Callable[..., Server], prompts: Store
) -> None:
    faults = {0: 500, 1: b"garbage", 2: 429, 3: b"HALF a stream"}
    server = serve(lambda n, body: faults.get(n % 17, GOOD))
    counts = run(prompts.root, recipe(server, patience_s=60)).counts
    assert (counts.rows, counts.kept, counts.failed) == (100, 100, {})


def test_a_server_that_dies_leaves_named_failures_and_the_rerun_finishes(
    serve: Callable[..., Server], prompts: Store
) -> None:
    port = free_port()
    first: Server = serve(lambda n, body: GOOD if n <= 30 else 500, port)
    counts = run(prompts.root, recipe(first)).counts
    assert counts.kept == 30
    assert sum(counts.failed.values()) == 70
    assert all("no usable answer" in reason for reason in counts.failed)
    first.stop()
    counts = run(prompts.root, recipe(first)).counts  # nobody listens at all
    assert (counts.kept, sum(counts.failed.values())) == (30, 70)
    second = serve(lambda n, body: GOOD, port)
    counts = run(prompts.root, recipe(second)).counts
    assert (counts.kept, counts.failed, len(second.asked)) == (100, {}, 70)
    found = select(open_tables(prompts), "select count(*) as n, count(distinct trace_id) as ids from traces")
    assert found.to_pylist() == [{"n": 100, "ids": 100}]


def test_a_server_restarted_while_we_wait_is_not_even_noticed(
    serve: Callable[..., Server], prompts: Store
) -> None:
    port = free_port()
    first: Server = serve(lambda n, body: GOOD if n <= 30 else None, port)

    def restart() -> None:
        while len(first.asked) <= 30:
            time.sleep(0.01)
        first.stop()
        time.sleep(0.5)
        serve(lambda n, body: GOOD, port)

    thread = threading.Thread(target=restart)
    thread.start()
    counts = run(prompts.root, recipe(first, patience_s=60, timeout_s=2)).counts
    thread.join()
    assert (counts.kept, counts.failed) == (100, {})


def test_a_key_stands_in_no_process_list_while_a_server_is_asked(
    prompts: Store, serve: Callable[..., Server]
) -> None:
    key, seen = "sk-not-to-be-seen-anywhere", []

    def script(n: int, body: dict[str, Any]) -> Any:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                seen.append(path.read_bytes().decode("utf-8", "replace"))
        return GOOD

    server = serve(script)
    command = [
        sys.executable,
        "-m",
        "curation.cli",
        "generate",
        "--model",
        "any",
        "--base-url",
        server.base_url,
    ]
    command += ["--strategies", "default", "--corpus", str(prompts.root)]
    done = subprocess.run(command, env=os.environ | {"OPENAI_API_KEY": key}, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert any(value == f"Bearer {key}" for header in server.headers for value in header.values())
    assert any("curation.cli" in line and server.base_url in line for line in seen)
    assert not any(key in line for line in seen)
    assert key not in done.stdout + done.stderr
    files = [path for path in prompts.root.rglob("*") if path.is_file()]
    assert not any(key.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 402, "message": "Insufficient credits"}},
        {"error": {"type": "invalid_request_error", "message": "Insufficient credits"}, "choices": None},
        {"object": "error", "message": "Insufficient credits", "code": 400},
        {"error": "Insufficient credits"},
    ],
)
def test_an_error_in_a_body_of_status_200_is_named_at_once(serve: Callable[..., Server], body: Any) -> None:
    server = serve(lambda n, asked: body)
    questions = [Question([{"role": "user", "content": "Q"}], 0)]
    ((_, reply),) = OpenAIEngine("m", settings(server, patience_s=60)).stream(questions, Sampling())
    assert "Insufficient credits" in str(reply)
    assert len(server.asked) == 1


def test_an_error_that_passes_is_tried_again_though_its_status_is_200(serve: Callable[..., Server]) -> None:
    busy = {"error": {"type": "overloaded_error", "message": "Overloaded"}}
    (reply,) = ask(serve(lambda n, body: busy if n == 1 else GOOD), patience_s=20)
    assert reply.answer == "Here you are."


@pytest.mark.parametrize("url", ["localhost:8000/v1", "//host/v1", "ftp://host", "http://"])
def test_an_address_without_scheme_or_host_is_rejected_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="write it whole"):
        ServerSettings(base_url=url)


class Dripping(Server):
    """Sends an answer byte by byte, or one without an end."""

    def say(self, handler: BaseHTTPRequestHandler, said: Any) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(10**12))
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(said)
                handler.wfile.flush()
                if len(said) == 1:
                    time.sleep(0.05)


def test_a_dripping_answer_is_bounded_in_time_and_one_without_end_in_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai, "LONGEST_BODY", 2**20)
    for said, words in ((b" ", "no whole answer within"), (b" " * 65536, "more than 1048576 bytes")):
        server = Dripping(lambda n, body, said=said: said)  # type: ignore[misc]
        questions = [Question([{"role": "user", "content": "Q"}], 0)]
        engine = OpenAIEngine("m", settings(server, timeout_s=5 if len(said) > 1 else 0.5, patience_s=0.1))
        with suppress(EngineError):
            ((_, reply),) = engine.stream(questions, Sampling())
            assert words in str(reply)
            server.stop()
            continue
        assert words == "no whole answer within"  # nobody was answered: the run ends
        server.stop()


def test_a_conversation_is_sent_whole_with_its_tools(serve: Callable[..., Server]) -> None:
    server = serve(lambda n, body: GOOD)
    tools = json.dumps([{"name": "clock", "input_schema": {"type": "object"}}])
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "clock", "arguments": {"zone": "UTC", "at": 1}},
    }
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": "", "reasoning": "Look.", "tool_calls": json.dumps([call])},
        {"role": "tool", "content": "noon", "tool_call_id": "c"},
    ]
    engine = OpenAIEngine("m", settings(server))
    (reply,) = engine.chat([asked("What time is it?", turns, tools)], Sampling())
    assert reply.answer == "Here you are."
    (body,) = server.asked
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assistant = body["messages"][2]
    assert assistant["reasoning"] == assistant["reasoning_content"] == "Look." and "thinking" not in assistant
    assert assistant["tool_calls"][0]["function"]["arguments"] == '{"zone": "UTC", "at": 1}'
    assert body["tools"][0]["function"] == {"name": "clock", "parameters": {"type": "object"}}
