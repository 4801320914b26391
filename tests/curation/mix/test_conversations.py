"""Mixes of conversations: lengths count every turn, `why` masks every turn, every view has every turn."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.corpus.store import Store
from curation.ingest import stage as ingest
from curation.mix import build as mix
from curation.mix import folder
from sft.tiny import make_tokenizer, own_family

SAID = {"role": "assistant", "content": "<think>\nSo.\n</think>\n\nYes."}
EARLIER = "A secret tale of boats. " * 40
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"b": 1, "a": [2]}'}}
CHAT = {
    "id": "long",
    "tools": [{"name": "look", "description": "Looks."}],
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": EARLIER},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "a boat"},
        {"role": "user", "content": "Sure?"},
        SAID,
    ],
}
PLAIN = {"id": "short", "messages": [{"role": "user", "content": "Sure?"}, SAID]}


@pytest.fixture
def talks(corpus: Store, tmp_path: Path) -> Store:
    (tmp_path / "in.jsonl").write_text(json.dumps(CHAT) + "\n" + json.dumps(PLAIN))
    ingest.run(corpus.root, [str(tmp_path / "in.jsonl")], ingest.IngestRecipe(kind="harmful"))
    return corpus


def build(corpus: Store, tmp_path: Path, more: str = "") -> Path:
    (tmp_path / "r.yaml").write_text(f"name: x\n{more}parts:\n  a: {{where: 'true', take: all}}\n")
    mix.run(corpus.root, tmp_path / "r.yaml", out=tmp_path / "mix")
    return tmp_path / "mix"


def test_lengths_count_every_turn_by_estimate_and_by_tokenizer(talks: Store, tmp_path: Path) -> None:
    by_id = {row["source_id"]: row["tokens"] for row in folder.read_rows(build(talks, tmp_path)).to_pylist()}
    assert by_id["long"] > len(EARLIER) // 4 > by_id["short"]
    make_tokenizer(own_family(), [EARLIER], vocab_size=300).save_pretrained(tmp_path / "tok")
    built = build(talks, tmp_path, f"tokenizer: {tmp_path / 'tok'}\nmax_tokens: 20\n")
    assert [row["source_id"] for row in folder.read_rows(built).to_pylist()] == ["short"]
    assert folder.read_rows(built).column_names[-1] == "risky"  # without a conversation, no columns for any


def test_every_view_of_a_mix_has_every_turn(talks: Store, tmp_path: Path) -> None:
    built = build(talks, tmp_path)
    chats = pq.read_table(built / "messages" / folder.SHARD).to_pylist()
    chat = next(row for row in chats if row["tools"])
    assert [turn["role"] for turn in chat["messages"]] == [m["role"] for m in CHAT["messages"]]
    (call,) = chat["messages"][2]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"b": 1, "a": [2]}
    assert json.loads(chat["tools"]) == CHAT["tools"]
    pair = next(
        row for row in pq.read_table(built / "prompt_completion" / folder.SHARD).to_pylist() if row["tools"]
    )
    assert len(pair["prompt"]) == 5 and pair["completion"][0]["content"] == "Yes."


def test_why_masks_every_turn(talks: Store) -> None:
    for options in ([], ["--json"]):
        told = CliRunner().invoke(app, ["why", "long", "--corpus", str(talks.root), *options]).output
        assert "boat" not in told and "Be kind" not in told and "Looks" not in told
    told = CliRunner().invoke(app, ["why", "long", "--corpus", str(talks.root), "--json", "--show"]).output
    assert "A secret tale" in told
