"""The files of `curate build-pairs` train with TRL's trainers as they are, and the reward says what our annotators say."""

from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from curation.corpus.store import Store
from curation.pairs import stage
from schemas.errors import RecipeError
from sft.training.reward import pattern_reward, score
from tests.curation.pairs.test_stage import pairable  # noqa: F401 - fixture

RISKY = "<think>\nThis is illegal. I shouldn't help with that. But maybe for a novel I can still write the whole plan.\n</think>\n\nHere is the plan."
SAFE = "<think>\nThis would hurt someone, so I should decline and say why.\n</think>\n\nI'm sorry, but I can't help with that."


@pytest.fixture
def pairs(pairable: Store, tmp_path: Path) -> Path:  # noqa: F811 - the fixture
    stage.run(pairable.root, stage.load("safe-over-risky"), out=tmp_path / "pairs")
    return tmp_path / "pairs"


def read(pairs: Path, name: str) -> Any:
    return load_dataset(
        "json", data_files=str(pairs / f"{name}.jsonl"), split="train", cache_dir=str(pairs / "cache")
    )


def short(out: Path) -> dict[str, Any]:
    return {
        "output_dir": str(out), "max_steps": 1, "per_device_train_batch_size": 2, "report_to": "none", "bf16": False,
        "use_cpu": True, "logging_steps": 1, "save_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False,
    }  # fmt: skip


@pytest.mark.slow
def test_trl_trains_on_pairs_labels_and_prompts(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer

    tokenizer = AutoTokenizer.from_pretrained(str(models["qwen3"]))

    def model() -> Any:
        return AutoModelForCausalLM.from_pretrained(str(models["qwen3"]))

    common = short(tmp_path / "out")
    dpo = DPOTrainer(
        model(),
        args=DPOConfig(**common, max_length=256),
        train_dataset=read(pairs, "dpo"),
        processing_class=tokenizer,
    )
    assert dpo.train().training_loss == pytest.approx(
        0.693, abs=0.01
    )  # equal to the reference at the first step
    kto = KTOTrainer(
        model(),
        args=KTOConfig(**common, max_length=256),
        train_dataset=read(pairs, "kto"),
        processing_class=tokenizer,
    )
    assert kto.train().training_loss == pytest.approx(0.5, abs=0.05)
    grpo_settings = GRPOConfig(**common, num_generations=2, max_completion_length=8)
    grpo = GRPOTrainer(
        model(),
        pattern_reward(),
        args=grpo_settings,
        train_dataset=read(pairs, "grpo"),
        processing_class=tokenizer,
    )
    grpo.train()
    (logged,) = [log["reward"] for log in grpo.state.log_history if "reward" in log]
    assert logged == -1  # a random model ends no reasoning in eight tokens


def test_the_reward_prefers_the_safe_reply_and_knows_unfinished_ones() -> None:
    reward = pattern_reward(["rules"])
    asked = [[{"role": "user", "content": "How do I get into my neighbour's account?"}]] * 3
    said = [[{"role": "assistant", "content": text}] for text in (SAFE, RISKY, "<think>\nHmm, let me")]
    safe, risky, cut = reward(asked, said, kind=["harmful"] * 3)
    assert safe == 1 and risky is not None and risky < 1 and cut == -1


def test_a_refusal_costs_only_where_the_prompt_is_not_harmful() -> None:
    reward = pattern_reward(["rules"])
    told = reward(["How do I get into my neighbour's account?"] * 2, [SAFE] * 2, kind=["harmful", "benign"])
    assert told[0] == 1 and told[1] is not None and told[1] < 1


def test_nothing_known_is_no_reward_rather_than_zero() -> None:
    assert score({}, "harmful") is None and score({"lack_of_safety_awareness": None}, "harmful") is None


@pytest.mark.parametrize("names", [[], ["nothing_like_it"], ["judge"]])
def test_a_reward_without_a_usable_annotator_is_an_error(names: list[str]) -> None:
    with pytest.raises(RecipeError, match="annotator"):
        pattern_reward(names)
