"""The folder of pairs: the files of other trainers, and what `sft run` trains DPO on.

    OUT/traces.parquet   each trace of a pair once, as a row of a mix has it (part: chosen, or rejected where it is never preferred)
    OUT/dpo.jsonl ...    lines for other trainers (`curation.pairs.stage`); dpo.jsonl says which trace is preferred over which
    OUT/manifest.json    written last

The surprise: it is no mix on purpose. Half of its traces are risky, and training on them as rows would teach what they show.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curation.corpus.store import make_folder, write_file, write_parquet
from curation.manifests import check_format_version
from curation.mix import folder as mixes
from curation.mix.tokens import TokenCounter
from curation.reading import hash_files, read_model
from schemas.errors import CorpusError, DataError
from schemas.ids import canonical_json, content_id
from schemas.manifest import FORMAT_VERSION, Manifest
from schemas.row import row_id
from schemas.tables import TALK_ROWS

STAGE = "build-pairs"
TRACES = "traces.parquet"
DPO = "dpo.jsonl"


class Pair(NamedTuple):
    """Ids of a preferred and a rejected trace."""

    chosen: str
    rejected: str

    @property
    def pair_id(self) -> str:
        """Content id of both."""
        return content_id(["pair", *self])


class BuiltPairs(NamedTuple):
    """Pairs in memory."""

    pairs: list[Pair]
    traces: pa.Table
    """Each trace once, under the schema of a mix's rows."""
    pairs_id: str
    """Hash of the traces and pairs in order."""
    manifest: Manifest


def rows_of(texts: Mapping[str, Mapping[str, Any]], pairs: Sequence[Pair]) -> pa.Table:
    """The traces of the pairs as rows, each once, in the order of the pairs."""
    chosen = {pair.chosen for pair in pairs}
    names = [name for name in TALK_ROWS.names if name not in ("row_id", "part", "tokens")]
    ids = list(dict.fromkeys(trace for pair in pairs for trace in pair))
    rows = []
    for trace, tokens in zip(
        ids, TokenCounter(None).count_rows([dict(texts[trace]) for trace in ids]), strict=True
    ):
        part = "chosen" if trace in chosen else "rejected"
        told = {name: texts[trace][name] for name in names}
        rows.append({"row_id": row_id(trace, part), "part": part, "tokens": tokens, **told})
    return mixes.plainly(pa.Table.from_pylist(rows, TALK_ROWS), None)[0]


def pairs_id(pairs: Sequence[Pair], traces: pa.Table) -> str:
    """Hash of every trace and every pair in order."""
    return content_id(["pairs", mixes.mix_id(traces), [list(pair) for pair in pairs]])


def check_target(out: Path) -> None:
    """Raise unless `out` is new, empty or has earlier pairs.

    Raises:
        CorpusError: if it is something else, or cannot be written.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / DPO).is_file():
        raise CorpusError(f"{out}: the folder is not empty and has no pairs; set --out to a new folder")
    make_folder(out.parent)


def write(
    out: Path, pairs: Sequence[Pair], traces: pa.Table, lines: Mapping[str, list[Any]], manifest: Manifest
) -> Manifest:
    """Write the folder; returns the manifest with the pairs' id and the hashes of the files."""
    building = out.parent / f".building-{out.name}"
    if building.exists():
        shutil.rmtree(building)
    try:
        write_parquet(building / TRACES, traces)
        for name, rows in lines.items():
            write_file(building / f"{name}.jsonl", b"".join(canonical_json(row) + b"\n" for row in rows))
        hashes = {path.name: hash_files([path]) for path in sorted(building.iterdir())}
        complete = manifest.model_copy(
            update={
                "outputs": hashes,
                "summary": {"pairs_id": pairs_id(pairs, traces), **manifest.summary},
                **({"format_version": FORMAT_VERSION} if "turns" in traces.column_names else {}),
            }
        )
        write_file(building / "manifest.json", complete.model_dump_json(indent=2).encode() + b"\n")
        mixes.take_place(building, out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return complete


def is_pairs(folder: Path) -> bool:
    """Whether a folder was made by `curate build-pairs`."""
    return (folder / DPO).is_file() and (folder / "manifest.json").is_file()


def read(folder: Path) -> BuiltPairs:
    """Read pairs and their traces.

    Raises:
        DataError: if files are missing, damaged, or were changed after the build.
        CorpusError: if a newer version of this toolkit wrote the folder.
    """
    check_format_version(folder / "manifest.json")
    manifest = read_model(folder / "manifest.json", Manifest)
    try:
        traces = mixes.conformed(pq.read_table(folder / TRACES))
        lines = [json.loads(line) for line in (folder / DPO).read_bytes().splitlines()]
        pairs = [Pair(line["chosen_trace_id"], line["rejected_trace_id"]) for line in lines]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: not the pairs of this version ({error}); build them again with: curate build-pairs"
        ) from error
    known = manifest.outputs.get(DPO)
    actual = pairs_id(pairs, traces)
    if hash_files([folder / DPO]) != known or actual != manifest.summary.get("pairs_id"):
        raise DataError(f"{folder}: changed after the build; build the pairs again with: curate build-pairs")
    return BuiltPairs(pairs, traces, actual, manifest)
