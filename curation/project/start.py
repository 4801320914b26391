"""`curate init`: a folder with everything that a first mix takes, each file commented: change it and run it."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from curation.corpus.store import write_file
from schemas.errors import CorpusError

FILES = files("curation.project") / "files"
SAMPLES = files("curation") / "samples"
CONTENT: dict[str, Traversable] = {
    "README.md": FILES / "README.md",
    ".gitignore": FILES / "gitignore",
    "pipeline.yaml": FILES / "pipeline.yaml",
    "recipes/first-mix.yaml": FILES / "recipes" / "first-mix.yaml",
    "data/samples.jsonl": SAMPLES / "traces.jsonl",
    "data/eval.jsonl": SAMPLES / "eval_prompts.jsonl",
}
"""File of the project -> what is in it."""


def make(folder: Path) -> list[Path]:
    """Write the files of a project; returns their paths.

    Args:
        folder: made where there is none; other files in it stay as they are.

    Raises:
        CorpusError: if one of the files is already there, naming all of those; then nothing is written.
    """
    targets = {folder / name: content for name, content in CONTENT.items()}
    if there := [str(path) for path in targets if path.exists() or path.is_symlink()]:
        raise CorpusError(f"already there: {', '.join(there)}; name a new folder, or move these away")
    for path, content in targets.items():
        write_file(path, content.read_bytes())
    return list(targets)
