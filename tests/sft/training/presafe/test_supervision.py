"""PreSafe: the head learns, its gradient reaches the model, and nothing of it is left in what is exported."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from curation.annotate import decisions
from curation.annotate.decisions import TeacherDecision
from schemas.errors import DataError, RecipeError
from schemas.row import Row
from sft.proof.mix import read_mix
from sft.proof.render import IGNORED, render
from sft.training.config import PresafeConfig, TrainConfig
from sft.training.presafe import Head, Listener, load_head, pool, targets
from sft.training.stage import run, train
from tests.sft.conftest import make_row, write_mix
from tests.sft.training.test_trainer import config, kill_after_checkpoint, same, weights

BAD, GOOD = "forbidden", "welcome"


def rows(count: int = 24, start: int = 0) -> list[Row]:
    """Prompts that say what is to be done with them, on many subjects."""
    things = ["door", "gate", "path", "lamp", "book", "seed", "coin", "boat", "bell", "tree", "rope", "tile"]
    found = []
    for number in range(start, start + count):
        bad = number % 2 == 0
        thing = things[number // 2 % len(things)]
        text = f"Is it {BAD if bad else GOOD} to take the {thing} number {number}?"
        found.append(make_row(text, "Let me think.", "No." if bad else "Yes.", number))
    return found


def decide(chosen: list[Row], path: Path) -> Path:
    found = [TeacherDecision(row.prompt_id, row.prompt, float(BAD in row.prompt)) for row in chosen]
    decisions.write(found, path)
    return path


@pytest.fixture
def setting(tmp_path: Path) -> dict[str, Any]:
    return decided_mix(tmp_path)


def decided_mix(tmp_path: Path) -> dict[str, Any]:
    mix = write_mix(tmp_path / "mix", rows())
    return {"mix": mix, "decisions": str(decide(rows(), tmp_path / "decisions.jsonl"))}


def presafe(
    models: dict[str, Path], setting: dict[str, Any], out: Path, family: str = "own", **settings: Any
) -> TrainConfig:
    how = {"decisions": setting["decisions"], **settings.pop("presafe", {})}
    return config(models[family], setting["mix"], out, presafe=how, **settings)


def metrics(out: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def held_out_loss(model: Path, head_folder: Path, tokenizer: Any) -> float:
    """BCE of a run's head on prompts it has not seen."""
    from transformers import AutoModelForCausalLM

    trained = AutoModelForCausalLM.from_pretrained(model)
    head, where = load_head(head_folder)
    listener = Listener(trained, where["layer"])
    losses = []
    for row in rows(12, start=100):
        tokens = render(tokenizer, row.prompt, row.reasoning, row.answer)
        ids, labels = torch.tensor([tokens.input_ids]), torch.tensor([tokens.labels])
        with torch.no_grad():
            trained(input_ids=ids)
            odds = head(pool(listener.take(), labels, torch.ones_like(ids), where["position"]))
        truth = torch.tensor([float(BAD in row.prompt)])
        losses.append(torch.nn.functional.binary_cross_entropy_with_logits(odds, truth).item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("position", ["last", "mean"])
def test_the_heads_loss_falls_also_on_prompts_it_has_not_seen(
    models: dict[str, Path],
    tokenizers: dict[str, Any],
    setting: dict[str, Any],
    tmp_path: Path,
    position: str,
) -> None:
    how = {"weight": 1.0, "position": position, "head_learning_rate": 1e-2, "warm_start": False}
    train(presafe(models, setting, tmp_path / "run", presafe=how, max_steps=40, learning_rate=3e-3))
    seen = metrics(tmp_path / "run", "presafe_loss")
    assert seen[0] == pytest.approx(0.693147, abs=1e-4) and seen[-1] < 0.5
    assert held_out_loss(tmp_path / "run" / "model", tmp_path / "run", tokenizers["own"]) < 0.6


@pytest.mark.parametrize("method", ["full", "lora"])
def test_with_weight_zero_training_is_plain_sft_to_the_bit(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path, method: str
) -> None:
    train(config(models["own"], setting["mix"], tmp_path / "plain", method=method))
    train(presafe(models, setting, tmp_path / "zero", presafe={"weight": 0.0}, method=method))
    train(presafe(models, setting, tmp_path / "one", presafe={"weight": 1.0}, method=method))
    plain = weights(tmp_path / "plain" / "model")
    assert same(plain, weights(tmp_path / "zero" / "model"))
    assert not same(plain, weights(tmp_path / "one" / "model"))


def test_the_gradient_of_the_head_alone_reaches_lora_weights(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path
) -> None:
    from curation.engines.weights import load_model, load_tokenizer, locate
    from sft.proof.check import prove
    from sft.training import trainer

    settings = presafe(models, setting, tmp_path / "run", method="lora", presafe={"weight": 1.0})
    place = locate(str(models["own"]))
    tokenizer = load_tokenizer(place)
    proof = prove(tokenizer, rows(4), 512)
    refused = [float(BAD in row.prompt) for row in proof.kept]
    built: Any = trainer.build(
        settings, load_model(place, "float32"), tokenizer, proof.rendered, tmp_path / "run", refused
    )
    batch = next(iter(built.get_train_dataloader()))
    assert batch["refused"].sum() == 2
    torch.nn.init.ones_(built.head.linear.weight)
    built.model(**{name: batch[name] for name in ("input_ids", "attention_mask")})
    built.decision_loss(
        pool(built.listener.take(), batch["labels"], batch["attention_mask"], "last"), batch["refused"]
    ).backward()
    reached = [
        name
        for name, p in built.model.named_parameters()
        if p.requires_grad and p.grad is not None and p.grad.abs().sum() > 0
    ]
    assert reached and all("lora_" in name for name in reached)


def test_a_detached_head_leaves_the_model_to_plain_sft_and_still_learns(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path
) -> None:
    train(config(models["own"], setting["mix"], tmp_path / "plain"))
    train(presafe(models, setting, tmp_path / "probe", presafe={"detach": True, "head_learning_rate": 1e-2}))
    assert same(weights(tmp_path / "plain" / "model"), weights(tmp_path / "probe" / "model"))
    assert load_head(tmp_path / "probe")[0].linear.weight.abs().sum() > 0


def test_the_exported_model_is_a_plain_one_with_the_trained_ones_logits(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    from sft.training import saving

    kept: list[Any] = []
    save = saving.save_model
    monkeypatch.setattr(
        saving, "save_model", lambda built, *rest: (kept.append(built.model), save(built, *rest))
    )
    train(presafe(models, setting, tmp_path / "run", presafe={"weight": 1.0}))
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model")
    assert type(exported).__name__ == "Qwen2ForCausalLM"
    assert not [
        name for name in weights(tmp_path / "run" / "model") if "head.linear" in name or "safety" in name
    ]
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        assert torch.equal(kept[0].eval()(input_ids=ids).logits, exported.eval()(input_ids=ids).logits)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_killed_run_goes_on_to_the_same_weights_and_head(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path, method: str
) -> None:
    how = {"method": method, "max_steps": 8, "save_steps": 3, "presafe": {"weight": 1.0, "layer": "best"}}
    train(presafe(models, setting, tmp_path / "whole", **how))
    path = tmp_path / "killed.yaml"
    path.write_text(json.dumps(presafe(models, setting, tmp_path / "killed", **how).model_dump(mode="json")))
    kill_after_checkpoint(path, tmp_path / "killed")
    run(path)
    assert same(weights(tmp_path / "whole" / "model"), weights(tmp_path / "killed" / "model"))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    assert (tmp_path / "whole" / "presafe.json").read_text() == (
        tmp_path / "killed" / "presafe.json"
    ).read_text()


def test_the_state_is_that_of_the_last_prompt_token_on_either_side_of_padding() -> None:
    states = torch.arange(10.0).reshape(1, 10, 1)
    for left in (0, 2):
        right = 2 - left
        labels = torch.tensor([[IGNORED] * left + [IGNORED] * 4 + [7] * 4 + [IGNORED] * right])
        mask = torch.tensor([[0] * left + [1] * 8 + [0] * right])
        assert pool(states, labels, mask, "last").item() == left + 3
        assert pool(states, labels, mask, "mean").item() == left + 1.5


def test_packed_rows_have_the_states_they_have_alone() -> None:
    torch.manual_seed(0)
    shape = [(3, 2), (1, 4), (5, 1)]  # tokens of prompt and completion of each row
    rows = [(torch.randn(1, p + c, 6), torch.tensor([[IGNORED] * p + [7] * c])) for p, c in shape]
    states, labels = (torch.cat(parts, 1) for parts in zip(*rows, strict=True))
    numbers = torch.tensor([[n for n, (p, c) in enumerate(shape) for _ in range(p + c)]])
    for position in ("last", "mean"):
        alone = torch.cat([pool(one, its, None, position) for one, its in rows])
        assert torch.allclose(pool(states, labels, None, position, numbers), alone, atol=1e-6)


def test_the_listener_hears_the_layer_it_was_told_and_the_first_pass_only(models: dict[str, Path]) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(models["own"])
    ids = torch.tensor([[5, 6, 7]])
    for layer, place in ((-1, -1), (0, 1)):
        listener = Listener(model, layer)
        with torch.no_grad():
            wanted = model(input_ids=ids, output_hidden_states=True).hidden_states[place]
        model(input_ids=ids + 1)
        assert torch.equal(listener.take(), wanted)
        listener.close()
    with pytest.raises(RecipeError, match="no such layer"):
        Listener(model, 99)


def test_rows_without_a_decision_are_left_to_sft_and_none_at_all_is_an_error() -> None:
    soft, hard = (PresafeConfig(decisions="d", labels=name) for name in ("soft", "hard"))
    assert targets(["a", "b"], {"a": 0.7}, soft)[0] == 0.7 and targets(["a"], {"a": 0.7}, hard) == [1.0]
    assert targets(["a", "b"], {"a": 0.7}, soft)[1] != targets(["a", "b"], {"a": 0.7}, soft)[1]  # NaN
    with pytest.raises(DataError, match="curate decide"):
        targets(["x"], {"a": 1.0}, soft)


def test_a_changed_decision_is_another_run(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path
) -> None:
    settings = presafe(models, setting, tmp_path / "run", max_steps=1)
    train(settings)
    decide(rows()[::2], Path(setting["decisions"]))
    with pytest.raises(RecipeError, match="different decisions"):
        train(settings)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"prompt_id": "a", "refused": 2}', "nonsense", '{"prompt_id": 1, "refused": 0}']
)
def test_a_wrong_decision_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "d.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"d\.jsonl"):
        decisions.read(tmp_path / "d.jsonl")


def test_a_fresh_head_knows_nothing_and_draws_no_random_number() -> None:
    state = torch.random.get_rng_state()
    with torch.random.fork_rng():
        head = Head(8)
    assert torch.equal(head(torch.randn(3, 8)), torch.zeros(3)) and len(state)


def test_read_mix_gives_prompt_ids(setting: dict[str, Any]) -> None:
    assert {row.prompt_id for row in read_mix(setting["mix"]).rows} == {row.prompt_id for row in rows()}
