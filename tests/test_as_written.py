"""What the world writes, in eight kinds: markups, cuts, fields, conversations, files, bad cells, texts that look alike, servers.

Each case is one that other tools have stumbled over, or of the same kind; the right value is beside it.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.corpus.query import connect, open_tables, select
from curation.corpus.store import Store
from curation.engines.replies import Again, HttpAnswer, RequestRejected, Unusable, read_answer
from curation.ingest.recipe import IngestRecipe
from curation.ingest.stage import run
from schemas.errors import DataError
from tests.command_line import curate

THOUGHT, SAID, ASK = "The person wants a colour.", "Red.", "Name a colour."
THINK = f"<think>\n{THOUGHT}\n</think>\n\n{SAID}"
RIGHT = (THOUGHT, SAID)
USER = {"role": "user", "content": ASK}


def read(folder: Path, name: str, data: bytes, *others: Path) -> list[Any]:
    """(reasoning, answer) of each trace, and the reason of each bad row, in the order of the file."""
    path = folder / name
    path.write_bytes(data)
    manifest = run(folder / "c", [str(path), *map(str, others)], IngestRecipe(kind="benign"))
    assert manifest.counts.balance == 0
    connection = connect(Store(folder / "c"))
    good = select(connection, "select source_line as line, reasoning, answer from traces").to_pylist()
    bad = select(connection, "select source_line as line, reason from quarantine").to_pylist()
    found = [(row["line"], (row["reasoning"], row["answer"])) for row in good]
    return [value for _, value in sorted(found + [(row["line"], row["reason"]) for row in bad])]


def lines(*rows: Any) -> bytes:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


def row(response: str, **more: Any) -> dict[str, Any]:
    return {"prompt": ASK, "response": response} | more


def chat(**message: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": "assistant", **message}]}


ROWS: dict[str, tuple[dict[str, Any], Any]] = {
    # markups
    "upper case tags with white space": (row(f"< THINK >{THOUGHT}</ Think >{SAID}"), RIGHT),
    "an answer tag of another family": (row(f"<think>{THOUGHT}</think><response>{SAID}</response>"), RIGHT),
    "full-width bars around the role": (row(f"<｜Assistant｜><think>{THOUGHT}</think>{SAID}<｜end▁of▁sentence｜>"), RIGHT),
    "a tag in other words is no answer": (row(f"<inner_monologue>{THOUGHT}</inner_monologue>{SAID}"), "unknown_markup"),
    "a tag shown as HTML is no answer": (row(f"&lt;think&gt;{THOUGHT}&lt;/think&gt;{SAID}"), "unknown_markup"),
    # cuts
    "a token limit in Anthropic's word": (row(THINK, stop_reason="max_tokens"), "truncated"),
    "a filter in Gemini's word": (row(THINK, finishReason="PROHIBITED_CONTENT"), "blocked"),
    "a word of tomorrow": (row(THINK, finish_reason="paused_for_budget"), "cut"),
    "a flag beside": (row(THINK, is_reasoning_complete=False), "cut"),
    "SGLang's object": (row(THINK, finish_reason={"type": "length", "length": 9}), "truncated"),
    # fields
    "an empty field beside the inline thought": (chat(content=THINK, reasoning_content=""), RIGHT),
    "null fields, details filled": (
        chat(content=SAID, reasoning=None, reasoning_details=[{"type": "reasoning.text", "text": THOUGHT}]), RIGHT,
    ),
    "the same thought twice": (chat(content=THINK, reasoning=THOUGHT), RIGHT),
    "two thoughts that differ": (chat(content=SAID, reasoning="One.", thinking="Two."), "two_reasonings"),
    "a refusal is an answer": (chat(content=None, refusal="I cannot.", reasoning=THOUGHT), (THOUGHT, "I cannot.")),
    # conversations
    "Anthropic's parts": (
        chat(content=[{"type": "thinking", "thinking": THOUGHT, "signature": "x"}, {"type": "text", "text": SAID}]), RIGHT,
    ),
    "Mistral's parts": (
        chat(content=[{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}, {"type": "text", "text": SAID}]),
        RIGHT,
    ),
    "Gemini's contents": (
        {"contents": [{"parts": [{"text": ASK}]}, {"role": "model", "parts": [{"text": THOUGHT, "thought": True}, {"text": SAID}]}]},
        RIGHT,
    ),
    "a turn that calls a tool": (
        chat(content=THINK, tool_calls=[{"id": "1", "function": {"name": "f", "arguments": "{}"}}]), "tool_call",
    ),
    "a question in a chat, its answer beside": (
        {"messages": [USER], "reasoning": THOUGHT, "answer": SAID, "model": "deepseek-reasoner"}, RIGHT,
    ),
    # files
    "R1-Act": ({"instruction": ASK, "response": THINK}, RIGHT),
    "SafeChain": ({"instruction": ASK, "label": "vanilla_benign", "response": THINK}, RIGHT),
    "OpenThoughts' metadata": (
        {"problem": ASK, "deepseek_reasoning": THOUGHT, "deepseek_solution": SAID, "ground_truth_solution": "Red", "domain": "math"},
        RIGHT,
    ),
    "a sample of lm-eval": (
        {"doc_id": 3, "doc": {}, "target": "Red", "arguments": [[ASK, {"until": []}]], "resps": [[THINK]]}, RIGHT,
    ),
    "a likelihood of lm-eval is no response": (
        {"doc_id": 3, "doc": {}, "target": "1", "arguments": [[ASK, " a"]], "resps": [[["-1.5", "False"]]]}, "missing_response",
    ),
    "a sample of Inspect": (
        {"id": 1, "epoch": 1, "input": ASK, "target": "Red", "messages": [USER, {"role": "assistant", "content": SAID}],
         "output": {"model": "m", "choices": [{"message": {"role": "assistant", "content": [
             {"type": "reasoning", "reasoning": THOUGHT}, {"type": "text", "text": SAID}]}, "stop_reason": "stop"}]}},
        RIGHT,
    ),
    "a sample of Inspect at its limit": (
        {"id": 1, "epoch": 1, "input": ASK, "target": "Red", "messages": [USER],
         "output": {"model": "m", "choices": [{"message": {"role": "assistant", "content": THINK}, "stop_reason": "max_tokens"}]}},
        "truncated",
    ),
    "a request and its response in one row": (
        {"request": {"contents": [{"role": "user", "parts": [{"text": ASK}]}]},
         "response": {"candidates": [{"content": {"parts": [{"text": THOUGHT, "thought": True}, {"text": SAID}]}, "finishReason": "STOP"}]}},
        RIGHT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_read_as_it_was_meant_or_set_aside_by_its_reason(name: str, tmp_path: Path) -> None:
    given, right = ROWS[name]
    assert read(tmp_path, "rows.jsonl", lines(given)) == [right]


def test_a_sample_of_an_evaluation_keeps_model_reference_and_scores(tmp_path: Path) -> None:
    sample = ROWS["a sample of Inspect"][0] | {
        "scores": {"match": {"value": "C"}},
        "events": [{"long": "log"}],
    }
    read(tmp_path, "log.json", json.dumps({"version": 2, "status": "success", "samples": [sample]}).encode())
    query = "select t.model, p.reference_answer, t.extra from traces t join prompts p using (prompt_id)"
    (found,) = select(connect(Store(tmp_path / "c")), query).to_pylist()
    assert (found["model"], found["reference_answer"]) == ("m", "Red")
    assert json.loads(found["extra"])["scores"] == sample["scores"] and "events" not in found["extra"]


BODY = {
    "model": "m",
    "choices": [{"message": {"role": "assistant", "content": THINK}, "finish_reason": "stop"}],
}
BATCHES = {
    "OpenAI, vLLM": (
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [USER]}},
        {"id": "x", "custom_id": "a", "response": {"status_code": 200, "request_id": "r", "body": BODY}, "error": None}, RIGHT,
    ),
    "OpenAI's responses": (
        {"custom_id": "a", "url": "/v1/responses", "body": {"input": ASK, "instructions": "Be brief."}},
        {"custom_id": "a", "response": {"status_code": 200, "body": {"status": "completed", "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": THOUGHT}]},
            {"type": "message", "content": [{"type": "output_text", "text": SAID}]}]}}}, RIGHT,
    ),
    "Anthropic": (
        {"custom_id": "a", "params": {"system": "Be brief.", "messages": [USER], "max_tokens": 9}},
        {"custom_id": "a", "result": {"type": "succeeded", "message": {"model": "m", "stop_reason": "end_turn", "content": [
            {"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": SAID}]}}}, RIGHT,
    ),
    "Gemini": (
        {"key": "a", "request": {"contents": [{"parts": [{"text": ASK}]}]}},
        {"key": "a", "response": {"candidates": [{"finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": THOUGHT, "thought": True}, {"text": SAID}]}}]}}, RIGHT,
    ),
    "an error": (
        {"custom_id": "a", "body": {"messages": [USER]}},
        {"custom_id": "a", "response": {"status_code": 400, "body": {"error": {"message": "too long"}}}, "error": None}, "failed_request",
    ),
    "no reason why it ended": (
        {"custom_id": "a", "body": {"messages": [USER]}},
        {"custom_id": "a", "response": {"status_code": 200, "body": {"choices": [{"message": {"content": THINK}}]}}}, "cut",
    ),
    "no such request": (
        {"custom_id": "b", "body": {"messages": [USER]}},
        {"custom_id": "a", "response": {"status_code": 200, "body": BODY}}, "missing_prompt",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BATCHES)
def test_the_outputs_of_a_batch_are_joined_with_their_requests(name: str, tmp_path: Path) -> None:
    request, output, right = BATCHES[name]
    asked = tmp_path / "requests.jsonl.gz"
    asked.write_bytes(gzip.compress(lines(request)))
    assert read(tmp_path, "out.jsonl", lines(output), asked) == [right]


def test_outputs_without_requests_say_what_to_name_and_requests_alone_are_prompts(tmp_path: Path) -> None:
    request, output, _ = BATCHES["Anthropic"]
    with pytest.raises(DataError, match="name the file of requests as well"):
        read(tmp_path, "out.jsonl", lines(output))
    assert read(tmp_path, "requests.jsonl", lines(request)) == []
    found = select(open_tables(Store(tmp_path / "c")), "select text, source_id from prompts").to_pylist()
    assert found == [{"text": ASK, "source_id": "a"}]


def test_a_map_onto_a_chat_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines({"messages": [USER], "reasoning": THOUGHT, "answer": SAID}))
    with pytest.raises(DataError, match="holds chats, not texts; leave --map away"):
        run(
            tmp_path / "c",
            [str(tmp_path / "a.jsonl")],
            IngestRecipe(map={"prompt": "messages", "response": "answer"}),
        )


KINDS = [
    ({"instruction": ASK, "label": "adversarial_harmful", "response": THINK}, ("harmful", "WildJailbreak", None)),
    ({"instruction": ASK, "label": "vanilla_benign", "response": THINK}, ("benign", None, None)),
    (ROWS["OpenThoughts' metadata"][0], ("math", None, "math")),
    ({"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": THINK}], "domain": "code"}, ("code", None, "code")),
    ({"problem": ASK, "answer": "4", "subject": "Algebra"}, ("math", None, "Algebra")),
]  # fmt: skip


@pytest.mark.parametrize(("given", "right"), KINDS)
def test_published_columns_say_kind_attack_and_category(
    given: dict[str, Any], right: tuple[Any, ...], tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(given))
    run(tmp_path / "c", [str(tmp_path / "a.jsonl")], IngestRecipe())
    (found,) = select(
        open_tables(Store(tmp_path / "c")), "select kind, attack, category from prompts"
    ).to_pylist()
    assert tuple(found.values()) == right


CELLS = {
    "digits beyond a float": ('{"prompt": "a", "response": "<think>b</think>c", "id": 123456789012345678901234567890}', ("b", "c")),
    "NaN beside": ('{"prompt": "a", "response": "<think>b</think>c", "score": NaN}', ("b", "c")),
    "half a surrogate": ('{"prompt": "a\\ud800", "response": "<think>b</think>c"}', "lone_surrogate"),
    "a NUL character": ('{"prompt": "a\\u0000", "response": "<think>b</think>c"}', "nul_character"),
    "a number for a text": ('{"prompt": 7, "response": "<think>b</think>c"}', "wrong_type"),
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_a_bad_cell_is_one_bad_row(name: str, tmp_path: Path) -> None:
    text, right = CELLS[name]
    assert read(tmp_path, "a.jsonl", lines("{broken", text, row(THINK))) == ["malformed_json", right, RIGHT]


def test_bad_cells_in_nested_columns_cost_their_rows_alone(tmp_path: Path) -> None:
    raw = pa.array([b"fine", b"\xff", b"fine"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    tags = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), texts)
    table = {"prompt": ["a", "b", "c"], "response": ["<think>x</think>y"] * 3, "tags": tags}
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")
    found = read(tmp_path, "rows.parquet", (tmp_path / "rows.parquet").read_bytes())
    assert found == [("x", "y"), "invalid_utf8", ("x", "y")]


@pytest.mark.parametrize(
    ("one", "other"),
    [("x + 3", "x - 3"), ("C", "C++"), ("is safe", "is not safe"), ("1.5", "15"), ("安全です", "安全ではない")],
)  # fmt: skip
def test_texts_that_mean_different_things_are_no_duplicates(one: str, other: str, tmp_path: Path) -> None:
    found = read(tmp_path, "a.jsonl", lines(row(THINK, prompt=one), row(THINK, prompt=other)))
    assert len(found) == 2
    curate("dedup", "--methods", "exact,near", "--corpus", "c", cwd=tmp_path)
    duplicates = "select count(*) as n from candidates where prompt_duplicate or duplicate"
    assert select(connect(Store(tmp_path / "c")), duplicates)["n"][0].as_py() == 0


def answer(body: Any, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, {}, body if isinstance(body, bytes) else orjson.dumps(body))


def completion(message: dict[str, Any], finish: Any = "stop", **more: Any) -> HttpAnswer:
    return answer({"choices": [{"index": 0, "message": message, "finish_reason": finish}], **more})


SERVERS = {
    "llama.cpp with deepseek format": (
        completion({"role": "assistant", "reasoning_content": THOUGHT, "content": SAID}, timings={"prompt_n": 3}), "closed",
    ),
    "llama.cpp without a format": (completion({"role": "assistant", "content": THINK}), "closed"),
    "Ollama's OpenAI address": (completion({"role": "assistant", "content": SAID, "reasoning": THOUGHT}), "closed"),
    "vLLM's old field, null beside": (
        completion({"role": "assistant", "content": SAID, "reasoning": None, "reasoning_content": THOUGHT, "tool_calls": []}), "closed",
    ),
    "content as a list": (
        completion({"content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": SAID}]}), "closed",
    ),
    "SGLang's finish object": (completion({"content": THINK}, {"type": "length"}), "truncated"),
    "no reason at all": (completion({"content": THINK}, None), "cut"),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
def test_a_servers_reply_is_read_as_its_text_would_be(name: str) -> None:
    given, state = SERVERS[name]
    reply = read_answer(given, "", lambda _: None)
    assert (reply.reasoning, reply.answer, reply.think_state) == (THOUGHT, SAID, state)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer({"error": {"message": "Insufficient credits", "code": 402}}), "Insufficient credits"),
        (answer({"detail": "model is loading"}, 503), "model is loading"),
        (answer(b"<html>Bad gateway</html>", 502), "Bad gateway"),
    ],
)
def test_a_servers_error_is_told_in_its_own_words(given: HttpAnswer, words: str) -> None:
    with pytest.raises((RequestRejected, Unusable, Again), match=words):
        read_answer(given, "", lambda _: None)
