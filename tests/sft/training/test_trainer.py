import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from schemas.errors import CorpusError, DataError, EngineError, RecipeError, RenderError
from sft.proof.check import prove
from sft.proof.mix import read_mix
from sft.proof.render import IGNORED
from sft.training import trainer
from sft.training.config import TrainConfig
from sft.training.stage import run, train
from tests.killing import die, killed_in
from tests.sft.conftest import make_row, sample_rows, write_mix


def config(model: Path, mix: Path, out: Path, **settings: Any) -> TrainConfig:
    small: dict[str, Any] = {
        "learning_rate": 1e-3, "max_steps": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1,
        "bf16": False, "gradient_checkpointing": False, "max_length": 512,
    }  # fmt: skip
    return TrainConfig(model=str(model), mix=str(mix), out=str(out), **(small | settings))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {
        name: tensor
        for file in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("family", ["r1", "qwen3"])
def test_the_batches_the_trainer_reads_hold_whole_rows_eos_included(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path, family: str
) -> None:
    from curation.engines.weights import load_model, locate
    from sft.training import trainer

    tokenizer = tokenizers[family]
    rows = sample_rows()
    settings = config(models[family], tmp_path, tmp_path)
    built = trainer.build(
        settings, load_model(locate(str(models[family])), "float32"), tokenizer,
        prove(tokenizer, rows, 512).rendered, tmp_path,
    )  # fmt: skip
    learned = set()
    for batch in built.get_train_dataloader():
        assert batch["input_ids"].shape == batch["labels"].shape
        for ids, labels, mask in zip(
            batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
        ):
            assert labels[mask == 0].eq(IGNORED).all()  # padding carries no loss
            kept = labels[labels != IGNORED]
            assert kept[-1] == tokenizer.eos_token_id  # EOS does, though R1 pads with it
            assert torch.equal(kept, ids[labels != IGNORED])
            learned.add(tokenizer.decode(kept))
    opened = "<think>\n" if family == "qwen3" else ""
    assert learned == {f"{opened}{r.reasoning}\n</think>\n\n{r.answer}{tokenizer.eos_token}" for r in rows}


def test_stock_sft_on_the_r1_template_loses_the_reasoning(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    """The defect this package exists to avoid: TRL's default on `messages` trains on the answer alone."""
    import datasets
    from trl import SFTConfig, SFTTrainer

    row = make_row("How do I boil an egg?", "It takes eight minutes.", "Boil it.")
    content = f"<think>\n{row.reasoning}\n</think>\n\n{row.answer}"
    messages = [{"role": "user", "content": row.prompt}, {"role": "assistant", "content": content}]
    stock = SFTTrainer(
        model=str(models["r1"]),
        args=SFTConfig(output_dir=str(tmp_path), bf16=False, use_cpu=True, report_to="none"),
        train_dataset=datasets.Dataset.from_list([{"messages": messages}]),
    )
    labels = next(iter(stock.get_train_dataloader()))["labels"][0]
    learned = tokenizers["r1"].decode(labels[labels != IGNORED])
    assert row.answer in learned
    assert "eight minutes" not in learned


@pytest.mark.parametrize("family", ["r1", "qwen3"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_trains_and_leaves_a_model_folder_with_its_manifest(
    models: dict[str, Path], mix: Path, tmp_path: Path, family: str, method: str
) -> None:
    from curation.engines.weights import load_model, load_tokenizer, locate

    out = tmp_path / "run"
    manifest = train(config(models[family], mix, out, method=method))
    assert manifest.counts.model_dump(include={"rows", "kept"}) == {"rows": 24, "kept": 24}
    assert manifest.counts.balance == 0
    assert manifest.summary["mix_id"] == read_mix(mix).mix_id
    assert str(tmp_path) not in manifest.model_dump_json()
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in metrics if "loss" in m] == [1, 2, 3, 4]
    found = locate(str(out))
    assert (found.adapter_base is not None) == (method == "lora")
    assert load_tokenizer(found).chat_template == load_tokenizer(locate(str(models[family]))).chat_template
    assert load_model(found, "float32").num_parameters() > 0
    assert not list(out.rglob("*.bin")) and not list(out.rglob("*.pt"))  # no pickle is left


def test_training_moves_the_weights_and_lowers_the_loss(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    train(config(models["own"], mix, tmp_path / "run", max_steps=20, learning_rate=5e-3))
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [m["loss"] for m in metrics if "loss" in m]
    assert losses[-1] < losses[0] - 1
    assert not same(weights(tmp_path / "run" / "model"), weights(models["own"]))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "packing"), [("full", False), ("lora", False), ("full", True)])
def test_a_killed_run_goes_on_to_the_same_weights(
    models: dict[str, Path], mix: Path, tmp_path: Path, method: str, packing: bool
) -> None:
    settings = {"method": method, "packing": packing, "max_steps": 12, "save_steps": 3, "learning_rate": 5e-3}
    train(config(models["own"], mix, tmp_path / "whole", **settings))

    killed = config(models["own"], mix, tmp_path / "killed", **settings)
    path = tmp_path / "killed.yaml"
    path.write_text(json.dumps(killed.model_dump(mode="json")))
    kill_after_checkpoint(path, tmp_path / "killed")
    assert not (tmp_path / "killed" / "manifest.json").exists()
    resumed = run(path)

    assert same(weights(tmp_path / "whole" / "model"), weights(tmp_path / "killed" / "model"))
    assert resumed.summary["steps"] == 12
    lines = [json.loads(line) for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 13))
    whole = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("num_tokens") for line in lines] == [line.get("num_tokens") for line in whole]


def kill_after_checkpoint(path: Path, out: Path) -> None:
    """Run `sft run` until it has a checkpoint and has gone on from it, and stop it dead."""

    class Dies(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 5:
                die()

    usual = trainer.build

    def build(*given: Any) -> Any:
        built = usual(*given)
        built.add_callback(Dies)
        return built

    def work() -> None:
        trainer.build = build
        run(path)

    killed_in(work)
    assert [p.name for p in (out / "checkpoints").glob("checkpoint-*")] == ["checkpoint-3"]


def test_a_finished_run_is_not_trained_again(models: dict[str, Path], mix: Path, tmp_path: Path) -> None:
    first = train(config(models["own"], mix, tmp_path / "run"))
    before = (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns
    assert train(config(models["own"], mix, tmp_path / "run")) == first
    assert (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_a_run_from_before_a_setting_was_there_is_the_run_with_its_default(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    first = train(config(models["own"], mix, tmp_path / "run"))
    marker = tmp_path / "run" / "run.json"
    there = json.loads(marker.read_text())
    del there["config"]["packing"]
    marker.write_text(json.dumps(there))
    assert train(config(models["own"], mix, tmp_path / "run")) == first
    with pytest.raises(RecipeError, match="different packing"):
        train(config(models["own"], mix, tmp_path / "run", packing=True))


def test_refuses_to_train_unless_every_row_is_proven(models: dict[str, Path], tmp_path: Path) -> None:
    bad = make_row("Hi", "One </think> two.", "Fine.", 1)
    mix = write_mix(tmp_path / "mix", [*sample_rows(), bad])
    with pytest.raises(RenderError, match=bad.row_id):
        train(config(models["r1"], mix, tmp_path / "run"))
    assert not (tmp_path / "run" / "model").exists()


def test_overlong_rows_stop_the_run_or_are_left_out_with_a_count(
    models: dict[str, Path], tmp_path: Path
) -> None:
    long = make_row("Hi", "So it goes. " * 200, "Fine.", 1)
    mix = write_mix(tmp_path / "mix", [*sample_rows(), long])
    with pytest.raises(
        RenderError, match=r"1 rows fail: fits into max_length \(longest \d+, max_length 512\)"
    ):
        train(config(models["r1"], mix, tmp_path / "run"))
    counts = train(config(models["r1"], mix, tmp_path / "other", overlong="drop")).counts
    assert (counts.rows, counts.kept, counts.filtered, counts.balance) == (25, 24, {"overlong": 1}, 0)


def test_says_what_is_wrong_with_a_mix(models: dict[str, Path], mix: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a mix.*curate build-mix"):
        train(config(models["r1"], tmp_path / "nowhere", tmp_path / "run"))
    with pytest.raises(DataError, match="the mix has no rows"):
        train(config(models["r1"], write_mix(tmp_path / "empty", []), tmp_path / "run"))
    (mix / "data" / "train-00000-of-00001.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"not the rows of a mix.*build the mix again"):
        train(config(models["r1"], mix, tmp_path / "run"))


def test_a_mix_changed_after_it_was_built_is_refused(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    write_mix(tmp_path / "other", sample_rows(12))
    (tmp_path / "other" / "data" / "train-00000-of-00001.parquet").rename(
        mix / "data" / "train-00000-of-00001.parquet"
    )
    with pytest.raises(DataError, match="changed after the build"):
        train(config(models["r1"], mix, tmp_path / "run"))


def test_says_what_is_wrong_with_a_model(mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt(model: Path | str, **settings: Any) -> str:
        with pytest.raises(EngineError) as error:
            train(config(model, mix, tmp_path / "run", **settings))  # type: ignore[arg-type]
        return str(error.value)

    assert "no such folder" in attempt(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no config.json" in attempt(tmp_path / "empty")
    assert "pinned revision" in attempt("some-org/some-model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    unreachable = attempt("some-org/some-model", revision="0" * 40)
    assert "cannot be fetched from the hub" in unreachable and "name its folder instead" in unreachable


def test_a_folder_of_something_else_is_never_trained_into(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(CorpusError, match="is not empty"):
        train(config(models["own"], mix, tmp_path / "run"))
    train(config(models["own"], mix, tmp_path / "first"))
    with pytest.raises(RecipeError, match="different learning_rate"):
        train(config(models["own"], mix, tmp_path / "first", learning_rate=2e-3))


def test_reports_every_fault_of_a_config_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: m\nmix: x\nout: o\nlearning_rate: fast\nmethod: dora\nepochs: 3\n")
    with pytest.raises(RecipeError) as error:
        run(path)
    message = str(error.value)
    assert f"{path}:4: learning_rate" in message
    assert f"{path}:5: method" in message
    assert f"{path}:6: epochs: unknown field" in message


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("study-full", 1),
        ("study-lora", 1),
        ("study-qlora", 1),
        ("study-8b", 8),
        ("study-14b", 8),
        ("study-32b", 8),
    ],
)
def test_the_shipped_configs_are_the_studys_settings(name: str, devices: int) -> None:
    from importlib.resources import files

    from curation.recipe import load_recipe

    path = Path(str(files("sft") / "recipes" / f"{name}.yaml"))
    settings = load_recipe(path, TrainConfig).recipe
    assert settings.per_device_train_batch_size * settings.gradient_accumulation_steps * devices == 48
    assert (settings.lr_scheduler_type, settings.num_train_epochs, settings.warmup_steps) == ("cosine", 1, 0)
    assert (settings.max_length, settings.seed, settings.bf16, settings.gradient_checkpointing) == (
        4096,
        42,
        True,
        True,
    )


@pytest.mark.parametrize("name", ["fsdp2", "zero2", "zero3"])
def test_the_shipped_accelerate_configs_are_read_by_accelerate(name: str) -> None:
    from importlib.resources import files

    from accelerate.commands.config.config_args import load_config_from_file

    found = load_config_from_file(str(files("sft") / "recipes" / "accelerate" / f"{name}.yaml"))
    assert (found.num_processes, found.mixed_precision) == (8, "bf16")


def test_a_pattern_of_modules_that_is_no_regular_expression_is_named(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    settings = config(models["own"], mix, tmp_path / "run", method="lora", lora={"target_modules": "(q_proj"})
    with pytest.raises(RecipeError, match=r"lora.target_modules: no regular expression"):
        train(settings)


@pytest.mark.parametrize("wanted", [["q_proj", "lm_head"], ".*(q_proj|lm_head)"])
def test_an_adapter_of_the_output_layer_is_refused_with_the_setting_to_change(
    models: dict[str, Path], mix: Path, tmp_path: Path, wanted: str | list[str]
) -> None:
    settings = config(models["own"], mix, tmp_path / "run", method="lora", lora={"target_modules": wanted})
    with pytest.raises(RecipeError, match=r"lora.target_modules: lm_head is the output layer.*leave it out"):
        train(settings)
