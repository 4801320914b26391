"""Opens the inputs named on the command line: files, folders saved by `datasets`, or data sets on the hub."""

from pathlib import Path

from curation.ingest.containers.readers import file_source
from curation.ingest.containers.rows import Source
from curation.reading import near
from schemas.errors import DataError
from schemas.response import Fault


def open_sources(name: str) -> list[Source]:
    """Open an input.

    Args:
        name: a file, a folder saved by `datasets`, or `hf:NAME` of a data set on the hub.

    Raises:
        DataError: if it is missing, unreadable, empty, compressed, or not a supported container.
    """
    if name.startswith("hf:"):
        from curation.ingest.containers.hub import hub_sources

        return hub_sources(name.removeprefix("hf:"))
    path = Path(name)
    try:
        if path.is_dir():
            from curation.ingest.containers.hub import folder_sources

            return folder_sources(path)
        return [file_source(path)]
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; check the path (data sets on the hub are named hf:NAME){near(path)}"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def without_rows(peeked: int, fault: Fault | None) -> str:
    """What to say of a file none of whose first rows can be read."""
    if fault and fault.reason == "invalid_utf8":
        return f"not UTF-8 text ({fault.detail}); save it as UTF-8; what is no text is read from Parquet and Arrow alone"
    why = f" ({fault.reason}: {fault.detail})" if fault else ""
    return (
        f"none of its first {peeked} rows is a JSON object{why}; give JSONL, a JSON array, CSV (named .csv), "
        "Parquet or Arrow"
    )
