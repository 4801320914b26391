"""Redaction, the staged folder, and the push, at the boundary of huggingface_hub."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curation.mix import folder
from curation.release import publish, redaction
from schemas import DataError

RECIPE = (
    "name: x\nvalidation: 0.3\nlicenses: {test: apache-2.0}\ntokenizer: null\n"
    "parts:\n  a: {where: kind = 'harmful'}\n  b: {where: kind = 'math'}\n"
)


class Hub:
    """Stands for `HfApi`: keeps what it was told."""

    def __init__(self, public_already: bool = False, error: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.sent: dict[str, bytes] = {}
        self.public_already, self.error = public_already, error

    def create_repo(self, name: str, *, repo_type: str, private: bool, exist_ok: bool) -> str:
        if self.error:
            raise self.error
        self.calls.append(f"create {name} {repo_type} private={private}")
        return f"https://hub/datasets/{name}"

    def repo_info(self, name: str, *, repo_type: str) -> Any:
        return SimpleNamespace(private=not self.public_already)

    def upload_folder(self, *, folder_path: str, repo_id: str, repo_type: str, commit_message: str) -> None:
        self.calls.append(f"upload {repo_id} {repo_type}")
        root = Path(folder_path)
        self.sent = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    found = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: found)
    return found


def yes(offer: publish.PublicationPlan) -> bool:
    return True


def test_nothing_is_sent_before_a_yes(build, tmp_path: Path, hub: Hub) -> None:
    build(RECIPE)
    asked: list[publish.PublicationPlan] = []

    def no(offer: publish.PublicationPlan) -> bool:
        asked.append(offer)
        return False

    assert publish.publish(tmp_path / "mix", "me/x", tier="full", private=True, confirm=no) is None
    assert hub.calls == []
    text = asked[0].describe()
    assert text.startswith("Publish 80 rows to the private dataset me/x") and "data/validation" in text


def test_harmful_rows_are_counted_in_every_split_and_tier(build, tmp_path: Path, hub: Hub) -> None:
    build(RECIPE)
    splits = folder.read_splits(tmp_path / "mix")
    harmful = sum(rows["kind"].to_pylist().count("harmful") for rows in splits.values())
    asked: list[publish.PublicationPlan] = []
    for tier in redaction.TIERS:
        publish.publish(
            tmp_path / "mix", "me/x", tier=tier, private=True, confirm=lambda offer: bool(asked.append(offer))
        )
    assert len(splits) == 2 and {offer.rows for offer in asked} == {80}
    assert {offer.harmful for offer in asked} == {harmful}


def test_the_whole_folder_is_sent(build, tmp_path: Path, hub: Hub) -> None:
    build(RECIPE)
    assert (
        publish.publish(tmp_path / "mix", "me/x", tier="full", private=True, confirm=yes)
        == "https://hub/datasets/me/x"
    )
    assert hub.calls == ["create me/x dataset private=True", "upload me/x dataset"]
    mine = {
        str(p.relative_to(tmp_path / "mix")): p.read_bytes()
        for p in (tmp_path / "mix").rglob("*")
        if p.is_file()
    }
    assert hub.sent.keys() == mine.keys()
    assert all(hub.sent[name] == mine[name] for name in mine if name != "manifest.json")


def test_a_repository_that_is_public_already_gets_nothing_private(build, tmp_path: Path, hub: Hub) -> None:
    build(RECIPE)
    hub.public_already = True
    with pytest.raises(DataError, match="already exists and is public; nothing was sent"):
        publish.publish(tmp_path / "mix", "me/x", tier="full", private=True, confirm=yes)
    assert not hub.sent


def test_no_token_stands_in_an_error(build, tmp_path: Path, hub: Hub) -> None:
    build(RECIPE)
    hub.error = RuntimeError("401 for Authorization: Bearer hf_abcDEF123 and hf_abcDEF123")
    with pytest.raises(DataError, match="the hub rejected") as caught:
        publish.publish(tmp_path / "mix", "me/x", tier="full", private=True, confirm=yes)
    assert "hf_abc" not in str(caught.value) and caught.value.__cause__ is None


def test_a_mix_that_was_changed_is_not_published(build, tmp_path: Path, hub: Hub) -> None:
    build(RECIPE)
    (tmp_path / "mix" / "README.md").write_text("MIT licence, all mine")
    with pytest.raises(DataError, match=r"changed since it was built: README\.md"):
        publish.publish(tmp_path / "mix", "me/x", tier="full", private=True, confirm=yes)


@pytest.mark.parametrize("tier", redaction.TIERS)
def test_datasets_loads_every_tier_with_both_splits(
    build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tier: redaction.Tier
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset
    from huggingface_hub import DatasetCard

    _, rows = build(RECIPE)
    out = publish.stage(tmp_path / "mix", tmp_path / tier, tier)
    data = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert set(data) == {"train", "validation"}
    assert data["train"]["trace_id"] == [row["trace_id"] for row in rows]
    card = DatasetCard.load(out / "README.md")
    assert card.data.license == "apache-2.0"
    assert "| a | test |" in card.text and "## Known limits" in card.text
    harmful = [row["prompt"] for row in rows if row["kind"] == "harmful"]
    found = "".join(
        path.read_bytes().decode("latin-1")
        for path in out.rglob("*")
        if path.is_file() and path.suffix != ".parquet"
    )
    texts = json.dumps([split.to_list() for split in data.values()])
    assert any(prompt in found + texts for prompt in harmful) == (tier == "full")
    assert ("Let me think" in texts) == (tier != "ids")


def test_a_masked_mix_is_a_mix_with_an_id_of_its_own(build, tmp_path: Path) -> None:
    manifest, _ = build(RECIPE)
    out = publish.stage(tmp_path / "mix", tmp_path / "masked", "masked")
    found = folder.read_manifest(out)
    assert found.summary["mix_id"] == folder.mix_id(folder.read_rows(out)) != manifest.summary["mix_id"]
    assert found.summary["redacted_from"] == manifest.summary["mix_id"]


def test_no_path_of_this_machine_is_published(build, tmp_path: Path) -> None:
    form = tmp_path / "secret-folder" / "form.jinja"
    form.parent.mkdir()
    form.write_text("{{ conclusion }}")
    build(f"name: x\nparts:\n  a: {{where: kind = 'harmful', rewrite: {form}}}\n")
    for tier in redaction.TIERS:
        out = publish.stage(tmp_path / "mix", tmp_path / tier, tier)
        assert "secret-folder" not in "".join(
            (out / name).read_text() for name in ("manifest.json", "README.md")
        )


ROW = {"kind": "harmful", "prompt": "How do I ride the tram without a ticket today?", "answer": "No."}


def test_masking_takes_quotes_of_the_prompt_out_of_the_reasoning() -> None:
    reasoning = 'They ask "how do I ride the TRAM without a ticket"; riding trams is fine.'
    found = redaction.masked({**ROW, "reasoning": reasoning})
    assert found["prompt"] == "[masked: 46 characters]"
    assert found["reasoning"] == 'They ask "▒▒▒ ▒▒ ▒ ▒▒▒▒ ▒▒▒ ▒▒▒▒ ▒▒▒▒▒▒▒ ▒ ▒▒▒▒▒▒"; riding trams is fine.'


def test_harmless_rows_stay_readable_and_unlabelled_ones_do_not() -> None:
    assert redaction.masked({**ROW, "reasoning": "r", "kind": "benign"})["prompt"] == ROW["prompt"]
    assert redaction.masked({**ROW, "reasoning": "r", "kind": None})["prompt"].startswith("[masked")
