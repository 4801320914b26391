"""Data sets of the `datasets` library as sources: folders written by `save_to_disk`, and names on the Hugging Face hub.

Their rows stay memory-mapped on disk and are read a batch at a time. Code that comes with a data set is never run.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation import console
from curation.ingest.containers.rows import BATCH_ROWS, Source, arrow_batches
from curation.reading import made_by_us
from schemas.errors import DataError

if TYPE_CHECKING:
    import datasets

ENDINGS = (".jsonl", ".json", ".parquet", ".csv", ".tsv", ".arrow", ".gz", ".zst", ".xz", ".bz2", ".eval")
"""Of files that are read, the usual ones first."""
SECONDS = 10
"""The hub may take to answer at all."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+){0,2}")


def folder_sources(path: Path) -> list[Source]:
    """The splits of a folder that `datasets.save_to_disk` wrote.

    Raises:
        DataError: if it is not such a folder.
    """
    import datasets

    try:
        dataset = datasets.load_from_disk(str(path))
    except FileNotFoundError:
        raise DataError(f"{path}: {_of_files(path)}") from None
    except Exception as error:  # a damaged folder raises whatever the library trips over
        raise DataError(f"{path}: `datasets` cannot read this folder ({error}); save it again") from error
    _check_places(path, dataset)
    return _sources(path.resolve().name, dataset)


def _of_files(path: Path) -> str:
    """What to do about a folder that is no data set: it may hold files, or be something of ours."""
    if what := made_by_us(path):
        return f"{what}, not a file to ingest"
    endings = sorted({file.suffix for file in path.iterdir() if file.suffix and file.name[0] != "."})
    wanted = next((ending for ending in ENDINGS if ending in endings), "")
    if not wanted:
        return "a folder without files that are read here; name a file with rows"
    return f"a folder, but not one that `datasets` saved; name the files in it, such as {path}/*{wanted}"


def hub_sources(name: str) -> list[Source]:
    """The splits of a data set on the hub, downloaded into the library's cache.

    Args:
        name: "owner/name", or "owner/name/configuration".

    Raises:
        DataError: if it is no name of the hub, it is not there or the hub cannot be reached.
    """
    if not NAME.fullmatch(name) or ".." in name:
        raise DataError(
            f"hf:{name}: no name of a data set on the hub; write hf:owner/name or hf:owner/name/configuration"
        )
    if Path(name).exists():
        raise DataError(f"hf:{name}: there is a local path of this name; for its files leave out hf:")
    import datasets

    _ask_only_who_answers()
    try:
        dataset = datasets.load_dataset(*_configured(name))
    except ConnectionError as error:
        raise DataError(
            f"hf:{name}: the hub cannot be reached ({error}); download the data on a machine with network access, "
            "copy it here and name the local path"
        ) from error
    except Exception as error:  # the hub's and the library's errors share no base
        raise DataError(f"hf:{name}: cannot be loaded ({error}); check the name on the hub") from error
    return _sources(f"hf:{name}", dataset)


def _ask_only_who_answers() -> None:
    """Where the hub does not answer, tell its libraries: they take what they have, and do not ask again for a minute."""
    import datasets
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return
    try:
        httpx.head(constants.ENDPOINT, timeout=SECONDS, follow_redirects=True)
    except httpx.HTTPError as error:
        console.say(
            f"the hub does not answer ({type(error).__name__}); only what was downloaded before is read"
        )
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True


def _check_places(path: Path, dataset: Any) -> None:
    """The folder names its own data files, so it could name files of other places."""
    for part in dataset.values() if isinstance(dataset, Mapping) else [dataset]:
        for entry in part.cache_files:
            if not Path(entry["filename"]).resolve().is_relative_to(path.resolve()):
                raise DataError(
                    f"{path}: names {entry['filename']} as its data, which lies elsewhere; copy it into the folder and save it again"
                )


def _configured(name: str) -> tuple[str, ...]:
    """A hub name, and the configuration behind it if there is one."""
    owner, _, rest = name.partition("/")
    repository, _, configuration = rest.partition("/")
    return (f"{owner}/{repository}", configuration) if configuration else (name,)


def _sources(name: str, dataset: Any) -> list[Source]:
    if isinstance(dataset, Mapping):
        return [_source(f"{name}/{split}", part) for split, part in dataset.items()]
    return [_source(name, dataset)]


def _source(name: str, part: "datasets.Dataset") -> Source:
    arrow = part.with_format("arrow")
    files = tuple(Path(entry["filename"]) for entry in part.cache_files)
    return Source(name, files, lambda: arrow_batches(arrow.iter(BATCH_ROWS)))
