"""A real vLLM engine on tiny models with real chat templates: in this process and as a server."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from curation.annotate.asking import EngineModel
from curation.corpus.store import Store
from curation.engines import Sampling
from curation.engines.openai import OpenAIEngine, ServerSettings
from curation.engines.prompting import render
from curation.engines.settings import EngineSettings
from curation.engines.streaming import Question
from curation.engines.weights import load_tokenizer, locate
from curation.generate import repair, sample
from curation.generate.stage import GenerateRecipe, run
from schemas.errors import EngineError
from tests.curation.chain_model import DECLINE, REFUSAL, START, WAVER

pytestmark = pytest.mark.slow
CONVERSATIONS = [
    [{"role": "user", "content": "How do I grow basil?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}],
]
SAMPLED = Sampling(temperature=1.0, max_new_tokens=40)


def test_vllm_is_sent_the_chat_templates_tokens(vllm_engine: Any, r1_model: Path) -> None:
    tokenizer = load_tokenizer(locate(str(r1_model)))
    bare = vllm_engine.llm.chat(CONVERSATIONS, use_tqdm=False)
    replies = vllm_engine.chat(CONVERSATIONS, SAMPLED)
    for messages, output, reply in zip(CONVERSATIONS, bare, replies, strict=True):
        expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        assert render(tokenizer, messages).ids == expected == list(output.prompt_token_ids)
        assert reply.prompt_tokens == len(expected)


def test_vllm_splits_reasoning_where_the_template_opened_it(vllm_engine: Any) -> None:
    replies = vllm_engine.chat(CONVERSATIONS * 8, SAMPLED)
    assert {reply.think_state for reply in replies} == {"closed"}
    assert {reply.reasoning for reply in replies} == {START + DECLINE, START + WAVER + DECLINE}
    assert {reply.answer for reply in replies} == {REFUSAL.strip()}
    assert {reply.reasoning_tokens for reply in replies} == {2, 3}


def test_vllm_goes_on_from_a_given_beginning(vllm_engine: Any) -> None:
    messages = [*CONVERSATIONS[0], {"role": "assistant", "content": f"<think>\n{START}{WAVER}"}]
    (reply,) = vllm_engine.chat([messages], SAMPLED)
    assert reply.reasoning == START + WAVER + DECLINE


def test_vllm_cut_at_the_token_limit_is_truncated(vllm_engine: Any) -> None:
    (reply,) = vllm_engine.chat(CONVERSATIONS[:1], Sampling(max_new_tokens=2))
    assert (reply.think_state, reply.finish_reason, reply.answer) == ("truncated", "length", "")


def test_a_schema_binds_vllm_in_this_process_though_the_template_opens_a_think_block(
    vllm_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"enum": [7]}},
        "required": ["n"],
        "additionalProperties": False,
    }
    model = EngineModel(EngineSettings(model="m", server=ServerSettings(base_url="http://localhost:1/v1")))
    monkeypatch.setattr("curation.annotate.asking.open_engine", lambda settings: vllm_engine)
    [answer] = model.answer(CONVERSATIONS[:1], 40, schema)
    assert isinstance(answer.text, str) and json.loads(answer.text.removeprefix("<think>")) == {"n": 7}


def test_vllm_takes_a_finished_turn_and_a_bare_prompt(vllm_engine: Any, r1_model: Path) -> None:
    tokenizer = load_tokenizer(locate(str(r1_model)))
    turn = [*CONVERSATIONS[0], {"role": "assistant", "content": "In a pot."}]
    judged, bare = vllm_engine.chat(
        [turn, [{"role": "text", "content": "Basil"}]], Sampling(max_new_tokens=2, continues=False)
    )
    expected = tokenizer.apply_chat_template(turn, add_generation_prompt=True)["input_ids"]
    assert (judged.prompt_tokens, bare.prompt_tokens) == (len(expected), len(tokenizer.encode("Basil")))


def test_a_prompt_too_long_for_vllm_fails_alone(vllm_engine: Any) -> None:
    questions = [Question(CONVERSATIONS[0], 1), Question([{"role": "user", "content": "x" * 4000}], 2)]
    answers = dict(vllm_engine.stream(questions, SAMPLED))
    assert answers[0].think_state == "closed"
    assert isinstance(answers[1], EngineError)


def test_target_sampling_and_repair_run_on_vllm(
    vllm_engine: Any, prompts: Store, r1_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sample, repair):
        monkeypatch.setattr(module, "open_for", lambda recipe, tasks: vllm_engine)
    how: dict[str, Any] = {
        "engine": {"model": str(r1_model)},
        "sampling": {"temperature": 1.0, "max_new_tokens": 40},
    }
    asked = how | {"samples": 20, "where": "kind = 'harmful'", "strategies": ["default", "improved"]}
    sampled = sample.run(prompts.root, sample.SampleRecipe.model_validate({"generate": asked, "target": 3}))
    found: Any = sampled.summary["strategies"]
    assert [found[name]["accepted"] >= 3 for name in ("default", "improved")] == [True, True]
    repaired = repair.run(prompts.root, repair.RepairRecipe.model_validate({"generate": how, "tries": 9}))
    gain: Any = repaired.summary["yield"]
    assert repaired.summary["parents"] == gain["traces"] - gain["plain_accepted"] > 0
    assert gain["with_repair_yield"] > gain["plain_yield"]
    assert repaired.counts.balance == sampled.counts.balance == 0


def test_a_vllm_server_is_sent_the_chat_templates_tokens(vllm_server: Any, qwen3_model: Path) -> None:
    tokenizer = load_tokenizer(locate(str(qwen3_model)))
    address = vllm_server.base_url.removesuffix("/v1") + "/tokenize"
    replies = OpenAIEngine("tiny", ServerSettings(base_url=vllm_server.base_url)).chat(CONVERSATIONS, SAMPLED)
    for messages, reply in zip(CONVERSATIONS, replies, strict=True):
        body = json.dumps({"model": "tiny", "messages": messages}).encode()
        request = urllib.request.Request(address, body, {"content-type": "application/json"})
        tokens = json.load(urllib.request.urlopen(request))["tokens"]
        assert tokens == render(tokenizer, messages).ids
        assert reply.prompt_tokens == len(tokens)


@pytest.mark.parametrize("with_tokenizer", [False, True])
def test_a_vllm_servers_reasoning_is_split(vllm_server: Any, qwen3_model: Path, with_tokenizer: bool) -> None:
    settings = ServerSettings(
        base_url=vllm_server.base_url, tokenizer=str(qwen3_model) if with_tokenizer else None
    )
    replies = OpenAIEngine("tiny", settings).chat(CONVERSATIONS * 8, SAMPLED)
    assert {reply.think_state for reply in replies} == {"closed"}
    assert {reply.reasoning for reply in replies} == {START + DECLINE, START + WAVER + DECLINE}
    assert {reply.answer for reply in replies} == {REFUSAL.strip()}


def test_a_vllm_server_goes_on_from_a_given_beginning(vllm_server: Any, qwen3_model: Path) -> None:
    settings = ServerSettings(base_url=vllm_server.base_url, tokenizer=str(qwen3_model))
    messages = [*CONVERSATIONS[0], {"role": "assistant", "content": f"<think>\n{START}{WAVER}"}]
    (reply,) = OpenAIEngine("tiny", settings).chat([messages], SAMPLED)
    assert reply.reasoning == START + WAVER + DECLINE


def test_generating_against_a_vllm_server_keeps_every_trace(vllm_server: Any, prompts: Store) -> None:
    engine = {"model": "tiny", "server": {"base_url": vllm_server.base_url}}
    recipe = GenerateRecipe.model_validate(
        {
            "engine": engine,
            "samples": 4,
            "strategies": ["default", "realsafe"],
            "sampling": {"max_new_tokens": 40},
        }
    )
    counts = run(prompts.root, recipe).counts
    assert (counts.rows, counts.kept) == (32, 32)
    assert run(prompts.root, recipe).counts == counts
    assert len(prompts.keys("traces")) == 32
