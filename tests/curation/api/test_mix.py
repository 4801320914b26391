"""`Mix`: a built mix from Python."""

import json
from pathlib import Path

import pytest

from curation import Corpus, Mix
from schemas.errors import DataError, RecipeError
from tests.curation.api.test_corpus import MIX, corpus  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def mix(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Mix:  # noqa: F811
    folder = tmp_path_factory.mktemp("mix")
    (folder / "mix.yaml").write_text(MIX + "validation: 0.2\n")
    return corpus.build_mix(folder / "mix.yaml", out=folder / "mix")


def test_a_folder_that_is_no_mix_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a mix"):
        Mix(tmp_path)


def test_why_tells_where_a_row_came_from_with_its_texts_masked(mix: Mix) -> None:
    row = next(iter(mix.rows()))
    found = mix.why(row["row_id"])
    assert found["row"]["trace_id"] == row["trace_id"] and found["traces"][0]["annotations"]
    assert found["row"]["prompt"].startswith("[masked: ") and row["prompt"] not in found._repr_html_()
    assert mix.why(row["row_id"], show=True)["row"]["prompt"] == row["prompt"]


def test_why_needs_the_corpus_and_says_how_to_name_it(mix: Mix) -> None:
    alone = Mix(mix.folder)
    with pytest.raises(DataError, match=r"corpus=\.\.\."):
        alone.why("anything")
    with pytest.raises(DataError, match="no trace, row or quarantined row"):
        mix.why("anything")


def test_diff_takes_a_mix_or_a_folder(mix: Mix, corpus: Corpus, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "math.yaml").write_text("name: math\nparts: {math: {where: \"kind = 'math'\"}}\n")
    other = corpus.build_mix(tmp_path / "math.yaml", out=tmp_path / "other")
    found = mix.diff(other)
    assert found == mix.diff(other.folder) and found["counts"]["b"] == len(other) and not found["identical"]
    assert "<td>removed</td>" in found._repr_html_() and mix.diff(mix)["identical"]


def test_a_dataset_has_the_splits_and_the_view_asked_for(mix: Mix) -> None:
    rows = mix.to_dataset()
    assert {name: len(split) for name, split in rows.items()} == {
        "train": len(mix), "validation": len(mix.rows("validation")),
    }  # fmt: skip
    first, message = rows["train"][0], mix.to_dataset("messages")["train"][0]["messages"]
    assert message[0]["content"] == first["prompt"] and message[1]["reasoning_content"] == first["reasoning"]
    assert set(mix.to_dataset("prompt_completion")["train"].features) == {"row_id", "prompt", "completion"}


def test_export_writes_another_trainers_format(mix: Mix, tmp_path: Path) -> None:
    path = mix.export(tmp_path / "rows.jsonl", template="qwen3")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(mix) and set(lines[0]) == {"row_id", "messages"}
    with pytest.raises(RecipeError, match="xml"):
        mix.export(tmp_path / "rows.xml", format="xml")


def test_a_notebook_shows_the_counts_of_a_mix(mix: Mix) -> None:
    assert f"{len(mix):,} rows" in repr(mix)
    assert all(f"<td>{text}</td>" in mix._repr_html_() for text in ("safety", "math", "improved"))
