"""Folders for Axolotl and LLaMA-Factory: documented keys only, paths in the folder, and the tokens that `sft run` trains on."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from curation.corpus.store import write_parquet
from curation.mix import folder
from curation.release import trainers
from schemas.conversation import Turn
from schemas.errors import CorpusError, DataError, RecipeError, UsageError
from schemas.tables import TALK_ROWS
from sft.proof.render import render
from tests.command_line import curate
from tests.sft.conftest import make_row, sample_rows, tokenizers, write_mix  # noqa: F401 - fixture

TURNS = (
    Turn(role="system", content="Be brief."),
    Turn(role="user", content="Name a colour."),
    Turn(role="assistant", content="Red.", reasoning="Any will do."),
    Turn(role="user", content="Another?"),
)
TALK = make_row("Another?", "Not red.", "Blue.").model_copy(update={"turns": TURNS})
DATASET_KEYS = {  # docs.axolotl.ai, "Config Reference": datasets
    "path", "ds_type", "split", "type", "chat_template", "chat_template_jinja", "field_messages", "message_property_mappings",
    "field_thinking", "template_thinking_key", "roles_to_train", "train_on_eos",
}  # fmt: skip
AXOLOTL_KEYS = {  # the same page
    "base_model", "learning_rate", "lr_scheduler", "warmup_steps", "weight_decay", "max_grad_norm", "num_epochs", "micro_batch_size",
    "gradient_accumulation_steps", "optimizer", "bf16", "gradient_checkpointing", "seed", "logging_steps", "train_on_inputs",
    "excess_length_strategy", "sample_packing", "output_dir", "dataset_prepared_path", "val_set_size", "chat_template",
    "chat_template_jinja", "sequence_len", "datasets", "test_datasets", "evals_per_epoch",
}  # fmt: skip
INFO_KEYS = {"file_name", "formatting", "columns", "tags"}  # LLaMA-Factory, data/README.md
TAGS = {
    "role_tag",
    "content_tag",
    "user_tag",
    "assistant_tag",
    "system_tag",
    "observation_tag",
    "function_tag",
}


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    """A mix with a conversation and a validation split."""
    made = write_mix(tmp_path / "mix", [TALK, *sample_rows(6)])
    held_out = [row.model_dump() for row in (TALK, *sample_rows(12)[-2:])]
    write_parquet(made / "data" / folder.VALIDATION_SHARD, pa.Table.from_pylist(held_out, TALK_ROWS))
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def settings(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("template", ["think", "deepseek-r1", "qwen3", "gpt-oss"])
def test_axolotl_gets_documented_keys_and_files_that_lie_in_the_folder(
    mix: Path, tmp_path: Path, template: Any
) -> None:
    out = tmp_path / "out"
    assert trainers.write(mix, out=out, trainer="axolotl", template=template).rows == {
        "train": 7,
        "validation": 3,
    }
    config = settings(out / "axolotl.yaml")
    assert config.keys() <= AXOLOTL_KEYS and not config["val_set_size"]
    (train,), (held_out,) = config["datasets"], config["test_datasets"]
    assert train.keys() <= DATASET_KEYS and held_out.keys() <= DATASET_KEYS
    named = [each.get(key) for each in (train, held_out, config) for key in ("path", "chat_template_jinja")]
    for place in filter(None, named):
        assert place.startswith("./") and (out / place).is_file()
    assert len(lines(out / train["path"])) == 7 and len(lines(out / held_out["path"])) == 3
    assert str(tmp_path) not in (out / "axolotl.yaml").read_text()


def test_llama_factory_gets_documented_keys_and_files_that_lie_in_the_folder(
    mix: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    trainers.write(mix, out=out, trainer="llama-factory", template="qwen3")
    config, info = settings(out / "llama-factory.yaml"), json.loads((out / "dataset_info.json").read_text())
    assert (config["dataset_dir"], config["template"], config["mask_history"]) == (".", "qwen3", True)
    for name, rows in ((config["dataset"], 7), (config["eval_dataset"], 3)):
        assert info[name].keys() <= INFO_KEYS and info[name]["tags"].keys() <= TAGS
        found = lines(out / info[name]["file_name"])
        assert len(found) == rows and all(info[name]["columns"]["messages"] in line for line in found)
    assert str(tmp_path) not in (out / "llama-factory.yaml").read_text() + json.dumps(info)


@pytest.mark.parametrize(
    ("template", "family"), [("deepseek-r1", "r1"), ("qwen3", "qwen3"), ("gpt-oss", "gptoss")]
)
def test_axolotl_trains_on_the_tokens_of_sft_run(
    mix: Path,
    tmp_path: Path,
    tokenizers: dict[str, Any],  # noqa: F811 - the fixture
    template: Any,
    family: str,
) -> None:
    """As Axolotl 0.19 does where no role is trained: the prompt of all turns but the last, and loss on what the whole has beyond it."""
    tokenizer, out = tokenizers[family], tmp_path / "out"
    trainers.write(mix, out=out, trainer="axolotl", template=template)
    (described,) = settings(out / "axolotl.yaml")["datasets"]
    jinja = described.get("chat_template_jinja")
    own = (out / jinja).read_text(encoding="utf-8") if jinja else tokenizer.chat_template
    names = described["message_property_mappings"]
    for line, row in zip(lines(out / described["path"]), [TALK, *sample_rows(6)], strict=True):
        turns = [
            {key: turn[name] for key, name in names.items() if name in turn} for turn in line["messages"]
        ]
        asked, whole = (
            tokenizer.apply_chat_template(
                some, chat_template=own, add_generation_prompt=more, tokenize=True, return_dict=False
            )
            for some, more in ((turns[:-1], True), (turns, False))
        )
        want = render(tokenizer, row.prompt, row.reasoning, row.answer, row.turns)
        assert whole[: len(want.input_ids)] == want.input_ids and len(asked) == want.prompt_length


def test_without_a_validation_split_none_is_named(tmp_path: Path) -> None:
    mix = write_mix(tmp_path / "mix", sample_rows(6))
    for trainer in ("axolotl", "llama-factory"):
        out = tmp_path / trainer
        trainers.write(mix, out=out, trainer=trainer)
        text = (out / f"{trainer}.yaml").read_text()
        assert "validation" not in text and not (out / "validation.jsonl").exists()


def test_the_maximum_length_is_above_the_longest_row() -> None:
    assert trainers.room_for(100) == 4096
    assert trainers.room_for(4000) >= 4000 * 1.3 and trainers.room_for(4000) % 1024 == 0


@pytest.mark.parametrize("trainer", ["axolotl", "llama-factory"])
def test_rows_that_a_trainer_would_skip_or_change_are_named_and_nothing_is_written(
    tmp_path: Path, trainer: Any
) -> None:
    tools = json.dumps([{"type": "function", "function": {"name": "look", "parameters": {}}}])
    row = TALK.model_copy(update={"tools": tools})
    mix = write_mix(tmp_path / "mix", [row, *sample_rows(6)])
    with pytest.raises(DataError, match=f"{trainer} cannot hold 1 of 7 rows") as error:
        trainers.write(mix, out=tmp_path / "out", trainer=trainer)
    assert row.row_id in str(error.value) and not (tmp_path / "out").exists()


def test_llama_factory_would_skip_turns_that_do_not_alternate(tmp_path: Path) -> None:
    row = TALK.model_copy(update={"turns": (*TURNS, Turn(role="user", content="Please."))})
    mix = write_mix(tmp_path / "mix", [row])
    with pytest.raises(DataError, match="not pairs of question and answer"):
        trainers.write(mix, out=tmp_path / "out", trainer="llama-factory")


def test_what_cannot_be_trained_on_is_refused(mix: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="gpt-oss has not"):
        trainers.write(mix, out=tmp_path / "out", trainer="llama-factory", template="gpt-oss")
    with pytest.raises(RecipeError, match="no text to train on"):
        trainers.write(mix, out=tmp_path / "out", trainer="axolotl", redact="ids")
    with pytest.raises(UsageError, match="trainer"):
        trainers.write(mix, out=tmp_path / "out", trainer="unsloth")  # type: ignore[arg-type]
    (tmp_path / "there").mkdir()
    with pytest.raises(CorpusError, match="already there"):
        trainers.write(mix, out=tmp_path / "there", trainer="axolotl")


def test_the_command_writes_the_folder_and_says_what_is_left_to_set(mix: Path, tmp_path: Path) -> None:
    done = curate("export", mix, "--format", "axolotl", "--template", "qwen3", "--out", "axo", cwd=tmp_path)
    assert done.returncode == 0 and "7 rows of train and 3 rows of validation" in done.stderr
    assert "set the model in axolotl.yaml" in done.stderr
    named = curate("export", mix, "--format", "llama-factory", "--out", "x.jsonl", cwd=tmp_path)
    assert named.returncode == 2 and "--out x" in named.stderr and not (tmp_path / "x.jsonl").exists()


def test_the_templates_are_part_of_the_package() -> None:
    found = {path.name for path in (files("curation.release") / "templates").iterdir()}
    assert found == {"axolotl.yaml", "llama-factory.yaml", "deepseek-r1.jinja"}
