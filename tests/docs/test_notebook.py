"""The notebook of docs/ runs from top to bottom, and what it shows is what comes of it today."""

import json
from importlib.resources import files
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "first-mix.ipynb"


@pytest.fixture(scope="module")
def stored() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(stored: NotebookNode, tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    notebook = nbformat.from_dict(stored)
    place = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    NotebookClient(notebook, timeout=300, resources=place).execute()
    return notebook


def shown(notebook: NotebookNode, kind: str) -> list[str]:
    """What the project's own objects show of themselves; a data frame looks as the installed pandas likes."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    datas = [output.data for output in outputs if output.output_type == "execute_result"]
    return [data[kind] for data in datas if data["text/plain"].startswith("<") and kind in data]


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_the_stored_outputs_are_those_of_a_run_today(
    stored: NotebookNode, executed: NotebookNode, kind: str
) -> None:
    assert shown(stored, kind) == shown(executed, kind) and len(shown(stored, kind)) >= 4


def test_no_text_of_a_harmful_prompt_and_no_place_of_a_machine_is_in_the_file(stored: NotebookNode) -> None:
    lines = (files("curation") / "samples" / "traces.jsonl").read_text(encoding="utf-8").splitlines()
    text = NOTEBOOK.read_text(encoding="utf-8")
    harmful = [row for row in map(json.loads, lines) if row["kind"] == "harmful"]
    assert [row["id"] for row in harmful if row["prompt"] in text or row["answer"] in text] == []
    assert str(Path.home()) not in text and "site-packages" not in text
