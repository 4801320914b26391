"""The ten lines of docs/annotators.md, run as a stranger would."""

import json
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from annotators import catalog
from annotators.base import Annotator
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from schemas.errors import RecipeError
from tests.annotators.recorded import Recorded, make_trace
from tests.command_line import curate

DOCS = Path(__file__).resolve().parents[3] / "docs" / "annotators.md"


def example() -> str:
    found = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shouting.py").write_text(example())
    corpus = Store.create(tmp_path / "corpus")
    corpus.append_rows(
        "traces", [make_trace("Hello?", "Well.", answer).model_dump() for answer in ("HI THERE", "Hi.")]
    )
    return tmp_path


def test_the_documented_example_has_ten_lines_and_works_on_the_command_line(folder: Path) -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 10
    done = curate("annotate", "--annotator", "shouting:annotator", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["summary"]["shouting@1"] == {
        "unsafe": {"true": 1, "false": 1, "abstained": 0}
    }
    rows = select(connect(Store(folder / "corpus")), "select label from verdicts order by label").to_pylist()
    assert rows == [{"label": False}, {"label": True}]


def test_an_installed_package_announces_its_annotator_by_entry_point(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("shouting", "shouting:annotator", catalog.PLUG_INS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(catalog, "entry_points", lambda group: [entry] if group == catalog.PLUG_INS else [])
    assert catalog.get("shouting").name == "shouting@1"
    with pytest.raises(
        RecipeError, match=r"available: .*guard:NAME, judge, judge:NAME, .*shouting, .*or module:function"
    ):
        catalog.get("whispering")


def test_a_factory_with_a_parameter_is_handed_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asking_one.py").write_text(
        "from annotators.base import Annotator\n"
        "def annotator(model):\n    return Annotator(f'asking:{model.name}', ('unsafe',), lambda traces: ())\n"
    )
    monkeypatch.chdir(tmp_path)
    model: Any = Recorded({})
    assert catalog.get("asking_one:annotator", model).name == "asking:recorded@server"
    with pytest.raises(RecipeError, match="needs a model; set --model"):
        catalog.get("asking_one:annotator")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:annotator", "No module named 'no_such_module'; name a function as module:function"),
        ("shouting:whisper", "has no attribute 'whisper'"),
        ("shouting:Annotation", "returned|not a function|needs a model"),
        ("judge", "needs a model; set --model"),
        ("guard:wildguard", "needs a model; set --model"),
    ],
)
def test_faults_are_explained(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(RecipeError, match=message):
        catalog.get(name)


def test_what_is_no_annotator_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_one.py").write_text("number = 3\ndef annotator():\n    return 'rules'\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"returned str, not an annotators\.base\.Annotator"):
        catalog.get("odd_one:annotator")
    with pytest.raises(RecipeError, match="is not a function"):
        catalog.get("odd_one:number")
    assert isinstance(catalog.get("rules"), Annotator)
