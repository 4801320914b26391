"""curate generate: what is planned, what is kept, and what a rerun does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.engines import Reply, Sampling
from curation.engines.prompting import render
from curation.engines.transformers import TransformersEngine
from curation.engines.weights import load_tokenizer, locate
from curation.generate.estimate import estimate
from curation.generate.stage import GenerateRecipe, planned_for, run
from curation.generate.strategies import shipped, thinking
from schemas.errors import EngineError, RecipeError
from tests.curation.chain_model import DECLINE, REFUSAL, START, WAVER

CLOSED = "<think>\nThat is fine.\n</think>\n\nHere you are."


def recipe(**settings: Any) -> GenerateRecipe:
    return GenerateRecipe.model_validate({"engine": {"model": "scripted"}} | settings)


def rows(corpus: Store, query: str) -> list[dict[str, Any]]:
    return list(select(connect(corpus), query).to_pylist())


def test_every_prompt_strategy_and_sample_becomes_one_trace(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    scripted(lambda messages: CLOSED)
    counts = run(prompts.root, recipe(strategies=["default", "improved"], samples=3)).counts
    assert (counts.rows, counts.kept, counts.balance) == (24, 24, 0)
    found = rows(prompts, "select count(distinct (prompt_id, strategy, sample_index)) as n from traces")
    assert found == [{"n": 24}]


def test_a_trace_keeps_the_bare_query_and_how_it_was_made(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    engine = scripted(lambda messages: CLOSED)
    run(prompts.root, recipe(strategies=["improved"], where="text like '%basil%'"))
    (trace,) = rows(prompts, "select * from traces")
    assert trace["prompt"] == "How do I grow basil?"
    assert engine.asked == [shipped("improved").messages("How do I grow basil?")]
    assert (trace["reasoning"], trace["answer"]) == ("That is fine.", "Here you are.")
    assert (trace["strategy"], trace["strategy_version"]) == ("improved", shipped("improved").version)
    assert (trace["model"], trace["source_line"], trace["parent_id"]) == ("scripted@1", 4, None)
    assert json.loads(trace["sampling"]) == {
        "max_new_tokens": 4096,
        "seed": 0,
        "temperature": 0.6,
        "top_p": 0.95,
    }


def test_a_rerun_asks_nobody_and_counts_the_same(prompts: Store, scripted: Callable[..., Any]) -> None:
    engine = scripted(lambda messages: CLOSED)
    first = run(prompts.root, recipe(samples=2))
    asked = len(engine.asked)
    second = run(prompts.root, recipe(samples=2))
    assert (second.counts, len(engine.asked)) == (first.counts, asked)


def test_more_samples_ask_only_for_the_new_ones(prompts: Store, scripted: Callable[..., Any]) -> None:
    engine = scripted(lambda messages: CLOSED)
    run(prompts.root, recipe(samples=2))
    run(prompts.root, recipe(samples=3))
    assert len(engine.asked) == 12


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Sure.", "no_think"),
        ("<think>\nHm", "unclosed"),
        ("<think>\nHm\n</think>\n\n", "empty_answer"),
        (Reply("<think>\nHm", "", "truncated", "length", 10, 4096, 0), "truncated"),
    ],
)
def test_a_broken_reply_is_quarantined_under_its_trace_id_and_not_asked_again(
    prompts: Store, scripted: Callable[..., Any], said: Any, reason: str
) -> None:
    engine = scripted(lambda messages: said)
    counts = run(prompts.root, recipe()).counts
    assert counts.quarantined == {reason: 4}
    (row,) = rows(prompts, "select * from quarantine order by source_line limit 1")
    assert (row["stage"], row["reason"], row["source_line"]) == ("generate", reason, 1)
    assert json.loads(row["row"])["trace_id"] == row["quarantine_id"]
    assert run(prompts.root, recipe()).counts == counts
    assert len(engine.asked) == 4


def test_nocot_needs_no_model_and_leaves_other_prompts_out(prompts: Store) -> None:
    counts = run(prompts.root, GenerateRecipe(strategies=["nocot"])).counts
    assert (counts.kept, counts.filtered) == (3, {"kind not for this strategy": 1})
    assert rows(prompts, "select distinct reasoning, answer, model from traces") == [
        {"reasoning": "", "answer": shipped("nocot").text, "model": None}
    ]


def test_thinking_off_sends_a_closed_empty_block_and_keeps_an_empty_reasoning(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    engine = scripted(lambda messages: "Sorry, no.")
    run(prompts.root, recipe(think="zero"))
    assert engine.asked[0][-1] == {"role": "assistant", "content": thinking("zero")}
    assert rows(prompts, "select distinct reasoning, answer from traces") == [
        {"reasoning": "", "answer": "Sorry, no."}
    ]


def test_more_thinking_goes_on_from_the_end_of_the_reasoning(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    def say(messages: Any) -> str:
        return " It still is.\n</think>\n\nYes." if messages[-1]["role"] == "assistant" else CLOSED

    scripted(say)
    run(prompts.root, recipe(think="more", limit=1))
    (trace,) = rows(prompts, "select reasoning, answer from traces")
    assert trace == {"reasoning": f"That is fine.\n\n{thinking('more')} It still is.", "answer": "Yes."}


def test_thinking_modes_and_sampling_make_other_traces(prompts: Store) -> None:
    variants = [
        {},
        {"think": "zero"},
        {"sampling": {"temperature": 1.0}},
        {"sampling": {"seed": 1}},
        {"sampling": {"max_new_tokens": 9}},
    ]
    ids = set()
    for variant in variants:
        made = GenerateRecipe.model_validate({"engine": {"kind": "openai", "model": "m"}} | variant)
        ids |= {task.trace_id for task in planned_for(prompts, made, made.chosen()).tasks}
    assert len(ids) == 4 * len(variants)


def test_an_engine_that_stops_leaves_named_failures_and_a_rerun_finishes(
    prompts: Store, scripted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.engines.streaming.BATCH", 1)
    said = iter([CLOSED, CLOSED, EngineError("the server stopped")])
    scripted(lambda messages: next(said))
    counts = run(prompts.root, recipe()).counts
    assert (counts.kept, counts.failed, counts.balance) == (2, {"the server stopped": 2}, 0)
    scripted(lambda messages: CLOSED)
    counts = run(prompts.root, recipe()).counts
    assert (counts.kept, counts.failed) == (4, {})


def test_what_another_process_wrote_in_the_meantime_is_not_written_twice(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    def say(messages: Any) -> str:
        if not prompts.parts("traces"):
            scripted(lambda messages: CLOSED)
            run(prompts.root, recipe())
        return CLOSED

    scripted(say)
    assert run(prompts.root, recipe()).counts.kept == 4
    assert rows(prompts, "select count(*) as n from traces") == [{"n": 4}]


def test_a_limit_draws_by_seed_and_not_by_order(prompts: Store, scripted: Callable[..., Any]) -> None:
    drawn = []
    for seed in range(8):
        engine = scripted(lambda messages: CLOSED)
        run(prompts.root, recipe(limit=2, sampling={"seed": seed}))
        drawn.append(tuple(messages[0]["content"] for messages in engine.asked))
    assert {len(pair) for pair in drawn} == {2}
    assert len(set(drawn)) > 1


def test_samples_of_a_greedy_model_are_refused() -> None:
    with pytest.raises(ValueError, match="raise the temperature"):
        recipe(samples=2, sampling={"temperature": 0})


def test_a_strategy_without_a_model_says_so(prompts: Store) -> None:
    with pytest.raises(RecipeError, match="--model"):
        run(prompts.root, GenerateRecipe(strategies=["improved"]))


def test_a_wrong_condition_is_explained(prompts: Store, scripted: Callable[..., Any]) -> None:
    scripted(lambda messages: CLOSED)
    with pytest.raises(RecipeError, match="where"):
        run(prompts.root, recipe(where="knid = 'harmful'"))


def test_a_dry_run_estimates_and_asks_nobody(prompts: Store) -> None:
    found = estimate(
        prompts.root, GenerateRecipe.model_validate({"engine": {"kind": "openai", "model": "m"}, "strategies": ["default", "short"], "price_out": 10})
    )  # fmt: skip
    assert (found["planned"], found["missing"]) == (8, 8)
    assert found["generated_tokens"] == 4 * (566 + 155)
    assert found["cost"] == round(4 * (566 + 155) * 10 / 1e6, 4)
    assert prompts.parts("traces") == []


@pytest.mark.parametrize("family", ["r1_model", "qwen3_model"])
def test_the_prompts_tokens_are_the_chat_templates(family: str, request: pytest.FixtureRequest) -> None:
    tokenizer = load_tokenizer(locate(str(request.getfixturevalue(family))))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]
    assert (
        render(tokenizer, messages).ids
        == tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    )


@pytest.mark.parametrize("family", ["r1_model", "qwen3_model"])
def test_a_beginning_opens_the_think_block_exactly_once(family: str, request: pytest.FixtureRequest) -> None:
    tokenizer = load_tokenizer(locate(str(request.getfixturevalue(family))))
    user = {"role": "user", "content": "Hello?"}
    for beginning in ("<think>\nWell", thinking("zero")):
        rendered = render(tokenizer, [user, {"role": "assistant", "content": beginning}])
        assert tokenizer.decode(rendered.ids).endswith(beginning)
        assert tokenizer.decode(rendered.ids).count("<think>") == 1
        assert rendered.lead == beginning


@pytest.mark.parametrize("family", ["r1_model", "qwen3_model"])
def test_transformers_splits_what_real_templates_began(family: str, request: pytest.FixtureRequest) -> None:
    engine = TransformersEngine.load(str(request.getfixturevalue(family)))
    user = {"role": "user", "content": "Hello?"}
    replies = engine.chat([[user]] * 12, Sampling(temperature=1.0, max_new_tokens=20))
    assert {reply.think_state for reply in replies} == {"closed"}
    assert {reply.reasoning for reply in replies} == {START + DECLINE, START + WAVER + DECLINE}
    assert {reply.answer for reply in replies} == {REFUSAL.strip()}


def test_a_run_killed_in_the_middle_is_finished_by_the_next(
    prompts: Store, r1_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe: dict[str, Any] = {
        "engine": {"kind": "transformers", "model": str(r1_model)},
        "samples": 60,
        "sampling": {"max_new_tokens": 20},
    }
    code = """
import sys, time
from pathlib import Path
import curation.generate.output
from curation.engines.transformers import TransformersEngine
from curation.generate.stage import GenerateRecipe, run
curation.generate.output.PART_ROWS = 32
chat = TransformersEngine.chat
def slow(self, conversations, sampling):
    time.sleep(0.3)
    return chat(self, conversations, sampling)
TransformersEngine.chat = slow
run(Path(sys.argv[1]), GenerateRecipe.model_validate_json(sys.argv[2]))
"""
    command = [sys.executable, "-c", code, str(prompts.root), json.dumps(recipe)]
    running = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while len(prompts.parts("traces")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert 0 < len(prompts.keys("traces")) < 240
    assert run(prompts.root, GenerateRecipe.model_validate(recipe)).counts.kept == 240
    assert rows(prompts, "select count(*) as n, count(distinct trace_id) as ids from traces") == [
        {"n": 240, "ids": 240}
    ]
