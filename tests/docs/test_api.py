"""The examples of docs/api.md run as they stand, and the page names every method with the parameters it has."""

import inspect
import re
from importlib.resources import files
from pathlib import Path

import pytest

import sft
from curation import Corpus, Mix
from sft.tiny import make_model, make_tokenizer, own_family

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
SAMPLES = Path(str(files("curation"))) / "samples"
CONFIG = "{model: models/tiny, mix: mixes/mine, out: runs/OUT, max_steps: 1, bf16: false, gradient_accumulation_steps: 1}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the examples read."""
    monkeypatch.chdir(tmp_path)
    for name in ("traces.jsonl", "eval_prompts.jsonl"):
        lines = (SAMPLES / name).read_text(encoding="utf-8").splitlines()
        (tmp_path / name).write_text("\n".join(lines[:: len(lines) // 24]), encoding="utf-8")
    (tmp_path / "my-mix.yaml").write_text("name: mine\nparts: {all: {where: 'true'}}\n")
    texts = [(SAMPLES / "traces.jsonl").read_text(encoding="utf-8")]
    make_model(tmp_path / "models" / "tiny", make_tokenizer(own_family(), texts, 512), hidden=32, layers=1)
    (tmp_path / "config.yaml").write_text(CONFIG.replace("OUT", "second"))
    (tmp_path / "first.yaml").write_text(CONFIG.replace("OUT", "first"))
    return tmp_path


def test_the_examples_run(place: Path) -> None:
    first, second = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(compile(first, "api.md", "exec"), names)
    run = sft.train(place / "first.yaml")
    names["Corpus"]("eval").ingest("eval_prompts.jsonl")
    sft.score(run, "eval", engine="transformers", max_new_tokens=16)
    exec(compile(second, "api.md", "exec"), names)
    assert len(names["dataset"]["train"]) == len(names["mix"]) > 0
    assert names["comparison"].models == ["second", "first"] and names["scores"].suites


CALLS = {
    **{name: getattr(Corpus, name) for name in vars(Corpus) if not name.startswith("_")},
    **{name: getattr(Mix, name) for name in ("rows", "why", "diff", "export", "to_dataset")},
    **{name: getattr(sft, name) for name in ("check", "train", "score", "compare", "attribute")},
}


@pytest.mark.parametrize("name", CALLS)
def test_the_page_names_every_parameter(name: str) -> None:
    written = re.search(rf"^\| `{name}\((.*?)\)` \|", PAGE, re.MULTILINE)
    assert written, name
    given = re.findall(r"(?:^|, )\*?(\w+)(?==|,|$)", re.sub(r"\([^)]*\)?", "", written[1]))
    assert given == [p for p in inspect.signature(CALLS[name]).parameters if p != "self"]
