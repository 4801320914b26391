"""`sft families` on templates that the installed TRL packages, and on what is told beside them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.errors import RecipeError
from sft.cli import app
from sft.proof.table import families
from tests.sft.conftest import real_template
from tests.sft.proof.test_families import LATE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "qwen3",
        "qwen3_5_nothink",
        "glm4moe",
        "deepseek_r1_distill",
        "gptoss",
        "phi3",
        "gemma4",
        "idefics3",
    ):
        (tmp_path / f"{name}.jinja").write_text(real_template(name), encoding="utf-8")
    (tmp_path / "late.jinja").write_text(LATE)
    (tmp_path / "late.yaml").write_text('markup: {before: "<think>\\n", between: "\\n</think>\\n\\n"}\n')
    return tmp_path


def test_each_template_is_derived_told_assumed_or_rejected(folder: Path) -> None:
    found = {one.name: one for one in families(folder)}
    assert {name: one.verdict for name, one in found.items()} == {
        "deepseek_r1_distill": "assumed", "gemma4": "derived", "glm4moe": "derived", "gptoss": "derived", "idefics3": "rejected",
        "late": "told", "phi3": "assumed", "qwen3": "derived", "qwen3_5_nothink": "derived",
    }  # fmt: skip
    assert (
        found["glm4moe"].turn == "\n<think>R</think>\nA<|endoftext|>"
    )  # its template names no end of a turn
    assert found["gptoss"].turn.endswith("A<|return|>") and found["phi3"].turn.endswith("A<|end|>")
    assert found["qwen3_5_nothink"].settings == {"enable_thinking": True}
    assert found["late"].turn == "\nR\n</think>\n\nA\n<|im_end|>"
    assert found["qwen3"].takes == ("system", "turns", "tools") and found["deepseek_r1_distill"].takes == (
        "system",
        "turns",
    )
    assert all(one.read for one in found.values() if one.verdict != "rejected")


def test_the_command_prints_and_writes_them(folder: Path, tmp_path: Path) -> None:
    for name in ("gptoss", "gemma4", "glm4moe", "phi3", "qwen3_5_nothink"):
        (folder / f"{name}.jinja").unlink()
    done = CliRunner().invoke(
        app, ["families", str(folder), "--out", str(tmp_path / "families.md"), "--json"]
    )
    assert [one["verdict"] for one in json.loads(done.stdout)["families"]] == [
        "assumed",
        "rejected",
        "told",
        "derived",
    ]
    table = (tmp_path / "families.md").read_text(encoding="utf-8")
    assert "| qwen3 | derived: its finished turn | `<think>\\nR\\n</think>\\n\\nA<\\|im_end\\|>` |" in table
    (folder / "late.yaml").write_text("marks: {}")
    with pytest.raises(RecipeError, match=r"late\.yaml:1: marks"):
        families(folder)
