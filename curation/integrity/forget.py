"""`curate forget`: removes an annotator's rows, or traces and prompts with all that hangs on them, from every part, and keeps a record without text.

The record (ids, counts, when, why) is written before the first row goes: whoever is killed in between runs the same command again, and it
ends the same. Parts that were replaced and are still on disk are looked through too: their text is the same.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field, model_validator

from curation import console
from curation.corpus.store import Store, scan_part, write_file
from curation.integrity.corpus import FORGOTTEN
from curation.integrity.looking import StillHeld, holders
from curation.integrity.parts import ALONE, drop_index, hidden_by, rewrite
from curation.recipe import Recipe
from curation.versions import versions
from schemas.errors import RecipeError
from schemas.ids import canonical_json, content_id
from schemas.manifest import Counts, Manifest
from schemas.tables import TABLES

STAGE = "forget"
KEEPS = "what was removed stays removed; the same command removes the rest"
PERSON, DECIDING = "human:", "adjudicator:"


class ForgetRecipe(Recipe):
    """The recipe of `curate forget`."""

    annotator: str | None = None
    """Whose verdicts go: a name with its version, or without for all versions; `human:NAME` also removes that person's reviews and decisions."""
    traces: tuple[str, ...] = ()
    """Ids of traces; traces made from them go too."""
    prompts: tuple[str, ...] = ()
    """Ids of prompts; their traces go too."""
    reason: str = Field("", max_length=500)
    """Why, for the record."""

    @model_validator(mode="after")
    def _names_something(self) -> "ForgetRecipe":
        if not (self.annotator or self.traces or self.prompts):
            raise ValueError("name what to forget: --annotator, --trace or --prompt")
        return self


class Wanted:
    """Which rows of each table go."""

    def __init__(self, recipe: ForgetRecipe, traces: set[str]) -> None:
        self._name = recipe.annotator
        self._prompts = set(recipe.prompts)
        self._traces = traces
        self._ids = traces | self._prompts

    def of(self, table: str, rows: pa.Table) -> list[bool]:
        """Whether each row goes."""
        columns = {name: rows[name].to_pylist() for name in self.columns(table)}
        if not columns:
            return [False] * rows.num_rows
        return [
            self._goes(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
        ]

    def stay(self, table: str, rows: pa.Table) -> list[bool]:
        """Whether each row stays."""
        return [not goes for goes in self.of(table, rows)]

    def columns(self, table: str) -> list[str]:
        """The columns that decide; none for a table of which nothing can go."""
        wanted = ("prompt_id", "trace_id", "id", "annotator", "reviewer", "quarantine_id", "row")
        return [name for name in wanted if name in TABLES[table].names]

    def _goes(self, row: dict[str, Any]) -> bool:
        ids = (row.get(name) for name in ("prompt_id", "trace_id", "id", "quarantine_id"))
        if any(value in self._ids for value in ids):
            return True
        if self._ids and row.get("row") and any(f'"{value}"' in row["row"] for value in self._ids):
            return True
        return self._is_theirs(row.get("annotator")) or self._is_theirs(row.get("reviewer"), PERSON)

    def _is_theirs(self, name: str | None, before: str = "") -> bool:
        if not self._name or name is None:
            return False
        full = f"{before}{name}"
        same = {full, full.replace(DECIDING, PERSON, 1) if full.startswith(DECIDING) else full}
        return self._name in same | {one.rpartition("@")[0] for one in same}


def run(corpus_dir: Path, recipe: ForgetRecipe, *, look_in: Sequence[Path] = ()) -> Manifest:
    """Remove rows.

    Args:
        corpus_dir: the corpus.
        recipe: which.
        look_in: folders in which mixes and exports are looked for that still hold the rows; the one around the corpus by default.

    Raises:
        RecipeError: if there are no such rows.
        CorpusError: if there is no corpus, it is damaged, or it cannot be written.
    """
    corpus = Store(corpus_dir)
    path = corpus.root / FORGOTTEN / f"{content_id(recipe.model_dump(exclude={'reason'}))[:16]}.json"
    before: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    with corpus.alone(*ALONE), corpus.writing(*TABLES):
        traces = _traces(corpus, recipe) | set(before.get("traces", ()))
        wanted = Wanted(recipe, traces)
        counts = _counts(corpus, wanted)
        if not counts and not before:
            raise RecipeError(f"{corpus_dir}: nothing to forget: no row is of {_described(recipe)}")
        record = _record(recipe, traces, counts, before)
        write_file(path, canonical_json(record) + b"\n")
        _remove(corpus, wanted, sum(map(len, map(corpus.files, TABLES))))
        drop_index(corpus.root)
    held = holders(look_in or [corpus_dir.absolute().parent], traces | set(recipe.prompts), recipe.annotator)
    manifest = _manifest(recipe, record, held)
    corpus.write_manifest(manifest)
    write_file(path, canonical_json(record | {"done": True}) + b"\n")
    return manifest


def _traces(corpus: Store, recipe: ForgetRecipe) -> set[str]:
    """The named traces, those of the named prompts, and what was made from them."""
    found, prompts = set(recipe.traces), set(recipe.prompts)
    if not (found or prompts):
        return found
    while True:
        before = len(found)
        for batch in corpus.scan("traces", ["trace_id", "prompt_id", "parent_id"], 8192):
            for trace, prompt, parent in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if prompt in prompts or parent in found:
                    found.add(trace)
        if len(found) == before:
            return found


def _counts(corpus: Store, wanted: Wanted) -> dict[str, int]:
    """How many rows go, by table."""
    counts = {}
    for table in TABLES:
        if wanted.columns(table):
            counts[table] = sum(_hits(part, table, wanted) for part in corpus.parts(table))
    return {table: count for table, count in counts.items() if count}


def _hits(part: Path, table: str, wanted: Wanted) -> int:
    batches = scan_part(part, wanted.columns(table), 8192)
    return sum(sum(wanted.of(table, pa.Table.from_batches([batch]))) for batch in batches)


def _remove(corpus: Store, wanted: Wanted, files: int) -> None:
    """Rewrite each part that has such rows, what belongs to others first, and delete the old file."""
    with console.progress(STAGE, files, "parts", KEEPS) as advance:
        for table in reversed(TABLES):
            if not wanted.columns(table):
                continue
            visible = corpus.parts(table)
            hidden = [part for part in corpus.files(table) if part not in visible]
            for part in visible:
                if _hits(part, table, wanted):
                    rewrite(corpus, table, part, partial(wanted.stay, table))
                    _delete(corpus, table, part)
                advance()
            for part in hidden:
                if part.exists() and _hits(part, table, wanted):
                    part.unlink()
                advance()


def _delete(corpus: Store, table: str, part: Path) -> None:
    """Delete a replaced part, and first what it replaced: that would be visible again otherwise."""
    for name in hidden_by(part):
        (corpus.root / table / name).unlink(missing_ok=True)
    part.unlink()


def _record(
    recipe: ForgetRecipe, traces: set[str], counts: dict[str, int], before: dict[str, Any]
) -> dict[str, Any]:
    """What goes, with what an earlier run of the same command removed or, if it was interrupted, was to remove."""
    rows = dict(before.get("rows", {}))
    for table, count in counts.items():
        rows[table] = rows.get(table, 0) + count if before.get("done") else max(count, rows.get(table, 0))
    return {
        "annotator": recipe.annotator,
        "traces": sorted(traces),
        "prompts": sorted(recipe.prompts),
        "reason": before.get("reason") or recipe.reason,
        "when": before.get("when") or datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": rows,
        "done": False,
    }


def _manifest(recipe: ForgetRecipe, record: dict[str, Any], held: Sequence[StillHeld]) -> Manifest:
    counts = Counts(rows=sum(record["rows"].values()))
    for table, count in record["rows"].items():
        counts.add("filtered", table, count)
    return Manifest(
        stage=STAGE,
        recipe=recipe.model_dump(mode="json"),
        versions=versions("lrm-curate", "pyarrow"),
        counts=counts,
        summary={
            "traces": len(record["traces"]),
            "prompts": len(record["prompts"]),
            "held_by": [one._asdict() for one in held],
        },
    )


def _described(recipe: ForgetRecipe) -> str:
    return ", ".join(_pieces(recipe))


def _pieces(recipe: ForgetRecipe) -> Iterator[str]:
    if recipe.annotator:
        yield f"annotator {recipe.annotator} (see `curate status` for the names)"
    for name, ids in {"trace": recipe.traces, "prompt": recipe.prompts}.items():
        if ids:
            yield f"{name} {', '.join(ids[:5])}" + (", ..." if len(ids) > 5 else "")


def show(manifest: Manifest) -> None:
    """Print which mixes and exports still hold the rows."""
    held: Any = manifest.summary["held_by"]
    for one in held:
        console.result(f"{one['path']}: still holds {one['what']}; {one['fix']}")
    if "clusters" in manifest.counts.filtered:
        console.say("clusters have lost rows; run curate dedup again before the next mix")
    console.say(
        "the record is in forgotten/; copies, backups and review servers elsewhere are not looked through"
    )
