"""The notebook of docs/ runs from top to bottom, and what it shows is what comes of it today."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from nbformat import NotebookNode

from tests.docs.notebook import NOTEBOOK, execute, read


@pytest.fixture(scope="module")
def executed() -> NotebookNode:
    return execute()


def shown(notebook: NotebookNode, kind: str) -> list[str]:
    """What the project's own objects show; a data frame looks as the installed pandas likes, a dict is as long as it is."""
    outputs = (output.data for cell in notebook.cells for output in cell.get("outputs", ()))
    return [data[kind] for data in outputs if data["text/plain"].startswith("<")]


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_the_stored_outputs_are_those_of_a_run_today(executed: NotebookNode, kind: str) -> None:
    assert shown(read(), kind) == shown(executed, kind), "renew them: python -m tests.docs.notebook"
    assert len(shown(executed, kind)) >= 4


def test_no_text_of_a_harmful_prompt_and_no_place_of_a_machine_is_in_the_file() -> None:
    lines = (files("curation") / "samples" / "traces.jsonl").read_text(encoding="utf-8").splitlines()
    text = NOTEBOOK.read_text(encoding="utf-8")
    harmful = [row for row in map(json.loads, lines) if row["kind"] == "harmful"]
    assert [row["id"] for row in harmful if row["prompt"] in text or row["answer"] in text] == []
    assert str(Path.home()) not in text and "site-packages" not in text
