"""Checks a corpus: its marker, every part with every value, keys that occur twice, rows that belong to nothing, manifests, foreign files.

Takes no lock: what is deleted meanwhile is left out, and tables are listed in an order in which no new row can look as if it belonged to nothing.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from curation import console
from curation.corpus import memory
from curation.corpus.known_ids import KnownIds
from curation.corpus.store import MARKER, PACKED, keys_id, replaced
from curation.integrity.damage import MADE_BY, SET_ASIDE, Checked, Damage
from curation.integrity.parts import BadPart, hidden_by, keys, whole
from curation.integrity.seal import sealed
from curation.manifests import check_format_version, manifest_name
from schemas.errors import CorpusError
from schemas.hiding import MARK
from schemas.manifest import Manifest
from schemas.tables import TABLES

DAMAGED, FORGOTTEN = "damaged", "forgotten"
"""Folders of what was set aside, and of the records of what was removed."""
OURS = {*TABLES, MARKER, "manifests", "rounds", "cascades", ".locks", ".index", DAMAGED, FORGOTTEN}
OWNERS = {
    "traces": ("prompt_id", "prompts"), "annotations": ("trace_id", "traces"), "review_tasks": ("trace_id", "traces"),
    "reviews": ("trace_id", "traces"), "memberships": ("prompt_id", "prompts"),
}  # fmt: skip
"""Which table has the row that a row belongs to, and the column that names it."""
KEEPS = "nothing was changed; run the same command again"
SHARE = 16
"""The ids of each table may take so much of the memory; beyond it they are kept on disk."""


class Mend(NamedTuple):
    """A part that can be mended: its rows that are nowhere else are kept."""

    table: str
    part: Path
    number: int


class Examined(NamedTuple):
    """What is wrong with a corpus, and what a repair needs to know."""

    checked: Checked
    lost: list[tuple[str, Path, Damage]]
    """Table and file of the parts whose rows cannot be kept."""
    mend: list[tuple[Mend, Damage]]
    known: dict[str, KnownIds]
    """By table, the number of the part that has a key first."""


def examine(root: Path) -> Examined:
    """Read a whole corpus.

    Raises:
        CorpusError: if a newer version of this toolkit wrote it.
    """
    damage = list(_marker(root))
    found = Examined(Checked(str(root), "corpus", 0, {}, damage, {}), [], [], {})
    # Listed before anything is read, and the rows that belong to others first.
    files = {table: sorted((root / table).glob("part-*.parquet")) for table in reversed(TABLES)}
    with console.progress("check", sum(map(len, files.values())), "parts", KEEPS) as advance:
        for table in TABLES:
            found.known[table] = KnownIds(root, memory.limit() // SHARE)
            found.checked.rows[table] = _Table(table, files[table], found).read(advance)
    damage += [*_manifests(root), *_foreign(root)]
    return found._replace(checked=found.checked._replace(files=sum(map(len, files.values()))))


class _Table:
    """The parts of one table."""

    def __init__(self, table: str, files: list[Path], found: Examined) -> None:
        self._table, self._files, self._found = table, files, found
        self._known = found.known[table]

    def read(self, advance: console.Advance) -> int:
        """Read every part; those that can only be mended last, so that a row that is elsewhere too is taken from there."""
        packed = {part: hidden_by(part) for part in self._files}
        hidden = set().union(*packed.values())
        late = [part for part in self._files if self._nameless(part)]
        count = 0
        for part in [*(part for part in self._files if part not in late), *late]:
            count += self._part(part, part.name not in hidden, part in late)
            advance()
        return count

    def _nameless(self, part: Path) -> bool:
        """Whether a packed part does not say what it replaces, though it can be read."""
        if not part.name.endswith(PACKED):
            return False
        try:
            replaced(part)
        except CorpusError:
            return True
        return False

    def _part(self, part: Path, visible: bool, nameless: bool) -> int:
        number = self._files.index(part)
        read = _PassingRows(self._table, number, self._found if visible else None)
        try:
            name = keys_id(self._table, read.rows(part))
        except (BadPart, CorpusError) as error:
            if part.exists() or part.is_symlink():
                self._lose(part, _why(error, part))
            return 0
        if sealed(part) == "none":
            unsealed = self._found.checked.unsealed
            unsealed[self._table] = unsealed.get(self._table, 0) + 1
        if nameless:
            self._mend(part, number, "packed", "packed, but does not say which parts it replaces")
        elif not part.name.endswith(PACKED) and visible and part.name != f"part-{name}.parquet":
            self._mend(
                part, number, "altered", "its rows are not those that it was written with, by its name"
            )
        elif read.twice:
            self._mend(
                part, number, "duplicate", f"{read.twice} rows have a key that another row has ({read.first})"
            )
        self._orphans(part, read)
        return read.count if visible else 0

    def _lose(self, part: Path, why: str) -> None:
        fix = f"{SET_ASIDE}; then make its rows again: {MADE_BY[self._table]}"
        damage = Damage(f"{self._table}/{part.name}", "part", why, fix)
        self._found.checked.damage.append(damage)
        self._found.lost.append((self._table, part, damage))

    def _mend(self, part: Path, number: int, kind: str, what: str) -> None:
        fix = f"{SET_ASIDE}; its rows that are nowhere else are kept"
        damage = Damage(f"{self._table}/{part.name}", kind, what, fix)
        self._found.checked.damage.append(damage)
        self._found.mend.append((Mend(self._table, part, number), damage))

    def _orphans(self, part: Path, read: "_PassingRows") -> None:
        if read.orphans:
            column, owner = OWNERS[self._table]
            what = f"{read.orphans} rows belong to no row of {owner} ({column} {read.orphan})"
            fix = f"make the {owner} again: {MADE_BY[owner]}; or remove them with: curate forget --{owner[:-1]} ID"
            self._found.checked.damage.append(Damage(f"{self._table}/{part.name}", "orphan", what, fix))


class _PassingRows:
    """The rows of one part, counted while they pass; with no findings (a replaced part) they are only read."""

    def __init__(self, table: str, number: int, found: Examined | None) -> None:
        self._table, self._number, self._found = table, number, found
        self.count = self.twice = self.orphans = 0
        self.first = self.orphan = ""
        self._mine: set[str] = set()

    def rows(self, part: Path) -> Iterator[pa.Table]:
        """Every row, as `whole` gives them."""
        for rows in whole(self._table, part):
            if self._found:
                self._note(rows, self._found.known)
            self.count += rows.num_rows
            yield rows

    def _note(self, rows: pa.Table, known: dict[str, KnownIds]) -> None:
        for key in keys(self._table, rows):
            if known[self._table].setdefault(key, self._number) is not None:
                self.twice, self.first = self.twice + 1, self.first or key.split("\t")[0]
        if self._table in OWNERS:
            column, owner = OWNERS[self._table]
            for key in rows[column].to_pylist():
                if key not in known[owner]:
                    self.orphans, self.orphan = self.orphans + 1, self.orphan or key


def _why(error: Exception, part: Path) -> str:
    """What is wrong with a part, without its name and what to do about it."""
    text = str(error).removeprefix(f"{part}: ").removeprefix("a damaged part (")
    return text.rpartition(")")[0] if "); `curate check`" in text else text


def _marker(root: Path) -> Iterator[Damage]:
    try:
        check_format_version(root / MARKER)
    except CorpusError as error:
        if "newer" in str(error):
            raise
        what = str(error).removeprefix(f"{root / MARKER}: ").partition(";")[0]
        yield Damage(MARKER, "marker", what, f"{SET_ASIDE}; a new one is written")


def _manifests(root: Path) -> Iterator[Damage]:
    for path in sorted((root / "manifests").glob("[!.]*")):
        if what := fault_of_manifest(path, manifest_name):
            fix = f"{SET_ASIDE}; the command that wrote it ({path.stem.rpartition('-')[0]}) writes it anew"
            yield Damage(f"manifests/{path.name}", "manifest", what, fix)
    for folder in ("rounds", "cascades"):
        for path in sorted((root / folder).glob("[!.]*.json")):
            try:
                json.loads(path.read_bytes())
            except (OSError, ValueError, RecursionError) as error:
                fix = "restore it from a copy, or move it out of the corpus and make it anew"
                yield Damage(f"{folder}/{path.name}", "manifest", f"not JSON ({error})"[:200], fix)


def fault_of_manifest(path: Path, named: Callable[[Manifest], str] | None = None) -> str | None:
    """What is wrong with a manifest; null if it can be read, adds up and is the one that its name says."""
    try:
        check_format_version(path)
        text = path.read_bytes()
        manifest = Manifest.model_validate_json(text)
    except (CorpusError, ValueError, OSError) as error:
        return str(error).removeprefix(f"{path}: ").replace("\n", " ")[:200]
    if manifest.counts.balance:
        return f"its counts do not add up: {manifest.counts}"
    if json.loads(text).get("recipe_id") != manifest.recipe_id:
        return "its recipe was changed"
    if named and MARK not in text.decode() and named(manifest) != path.name:
        return "its name is not that of its inputs and recipe: it was changed or renamed"
    return None


def _foreign(root: Path) -> Iterator[Damage]:
    fix = "move it out of the corpus; nothing here reads it"
    for path in sorted(root.iterdir()):
        if path.name not in OURS and not path.name.startswith(".tmp-"):
            yield Damage(path.name, "foreign", "not a file of a corpus", fix)
    for table in TABLES:
        folder = root / table
        if folder.exists() and not folder.is_dir():
            yield Damage(table, "foreign", "a file where the folder of a table should be", fix)
            continue
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            ours = path.name.startswith("part-") and path.suffix == ".parquet"
            if not ours and not path.name.startswith(".tmp-"):
                yield Damage(f"{table}/{path.name}", "foreign", "not a part of a table", fix)
