"""`curate export --format axolotl` and `llama-factory`: a folder that the trainer takes as it is, every split and its config.

    OUT/train.jsonl, validation.jsonl   rows as the trainer reads them
    OUT/axolotl.yaml                    its config; deepseek-r1 has chat_template.jinja beside it
    OUT/llama-factory.yaml              its config, with dataset_info.json that describes the files

Formats after their documentation (docs.axolotl.ai, "Conversation"; LLaMA-Factory, data/README.md), tried with Axolotl 0.19 and LLaMA-Factory 0.9.5.
The surprise: both leave rows out or change them where they do not understand them (LLaMA-Factory skips conversations that do not alternate, and its `openai`
format adds a system prompt; Axolotl ignores tools if only the last turn is trained). Such rows are refused here.
"""

import shutil
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from curation.corpus.store import write_file
from curation.mix import folder
from curation.release import export
from curation.release.redaction import redacted
from schemas.choices import ChatTemplate, Tier, TrainerName, check_choice
from schemas.errors import CorpusError, RecipeError
from schemas.ids import canonical_json

Files = dict[str, str]
STEP = 1024
"""Longest rows are given room in steps of so many tokens."""
LEAST = 4096
"""The study's maximum length."""
ROOM = 1.3
"""Allowance for estimated lengths and the chat template."""
KEYS: dict[ChatTemplate, str] = {"qwen3": "reasoning_content", "gpt-oss": "thinking"}
"""Keys of the reasoning in a message; other templates have it inside the content."""
NAMES: dict[ChatTemplate, str] = {"deepseek-r1": "deepseekr1", "qwen3": "qwen3", "think": "TEMPLATE"}
"""LLaMA-Factory's own templates; which one is right for `think` depends on the model, and is set with it."""


class ExportedFolder(NamedTuple):
    """The result of an export for a trainer."""

    path: Path
    rows: dict[str, int]
    """Of each split."""


def write(
    mix: Path, *, out: Path, trainer: TrainerName, template: ChatTemplate = "think", redact: Tier = "full"
) -> ExportedFolder:
    """Write a mix with all its splits for a trainer.

    Raises:
        UsageError: for an unknown trainer, template or tier.
        RecipeError: if the trainer has no place for what the template needs, or there would be no text to train on.
        DataError: if the folder is not a mix, or the trainer cannot take the conversation of a row; names the rows.
        CorpusError: if `out` is there already or cannot be written.
    """
    check_choice("trainer", trainer, TrainerName)
    check_choice("template", template, ChatTemplate)
    check_choice("redact", redact, Tier)
    if redact == "ids":
        raise RecipeError(f"{trainer}: rows of ids have no text to train on; use --redact full or masked")
    if trainer == "llama-factory" and template not in NAMES:
        raise RecipeError(
            f"llama-factory reads reasoning in think tags, which {template} has not; use axolotl or sft run"
        )
    if out.exists():
        raise CorpusError(f"{out}: already there; name a new folder, or delete this one")
    splits = {name: redacted(rows, redact).to_pylist() for name, rows in folder.read_splits(mix).items()}
    lines = {
        name: list(export.fitting(mix, rows, lambda row: TRAINERS[trainer].line(row, template), trainer))
        for name, rows in splits.items()
    }
    longest = max(row["tokens"] for rows in splits.values() for row in rows)
    building = out.parent / f".building-{out.name}"
    shutil.rmtree(building, ignore_errors=True)
    try:
        for name, written in TRAINERS[trainer].config(list(splits), template, room_for(longest)).items():
            write_file(building / name, written.encode())
        for name, found in lines.items():
            write_file(building / f"{name}.jsonl", b"".join(canonical_json(line) + b"\n" for line in found))
        folder.take_place(building, out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return ExportedFolder(out, {name: len(found) for name, found in lines.items()})


def room_for(longest: int) -> int:
    """A maximum length in tokens that the longest row fits into."""
    return max(LEAST, -int(-longest * ROOM // STEP) * STEP)


def axolotl_line(row: export.Line, template: ChatTemplate) -> export.Line:
    """Messages, with the reasoning where the template takes it."""
    if row.get("tools"):
        raise export.Unfit("it has tools")
    return export.messages(row, export.TEMPLATES[template])


def axolotl_config(splits: Sequence[str], template: ChatTemplate, length: int) -> Files:
    """Axolotl's config; no role is trained on, which makes it train on the last turn."""
    settings: dict[str, Any] = {
        **_template_of(template),
        "sequence_len": length,
        "datasets": [_described_for_axolotl("train", template)],
    }
    if "validation" in splits:
        settings |= {"test_datasets": [_described_for_axolotl("validation", template)], "evals_per_epoch": 4}
    made = {"axolotl.yaml": _filled("axolotl.yaml", settings)}
    return made | ({"chat_template.jinja": _file("deepseek-r1.jinja")} if template == "deepseek-r1" else {})


def _template_of(template: ChatTemplate) -> dict[str, str]:
    """The tokenizer's own template, but for DeepSeek-R1, whose own deletes the reasoning that is to be learned."""
    if template == "deepseek-r1":
        return {"chat_template": "jinja", "chat_template_jinja": "./chat_template.jinja"}
    return {"chat_template": "tokenizer_default"}


def _described_for_axolotl(split: str, template: ChatTemplate) -> dict[str, Any]:
    key = KEYS.get(template)
    return {
        "path": f"./{split}.jsonl",
        "ds_type": "json",
        "split": "train",  # the only split of a file
        "type": "chat_template",
        **_template_of(
            template
        ),  # again: a data set without one takes the tokenizer's, whatever stands above
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content", **({key: key} if key else {})},
        **({"field_thinking": key, "template_thinking_key": key} if key else {}),
        "roles_to_train": [],
        "train_on_eos": None,
    }


def llama_factory_line(row: export.Line, template: ChatTemplate) -> export.Line:
    """ShareGPT; its turns must alternate, or they would be skipped."""
    line = export.sharegpt(row, "think")
    said = [turn["from"] for turn in line["conversations"] if turn["from"] != "system"]
    if said != ["human", "gpt"] * (len(said) // 2) or "system" in [
        t["from"] for t in line["conversations"][1:]
    ]:
        raise export.Unfit("its turns are not pairs of question and answer")
    return line


def llama_factory_config(splits: Sequence[str], template: ChatTemplate, length: int) -> Files:
    """LLaMA-Factory's config, and the description of the files that it looks up by name."""
    described = {
        name: {
            "file_name": f"{name}.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations"},
            "tags": {
                "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt", "system_tag": "system",
            },
        }
        for name in splits
    }  # fmt: skip
    settings: dict[str, Any] = {"template": NAMES[template], "cutoff_len": length, "dataset": "train"}
    if "validation" in splits:
        settings |= {"eval_dataset": "validation", "eval_strategy": "steps", "eval_steps": 50}
    return {
        "dataset_info.json": canonical_json(described).decode() + "\n",
        "llama-factory.yaml": _filled("llama-factory.yaml", settings),
    }


class Trainer(NamedTuple):
    """How a trainer takes rows, and the files that tell it so."""

    line: Callable[[export.Line, ChatTemplate], export.Line]
    config: Callable[[Sequence[str], ChatTemplate, int], Files]


TRAINERS: dict[TrainerName, Trainer] = {
    "axolotl": Trainer(axolotl_line, axolotl_config),
    "llama-factory": Trainer(llama_factory_line, llama_factory_config),
}


def _filled(name: str, settings: dict[str, Any]) -> str:
    return _file(name) + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def _file(name: str) -> str:
    return (files("curation.release") / "templates" / name).read_text(encoding="utf-8")
