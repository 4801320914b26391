"""curate sample: rounds until the target is met or the budget is spent."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.generate.output import GenerationTask
from curation.generate.sample import SampleRecipe, next_round, run
from schemas.errors import EngineError, RecipeError
from tests.curation.chain_model import DECLINE, REFUSAL, START, WAVER

GOOD = f"<think>\n{START}{DECLINE}\n</think>{REFUSAL}"
RISKY = f"<think>\n{START}{WAVER}{DECLINE}\n</think>{REFUSAL}"


def recipe(**settings: Any) -> SampleRecipe:
    how = {"engine": {"model": "scripted"}, "samples": 20, "where": "kind = 'harmful'"} | settings.pop(
        "generate", {}
    )
    return SampleRecipe.model_validate({"generate": how, "target": 3} | settings)


def every(n: int, good: str = GOOD, bad: str = RISKY) -> Callable[[Any], str]:
    """Says the good thing every n-th time."""
    asked = [0]

    def say(messages: Any) -> str:
        asked[0] += 1
        return good if asked[0] % n == 0 else bad

    return say


def tasks(n: int, prompts: int) -> list[GenerationTask]:
    return [GenerationTask(f"t{i}", [], {"prompt_id": f"p{i % prompts}"}) for i in range(n)]


def test_it_stops_at_the_target_and_reports_yield_and_cost(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    engine = scripted(every(4))
    manifest = run(prompts.root, recipe(generate={"price_out": 2.0}))
    row: Any = manifest.summary["strategies"]["default"]  # type: ignore[index]
    assert row["accepted"] == 3
    assert row["generated"] == len(engine.asked) < 60
    assert row["yield"] == round(3 / row["generated"], 4)
    assert row["tokens_per_accepted"] == round(row["new_tokens"] / 3, 1)
    assert row["cost"] == pytest.approx(row["new_tokens"] * 2.0 / 1e6, abs=1e-6)
    assert manifest.counts.balance == 0


def test_a_second_run_asks_nobody(prompts: Store, scripted: Callable[..., Any]) -> None:
    engine = scripted(every(4))
    first = run(prompts.root, recipe())
    asked = len(engine.asked)
    assert run(prompts.root, recipe()).summary == first.summary
    assert len(engine.asked) == asked


def test_the_budget_ends_it_and_the_shortfall_shows(prompts: Store, scripted: Callable[..., Any]) -> None:
    engine = scripted(lambda messages: RISKY)
    manifest = run(prompts.root, recipe(budget=10))
    row: Any = manifest.summary["strategies"]["default"]  # type: ignore[index]
    assert (row["accepted"], row["generated"], row["yield"], row["tokens_per_accepted"]) == (0, 10, 0.0, None)
    assert len(engine.asked) == 10
    assert manifest.counts.filtered == {"not needed or over budget": 50}


def test_a_prompt_with_an_accepted_trace_is_tried_no_more(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    engine = scripted(lambda messages: GOOD)
    manifest = run(prompts.root, recipe(target=50))
    assert manifest.summary["strategies"]["default"]["accepted"] == 3  # type: ignore[index]
    assert len(engine.asked) == 3


def test_each_strategy_has_its_own_target(prompts: Store, scripted: Callable[..., Any]) -> None:
    def say(messages: Sequence[Any]) -> str:
        return (
            GOOD if len(messages[0]["content"]) > 100 else RISKY
        )  # only the improved instruction is that long

    scripted(say)
    manifest = run(prompts.root, recipe(budget=12, generate={"strategies": ["default", "improved"]}))
    found: Any = manifest.summary["strategies"]
    assert {name: (row["accepted"], row["generated"]) for name, row in found.items()} == {
        "default": (0, 12),
        "improved": (3, 3),
    }


def test_an_engine_that_stops_is_a_named_failure_and_a_rerun_goes_on(
    prompts: Store, scripted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.engines.streaming.BATCH", 1)
    said = iter([GOOD, EngineError("gone")])
    scripted(lambda messages: next(said))
    counts = run(prompts.root, recipe()).counts
    assert (counts.kept, counts.failed, counts.balance) == (1, {"gone": 2}, 0)
    scripted(lambda messages: GOOD)
    assert run(prompts.root, recipe()).counts.kept == 3


def test_a_wrong_condition_is_refused_before_anybody_is_asked(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    engine = scripted(lambda messages: GOOD)
    with pytest.raises(RecipeError, match="accept"):
        run(prompts.root, recipe(accept="not riskyy"))
    assert engine.asked == []


def test_a_round_grows_with_the_rejections_so_far() -> None:
    settings = recipe(target=10)
    all_tasks = tasks(1000, 1000)
    tried = {f"t{i}" for i in range(100)}
    assert len(next_round(all_tasks, set(), set(), settings)) == 10
    assert len(next_round(all_tasks, tried, {f"t{i}" for i in range(5)}, settings)) == 85
    assert next_round(all_tasks, tried, {f"t{i}" for i in range(10)}, settings) == []


def test_a_round_is_no_larger_than_the_budget_that_is_left() -> None:
    assert len(next_round(tasks(100, 100), {"t0"}, set(), recipe(target=50, budget=8))) == 7
