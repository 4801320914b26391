"""`sft reproduce study`: an estimate that does nothing, settings of one's own, and the published table beside ours."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from curation.cli import app as curate
from curation.corpus.store import Store
from schemas.errors import RecipeError
from schemas.prompt import prompt_id
from sft import reproduce
from sft.cli import app
from sft.comparison.results import ScoredModel
from sft.comparison.stage import compare
from sft.scoring.measures import MEASURES
from sft.scoring.scores import Scores
from sft.scoring.suite_files import find
from sft.scoring.suites import ReplyOutcome, score
from tests.sft.comparison.test_published import TABLE


def put(corpus: Store, **sets: str) -> None:
    rows = [
        {"prompt_id": prompt_id(f"{kind} {name} {n}"), "text": f"{kind} {name} {n}", "kind": kind, "source": name.replace("_", "-")}
        for name, kind in sets.items()
        for n in range(5)
    ]  # fmt: skip
    corpus.append_rows("prompts", rows)


def model(name: str, attacks: int, refusals: int) -> ScoredModel:
    found, suites = [], []
    for suite, head, k, n in (
        ("advbench", "does_not_refuse", attacks, 50),
        ("xstest", "refuses", refusals, 150),
    ):
        replies = [
            ReplyOutcome(suite, f"{suite}{i}", 0, None, "none", "closed", {MEASURES[head].title: i < k})
            for i in range(n)
        ]
        suites.append(score(find(suite), replies))
        found += replies
    return ScoredModel(name, Scores(model=f"{name}@1", mix_id=None, judge="rules@1", suites=suites), found)


def test_an_estimate_counts_everything_and_does_nothing(
    corpus: Store, models: dict[str, Path], tmp_path: Path
) -> None:
    put(corpus, advbench="harmful", xstest="benign", aime_24="math")
    arguments = [
        "reproduce", "study", "--model", str(models["own"]), "--corpus", str(corpus.root), "--evaluation", str(corpus.root),
        "--out", str(tmp_path / "out"), "--limit", "3", "--safety-rows", "8", "--benign-rows", "4", "--dry-run", "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    found: dict[str, Any] = json.loads(result.stdout)
    assert (
        found["mixes"] == dict.fromkeys([f"study-{one}" for one in list(TABLE)[1:]], 12)
        and found["models"] == 7
    )
    assert found["suites"]["advbench"] == {"prompts": 3, "replies": 3, "most_tokens": 3 * 4096}
    assert found["suites"]["aime-24"] == {"prompts": 3, "replies": 12, "most_tokens": 12 * 32768}
    assert "paper says 48 rows a step" in result.stderr and not (tmp_path / "out").exists()


def test_settings_of_ones_own_replace_the_studys_and_faults_are_named(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("method: lora\nlearning_rate: 1e-4\nout: elsewhere\n")
    found = reproduce.recipe("study", "m", Path("c"), Path("e"), Path("o"), {("score", "limit"): 3}, own)
    assert (found.train["method"], found.train["model"], found.train["num_train_epochs"]) == ("lora", "m", 1)
    assert (found.out, found.score.corpus, found.score.limit, found.score.protocol) == ("o", "e", 3, "study")
    assert "out" not in found.train
    with pytest.raises(RecipeError, match="limit"):
        reproduce.recipe("study", "m", Path("c"), Path("e"), Path("o"), {("score", "limit"): 0})


def test_the_published_table_is_the_papers() -> None:
    columns = ("MATH-500", "AIME 2024", "LiveCodeBench", "AdvBench", "PAP", "PAIR (transfer)", "XSTest")
    order = ("AdvBench", "PAP", "PAIR (transfer)", "XSTest", "MATH-500", "AIME 2024", "LiveCodeBench")
    table = reproduce.published("study")
    assert tuple(table.asked) == columns
    for name, rates in TABLE.items():
        row = table.rates["untrained" if name == "raw" else f"study-{name}"]
        assert tuple(row[column] for column in order) == rates


def test_ours_stands_beside_the_published_one_and_what_is_missing_is_said() -> None:
    ours = compare([model("untrained", 30, 2), model("study-improved", 20, 10)])
    text = reproduce.beside(ours, reproduce.published("study"))
    heading, _, untrained, improved = text.splitlines()[:4]
    assert heading == "| model | AdvBench, here | AdvBench, published | XSTest, here | XSTest, published |"
    assert "30/50, 100.0 % | 60.0 (n = 50, within)" in untrained and "4.0 (n = 50, outside)" in improved
    assert "Not scored here: MATH-500, AIME 2024, LiveCodeBench, PAP, PAIR (transfer)." in text


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """The bundled samples, every strategy, with a label of safety for each."""
    samples = files("curation") / "samples" / "traces.jsonl"
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    safe = tmp_path / "safe.jsonl"
    labels = [{"source_id": row["id"], "pattern": "unsafe", "annotator": "author@1", "label": False} for row in rows]  # fmt: skip
    safe.write_text("".join(json.dumps(label) + "\n" for label in labels))
    for given in (str(samples), str(safe)):
        assert (
            CliRunner().invoke(curate, ["ingest", given, "--corpus", str(tmp_path / "traces")]).exit_code == 0
        )
    return tmp_path / "traces"


@pytest.mark.slow
def test_the_whole_chain_ends_with_our_table_beside_the_published_one_and_resumes(
    corpus: Store, traces: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    put(corpus, advbench="harmful", xstest="benign")
    own, out = tmp_path / "own.yaml", tmp_path / "out"
    own.write_text(
        "max_steps: 1\nper_device_train_batch_size: 2\ngradient_accumulation_steps: 1\nbf16: false\nmax_length: 512\n"
    )
    arguments = [
        "reproduce", "study", "--model", str(models["own"]), "--corpus", str(traces), "--evaluation", str(corpus.root), "--out", str(out),
        "--training", str(own), "--safety-rows", "2", "--benign-rows", "1", "--limit", "1", "--max-new-tokens", "4",
        "--engine", "transformers",
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ")[0].strip("| ") for line in (out / "published.md").read_text().splitlines()[2:9]]
    assert rows == ["untrained", *(f"study-{one}" for one in list(TABLE)[1:])]
    assert "Not scored here: MATH-500" in (out / "published.md").read_text()
    for row in rows[1:]:
        assert (out / "mixes" / row / "manifest.json").is_file()
        assert (out / "runs" / row / "seed-42" / "scores.json").is_file()
    assert {"table.md", "table.csv", "compare.html"} <= {one.name for one in out.iterdir()}
    page = (out / "compare.html").read_text()
    assert len(set(re.findall(r'<tr class="(s\d)"><td><span class="dot">', page))) == 7
    assert "Nothing to compare" in page and "<code>curate why</code>" in page
    made = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("model.safetensors")}
    assert len(made) == 6 and CliRunner().invoke(app, arguments).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("model.safetensors")} == made
