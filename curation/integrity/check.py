"""`curate check`: whether everything in a corpus or a mix is whole; one line for each fault, with what to do about it."""

from pathlib import Path

from curation import console
from curation.corpus.store import MARKER
from curation.integrity import corpus, mix
from curation.integrity.damage import Checked
from schemas.errors import CorpusError
from schemas.tables import TABLES


def read(folder: Path) -> Checked:
    """Read every file of a corpus or a mix.

    Raises:
        CorpusError: if the folder is neither, or a newer version of this toolkit wrote it.
    """
    if is_corpus(folder):
        return corpus.examine(folder).checked
    if (folder / "manifest.json").exists() or (folder / "data").is_dir():
        return mix.examine(folder)
    raise CorpusError(f"{folder}: neither a corpus nor a mix; name the folder of one")


def is_corpus(folder: Path) -> bool:
    """Whether a folder is, or was, a corpus."""
    return (folder / MARKER).exists() or any((folder / table).is_dir() for table in TABLES)


def show(checked: Checked) -> None:
    """Print a line for each fault, and what was read."""
    for damage in checked.damage:
        console.result(f"{checked.folder}/{damage.file}: {damage.what}; {damage.fix}")
    rows = ", ".join(f"{count} {name}" for name, count in checked.rows.items() if count)
    console.say(f"check: {checked.files} files read, {rows or 'no rows'}; {len(checked.damage)} faults")
    if unsealed := ", ".join(f"{count} of {table}" for table, count in checked.unsealed.items()):
        console.say(
            f"check: parts without checksums ({unsealed}), in which a changed value is not noticed: an earlier version wrote them; "
            "curate compact writes small ones anew"
        )
