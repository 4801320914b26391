"""Runs the notebook of docs/ in a folder of its own. `python -m tests.docs.notebook` keeps what it shows now."""

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "first-mix.ipynb"


def read() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def execute() -> NotebookNode:
    """The notebook with the outputs of a run; without warnings, which name places of this machine."""
    notebook = read()
    kept = dict(notebook.metadata)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=300, resources=place, record_timing=False).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]
    notebook.metadata = nbformat.from_dict(kept)
    return notebook


if __name__ == "__main__":
    nbformat.write(execute(), NOTEBOOK)
