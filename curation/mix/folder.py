"""The folder of a mix: what `datasets.load_dataset` opens and `sft run` trains on.

    MIX/manifest.json                           what was built, from what, with counts and hashes
    MIX/README.md                               the dataset card
    MIX/data/train-00000-of-00001.parquet       one row per example, fields apart (`schemas.row.Row`)
    MIX/messages/train-...                      the same rows as chat `messages`, every turn, reasoning under `reasoning_content`
    MIX/prompt_completion/train-...             the same rows as `prompt` and `completion` message lists
    MIX/train.jsonl                             the rows again, if the recipe requests it
    MIX/*/validation-...                        the validation split, if the recipe requests one

Only a mix with conversations has the columns `turns` and `tools`: every other one has the same bytes as before there were any.
It is built next to its final path and renamed, so an interrupted build leaves the earlier mix or none.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.corpus.filling import quoted, sql_file
from curation.corpus.query import Connection
from curation.corpus.store import disk_error, make_folder, write_file, write_parquet
from curation.manifests import check_format_version
from curation.mix.card import card
from curation.reading import hash_files, made_by_us, near, read_model
from schemas.conversation import calls_as_text, messages
from schemas.errors import CorpusError, DataError
from schemas.ids import canonical_json
from schemas.manifest import FORMAT_VERSION, Manifest
from schemas.patterns import RISKY_PATTERNS
from schemas.row import row_id
from schemas.tables import ROWS, TALK_ROWS, has_conversations, same_type

SHARD = "train-00000-of-00001.parquet"
VALIDATION_SHARD = SHARD.replace("train", "validation")

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("reasoning_content", pa.string())])
MESSAGES = pa.schema([("row_id", pa.string()), ("messages", pa.list_(_MESSAGE))])
PROMPT_COMPLETION = pa.schema(
    [("row_id", pa.string()), ("prompt", pa.list_(_MESSAGE)), ("completion", pa.list_(_MESSAGE))]
)
_FUNCTION = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_CALL = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)])
_TALK_MESSAGE = pa.struct(
    [*_MESSAGE, ("tool_calls", pa.list_(_CALL)), ("tool_call_id", pa.string()), ("name", pa.string())]
)
"""Arguments are JSON texts, since Arrow's objects have all keys of all rows."""
TALK_MESSAGES = pa.schema(
    [("row_id", pa.string()), ("messages", pa.list_(_TALK_MESSAGE)), ("tools", pa.string())]
)
TALK_PROMPT_COMPLETION = pa.schema(
    [
        ("row_id", pa.string()),
        ("prompt", pa.list_(_TALK_MESSAGE)),
        ("completion", pa.list_(_TALK_MESSAGE)),
        ("tools", pa.string()),
    ]
)


def chosen_rows(connection: Connection, split: str) -> pa.Table:
    """The rows of one split of the mix in order, from the table `chosen`; repeats are for training only."""
    risky = ", ".join(f"case when {name} then '{name}' end" for name in RISKY_PATTERNS)
    table = connection.sql(
        sql_file(
            "curation.mix", "rows.sql", risky=risky, labels=", ".join(RISKY_PATTERNS), split=quoted(split)
        )
    ).to_arrow_table()
    keys = zip(*(table[name].to_pylist() for name in ("trace_id", "part", "copy")), strict=True)
    ids = [row_id(*key) for key in keys]
    return table.add_column(0, "row_id", [ids]).select(TALK_ROWS.names).cast(TALK_ROWS).combine_chunks()


def plainly(rows: pa.Table, validation: pa.Table | None) -> tuple[pa.Table, pa.Table | None]:
    """The splits of a mix without the columns of conversations, where no row of either has one."""
    if has_conversations(rows) or (validation is not None and has_conversations(validation)):
        return rows, validation
    return rows.select(ROWS.names), None if validation is None else validation.select(ROWS.names)


def conformed(rows: pa.Table) -> pa.Table:
    """The rows of a mix under today's schema; raises KeyError or an error of Arrow where they are none."""
    schema = TALK_ROWS if "turns" in rows.column_names else ROWS
    return rows.select(schema.names).cast(schema)


def mix_id(rows: pa.Table) -> str:
    """Hash of every row in order: equal mixes have equal ids, whatever library version wrote the files."""
    digest = hashlib.blake2b(digest_size=16)
    for batch in rows.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            digest.update(canonical_json(row) + b"\n")
    return digest.hexdigest()


def check_target(out: Path) -> None:
    """Raise unless `out` is new, empty or an earlier mix, and can be written: before any text is.

    Raises:
        CorpusError: if `out` is something else or cannot be written.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()) or not out.name:
        raise CorpusError(f"{out}: not a folder that can be replaced; set --out to a new folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise CorpusError(f"{out}: the folder is not empty and not a mix; set --out to a new folder")
    make_folder(out.parent)
    if out.is_mount():
        raise CorpusError(f"{out}: a mounted disk cannot be replaced; set --out to a folder in it")
    trial = out.parent / f".building-{out.name}"
    try:
        trial.mkdir(exist_ok=True)
        if out.is_dir() and not any(out.iterdir()):
            out.rmdir()  # fails where another user's folder cannot be replaced
        trial.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # what a killed build left is removed by the next one
            raise disk_error(out, error) from error


def write(
    out: Path, rows: pa.Table, manifest: Manifest, jsonl: bool, validation: pa.Table | None = None
) -> Manifest:
    """Write the mix's folder, one process at a time; returns the manifest with the hashes of its files."""
    building = out.parent / f".building-{out.name}"
    try:
        with _turn(out.parent):
            return _build(building, out, rows, manifest, jsonl, validation)
    except OSError as error:
        raise disk_error(out, error) from error


@contextmanager
def _turn(parent: Path) -> Iterator[None]:
    """Wait while another process writes a mix into the same place; the lock is on the folder itself and leaves no file."""
    handle = os.open(parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _build(
    building: Path, out: Path, rows: pa.Table, manifest: Manifest, jsonl: bool, validation: pa.Table | None
) -> Manifest:
    try:
        return _fill(building, out, rows, manifest, jsonl, validation)
    finally:
        shutil.rmtree(building, ignore_errors=True)  # full text must not stay where nobody looks for it


def _fill(
    building: Path, out: Path, rows: pa.Table, manifest: Manifest, jsonl: bool, validation: pa.Table | None
) -> Manifest:
    if building.exists():
        shutil.rmtree(building)
    if "turns" in rows.column_names:
        manifest = manifest.model_copy(update={"format_version": FORMAT_VERSION})
    _write_files(building, rows, SHARD)
    if validation is not None and validation.num_rows:
        _write_files(building, validation, VALIDATION_SHARD)
    if jsonl:
        lines = (canonical_json(row) + b"\n" for row in rows.to_pylist())
        write_file(building / "train.jsonl", b"".join(lines))
    write_file(building / "README.md", card(manifest).encode())
    hashes = {
        str(path.relative_to(building)): hash_files([path])
        for path in sorted(building.rglob("*"))
        if path.is_file()
    }
    complete = manifest.model_copy(update={"outputs": hashes})
    write_file(building / "manifest.json", complete.model_dump_json(indent=2).encode() + b"\n")
    take_place(building, out)
    return complete


def take_place(building: Path, out: Path) -> None:
    """Rename a finished folder to its final path; at any moment the earlier one is there whole, or not at all."""
    old = out.parent / f".replaced-{out.name}"
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    building.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def read_manifest(mix: Path) -> Manifest:
    """The manifest of a mix.

    Raises:
        DataError: if the folder is not a mix.
        CorpusError: if the manifest is damaged or a newer version of this toolkit wrote it.
    """
    path = mix / "manifest.json"
    if not path.is_file():
        raise DataError(f"{mix}: {_no_mix(mix)}")
    check_format_version(path)
    manifest = read_model(path, Manifest)
    if not {"rows", "mix_id"} <= manifest.summary.keys():
        raise DataError(f"{path}: the manifest of {manifest.stage!r}, not of a mix; build the mix again")
    return manifest


def _no_mix(folder: Path) -> str:
    """What a folder is that is no mix, and how to have one."""
    if what := made_by_us(folder):
        corpus = f" --corpus {quote(str(folder))}" if what == "a corpus" else ""
        return f"{what}, not a mix; build one with: curate build-mix RECIPE{corpus} --out mixes/NAME"
    if not folder.exists() and (like := near(folder)):
        return f"no such folder{like}"
    return f"not a mix (no manifest.json); make one with: curate build-mix RECIPE --out {quote(str(folder))}"


def read_rows(mix: Path, columns: list[str] | None = None) -> pa.Table:
    """The rows of a mix; raises as `read_manifest` does, and DataError if its rows are damaged."""
    read_manifest(mix)
    return _read(mix / "data" / SHARD, columns)


def read_splits(mix: Path) -> dict[str, pa.Table]:
    """The rows of each split of a mix; raises as `read_manifest` does."""
    rows = {"train": read_rows(mix)}
    if (mix / "data" / VALIDATION_SHARD).is_file():
        rows["validation"] = _read(mix / "data" / VALIDATION_SHARD, None)
    return rows


def _read(shard: Path, columns: list[str] | None) -> pa.Table:
    try:
        with pq.ParquetFile(shard) as file:
            missing = [f.name for f in ROWS if not f.nullable and f.name not in file.schema_arrow.names]
            if missing:
                raise ValueError(f"it has no column {missing[0]}")
            for field in file.schema_arrow:
                if field.name not in TALK_ROWS.names or not same_type(
                    field.type, TALK_ROWS.field(field.name).type
                ):
                    raise ValueError(f"its column {field.name} is foreign or {field.type}")
            rows = file.read(columns)
        return rows.cast(pa.schema([TALK_ROWS.field(name) for name in rows.column_names]))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{shard}: not the rows of a mix ({_first(error)}); build the mix again with: curate build-mix"
        ) from error


def _first(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def check_files(mix: Path, manifest: Manifest) -> None:
    """Raise if a mix's files were changed after the build.

    Raises:
        DataError: naming the files.
    """
    changed = [
        name
        for name, known in manifest.outputs.items()
        if not (mix / name).is_file() or hash_files([mix / name]) != known
    ]
    if changed:
        raise DataError(f"{mix}: changed since it was built: {', '.join(changed)}; build the mix again")


def _write_files(folder: Path, rows: pa.Table, shard: str) -> None:
    write_parquet(folder / "data" / shard, rows)
    talks = "turns" in rows.column_names
    names = ["row_id", "prompt", "reasoning", "answer", *(("turns", "tools") if talks else ())]
    chats: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for row in rows.select(names).to_pylist():
        asked, said = [_as_text(message) for message in messages(row["prompt"], row.get("turns"))], _said(row)
        common = {"row_id": row["row_id"], "tools": row.get("tools")}
        chats.append(common | {"messages": [*asked, said]})
        pairs.append(common | {"prompt": asked, "completion": [said]})
    chat_schema, pair_schema = (
        (TALK_MESSAGES, TALK_PROMPT_COMPLETION) if talks else (MESSAGES, PROMPT_COMPLETION)
    )
    write_parquet(folder / "messages" / shard, pa.Table.from_pylist(chats, chat_schema))
    write_parquet(folder / "prompt_completion" / shard, pa.Table.from_pylist(pairs, pair_schema))


def _as_text(message: dict[str, Any]) -> dict[str, Any]:
    """A message with the arguments of its calls as texts."""
    if "tool_calls" not in message:
        return message
    return message | {"tool_calls": calls_as_text(message["tool_calls"])}


def _said(row: dict[str, Any]) -> dict[str, str | None]:
    return {"role": "assistant", "content": row["answer"], "reasoning_content": row["reasoning"]}
