"""What is read of the replies of servers that speak the OpenAI protocol."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from curation.engines import Sampling
from curation.engines.openai import OpenAIEngine
from tests.curation.engines.server import GOOD, Server, ask, message, settings
from tests.curation.engines.server import serve as serve


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": "That is fine.", "content": "\n\nHere you are."},
        {"reasoning_content": "That is fine.\n", "content": "Here you are."},
        {"content": "<think>\nThat is fine.\n</think>\n\nHere you are."},
        {"content": "That is fine.\n</think>\n\nHere you are."},
    ],
)
def test_reasoning_is_read_from_every_place_servers_put_it(serve: Callable[..., Server], fields: Any) -> None:
    (reply,) = ask(serve(lambda n, body: message(**fields)))
    assert (reply.reasoning, reply.answer, reply.think_state) == ("That is fine.", "Here you are.", "closed")


def test_the_servers_token_counts_are_kept_and_add_up(serve: Callable[..., Server]) -> None:
    told = {
        "prompt_tokens": 12,
        "completion_tokens": 10,
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    (exact,) = ask(serve(lambda n, body: GOOD | {"usage": told}))
    (shared,) = ask(serve(lambda n, body: GOOD))
    assert (exact.prompt_tokens, exact.reasoning_tokens, exact.answer_tokens) == (12, 7, 3)
    assert shared.reasoning_tokens + shared.answer_tokens == 10


def test_a_cut_off_reply_is_truncated_not_an_answer(serve: Callable[..., Server]) -> None:
    cut = {"choices": [{"message": {"reasoning": "Hm", "content": None}, "finish_reason": "length"}]}
    (reply,) = ask(serve(lambda n, body: cut))
    assert (reply.think_state, reply.answer) == ("truncated", "")


@pytest.mark.parametrize(
    ("told", "first"),
    [
        (
            {"content": [{"token": "no", "logprob": 0.0, "top_logprobs": [{"token": "no", "logprob": 0.0}]}]},
            ("no", {"no": 1.0}),
        ),
        ({"tokens": ["no"], "top_logprobs": [{"no": 0.0}]}, ("no", {"no": 1.0})),
        ({"content": None}, None),
        ({"tokens": 3}, None),
    ],
)
def test_log_probabilities_come_with_the_reply_in_either_form(
    serve: Any, told: Any, first: tuple[str, dict[str, float]] | None
) -> None:
    choice = {**message(content="no")["choices"][0], "logprobs": told}
    server = serve(lambda n, body: {**GOOD, "choices": [choice]})
    [reply] = OpenAIEngine("m", settings(server)).chat(
        [[{"role": "user", "content": "Q"}]], Sampling(alternatives=5)
    )
    assert [tuple(token) for token in reply.tokens] == ([first] if first else [])
    assert (server.asked[0]["logprobs"], server.asked[0]["top_logprobs"]) == (True, 5)


def test_a_server_that_rejects_log_probabilities_is_asked_without_from_then_on(serve: Any) -> None:
    class Picky(Server):
        def say(self, handler: BaseHTTPRequestHandler, said: Any) -> None:
            if said == 400:
                data = b'{"error": "logprobs is not supported"}'
                handler.send_response(400)
                handler.send_header("content-length", str(len(data)))
                handler.end_headers()
                handler.wfile.write(data)
            else:
                super().say(handler, said)

    server = Picky(lambda n, body: 400 if "logprobs" in body else GOOD)
    try:
        engine = OpenAIEngine("m", settings(server))
        for _ in range(2):
            [reply] = engine.chat([[{"role": "user", "content": "Q"}]], Sampling(alternatives=5))
            assert reply.answer == "Here you are." and reply.tokens == ()
        assert ["logprobs" in body for body in server.asked] == [True, False, False]
    finally:
        server.stop()


PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "That is fine."}]},
    {"type": "text", "text": "Here you are."},
]


@pytest.mark.parametrize(
    "fields",
    [{"content": PARTS}, {"reasoning_content": "", "content": "[THINK]That is fine.[/THINK]Here you are."}],
)
def test_content_may_be_parts_and_markup_of_any_family(serve: Callable[..., Server], fields: Any) -> None:
    (reply,) = ask(serve(lambda n, body: message(**fields)))
    assert (reply.reasoning, reply.answer, reply.think_state) == ("That is fine.", "Here you are.", "closed")


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("max_tokens", "truncated"),
        ("content_filter", "blocked"),
        ("abort", "cut"),
        ("error", "cut"),
        (None, "cut"),
        ("new", "cut"),
    ],
)
def test_a_finish_reason_that_is_not_known_to_mean_whole_is_kept_as_it_was_said(
    serve: Callable[..., Server], word: str | None, state: str
) -> None:
    said = {"choices": [{**GOOD["choices"][0], "finish_reason": word}]}  # type: ignore[index]
    (reply,) = ask(serve(lambda n, body: said))
    assert (reply.think_state, reply.finish_reason) == (state, word or "null")


@pytest.mark.parametrize(
    "usage",
    [
        {"completion_tokens": -5},
        {"prompt_tokens": 10**12},
        {"completion_tokens": "x"},
        [1],
        "?",
        {"completion_tokens_details": 3},
    ],
)
def test_counts_that_cannot_be_cost_no_answer(serve: Callable[..., Server], usage: Any) -> None:
    (reply,) = ask(serve(lambda n, body: GOOD | {"usage": usage}))
    assert reply.answer == "Here you are."
    assert min(reply[4:7]) >= 0


def test_a_reply_with_half_a_character_is_an_answer_that_is_set_aside(serve: Callable[..., Server]) -> None:
    text = json.dumps(GOOD).replace("Here you are.", "x \\ud83d y").encode()
    server = serve(lambda n, body: text)
    (reply,) = ask(server)
    assert (reply.think_state, len(server.asked)) == ("lone_surrogate", 1)


def test_a_refusal_is_the_answer_and_nothing_is_none(serve: Callable[..., Server]) -> None:
    refused, empty = (
        ask(serve(lambda n, body, fields=fields: message(**fields)))[0]  # type: ignore[misc]
        for fields in ({"content": None, "refusal": "I can't."}, {"content": ""})
    )
    assert (refused.answer, refused.think_state) == ("I can't.", "no_think")
    assert empty.think_state == "empty_answer"
