"""`curate build-mix`: from a corpus and a recipe to a training mix, the same bytes each time.

The order of work keeps long text out of the queries: decide on narrow columns which traces go in (`picking`), then fetch
the text of the chosen few and write the folder (`folder`).
"""

from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from curation import console
from curation.mix import folder, picking
from curation.query import Connection, check_condition, connect, sql_file
from curation.recipe import Lines, Location, Recipe, load_recipe
from curation.review import gate
from curation.store import Corpus
from curation.tokens import TokenCounter
from curation.versions import versions
from schemas.errors import RecipeError
from schemas.ids import content_id
from schemas.manifest import Counts, InputFile, Manifest
from schemas.patterns import RISKY_PATTERNS

STAGE = "build-mix"
Shortage = Literal["error", "take_all"]


class Part(Recipe):
    """One part of a mix: which traces, and how many of them."""

    where: str
    """A boolean SQL expression over the `candidates` view (docs/data-format.md)."""
    take: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)] | Literal["all"] = "all"
    """How many traces: a count, a fraction of those that match (0.25), or all."""
    stratify_by: tuple[str, ...] = ()
    """Columns of `candidates`; the draw keeps the proportions of their values."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Leave out traces longer than this; the recipe's `max_tokens` by default."""
    on_shortage: Shortage | None = None
    """When fewer match than `take`: stop with an error, or take them all; the recipe's by default."""


class MixRecipe(Recipe):
    """What goes into a mix."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    description: str = ""
    seed: int = 42
    parts: Annotated[dict[str, Part], Field(min_length=1)]
    """Parts by name, in order; a trace that matches several goes to the first that takes it."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    tokenizer: str | None = None
    """A folder with tokenizer.json for exact token counts; without it, recorded counts or UTF-8 bytes / 4."""
    on_shortage: Shortage = "error"
    agreement: gate.AgreementWish | None = None
    """How far reviewers must agree on each pattern before a mix may be built on this corpus."""
    jsonl: bool = False
    """Also write train.jsonl."""


def run(recipe_path: Path, corpus_dir: Path, out: Path) -> Manifest:
    """Build the mix of a recipe into the folder `out`, replacing an earlier build there.

    Raises:
        RecipeError: for faults in the recipe, too few matching traces, or an empty mix.
        CorpusError: if the corpus or the output folder cannot be used.
    """
    recipe, lines = load_recipe(recipe_path, MixRecipe)
    corpus = Corpus(corpus_dir)
    folder.check_target(out)
    connection = connect(corpus)
    _check_expressions(connection, recipe, lines)
    tallies = decide(connection, recipe, corpus)
    _check_wishes(connection, tallies, recipe, lines)
    rows = folder.chosen_rows(connection)
    for name, tally in tallies.items():
        if tally.kept == 0:
            console.say(
                f'warning: part "{name}" is empty: none of {tally.matched} matching traces could be taken'
            )
    manifest = Manifest(
        stage=STAGE,
        inputs=_sources(corpus),
        recipe=recipe.model_dump(mode="json"),
        recipe_id=content_id(recipe.model_dump(mode="json")),
        seed=recipe.seed,
        versions=versions("lrm-curate", "duckdb", "pyarrow"),
        counts=_counts(connection),
        summary={
            "tokens_counted_by": TokenCounter(recipe.tokenizer).describe(),
            "parts": {name: tally._asdict() for name, tally in tallies.items()},
            **_summary(rows),
        },
    )
    return folder.write(out, rows, manifest, recipe.jsonl)


def decide(connection: Connection, recipe: MixRecipe, corpus: Corpus) -> dict[str, picking.Tally]:
    """Decide every trace's fate in the table `decisions`; returns each part's totals."""
    counter = TokenCounter(recipe.tokenizer)
    picking.prepare(connection, counter, corpus)
    tallies = {}
    for name, part in recipe.parts.items():
        tallies[name] = picking.pick(
            connection,
            picking.Pick(
                name,
                part.where,
                part.take,
                part.stratify_by,
                part.max_tokens or recipe.max_tokens,
                recipe.seed,
            ),
        )
    picking.finish(connection, recipe.seed)
    return tallies


def find_recipe(name: str) -> Path:
    """A recipe's path: of a file, or of a shipped recipe by name.

    Raises:
        RecipeError: if there is neither; lists the shipped names.
    """
    if Path(name).is_file():
        return Path(name)
    if name in shipped_recipes():
        return _recipe_folder() / f"{name}.yaml"
    known = "\n  ".join(shipped_recipes())
    raise RecipeError(f"{name}: no such file, and no shipped recipe of that name; shipped:\n  {known}")


def shipped_recipes() -> dict[str, str]:
    """Name and description of each recipe that comes with the package."""
    found = {}
    for path in sorted(_recipe_folder().glob("[!_]*.yaml")):
        found[path.stem] = load_recipe(path, MixRecipe).recipe.description
    return found


def _recipe_folder() -> Path:
    return Path(str(files("curation") / "recipes"))


def _check_expressions(connection: Connection, recipe: MixRecipe, lines: Lines) -> None:
    columns = connection.execute("select column_name from (describe candidates)").fetchall()
    known = {name for (name,) in columns}
    faults = []
    for name, part in recipe.parts.items():
        try:
            check_condition(connection, part.where)
        except RecipeError as error:
            faults.append(lines.error(("parts", name, "where"), f"SQL error: {error}"))
        faults += [
            lines.error(("parts", name, "stratify_by"), f"no column {column!r} in candidates")
            for column in part.stratify_by
            if column not in known
        ]
    if faults:
        raise RecipeError("\n".join(faults))


def _check_wishes(
    connection: Connection, tallies: dict[str, picking.Tally], recipe: MixRecipe, lines: Lines
) -> None:
    disagreements = gate.check(connection, recipe.agreement) if recipe.agreement else []
    faults = [lines.error(("agreement",), fault) for fault in disagreements]
    for name, tally in tallies.items():
        part = recipe.parts[name]
        if isinstance(part.take, int) and tally.kept < part.take and _on_shortage(recipe, part) == "error":
            place: Location = ("parts", name)
            faults.append(
                lines.error(place, _shortage(name, part.take, tally)).replace(f"parts.{name}: ", "", 1)
            )
    if faults:
        raise RecipeError("\n".join(faults))
    if not any(tally.kept for tally in tallies.values()):
        raise RecipeError(
            f"{lines.file}: the mix is empty: no trace of this corpus fits any part; see `curate status`"
        )


def _on_shortage(recipe: MixRecipe, part: Part) -> Shortage:
    return part.on_shortage or recipe.on_shortage


def _shortage(name: str, take: int, tally: picking.Tally) -> str:
    left_out = ", ".join(f"{n} {reason}" for reason, n in tally.filtered.items())
    usable = f"only {tally.kept} of {tally.matched} matching traces can be used ({left_out})"
    found = usable if tally.filtered else f"only {tally.matched} traces match"
    hint = "" if tally.judged else "; this corpus has no annotations: run `curate annotate` first"
    return f'part "{name}": take {take} but {found}; relax "where", lower "take" or set on_shortage: take_all{hint}'


def _sources(corpus: Corpus) -> list[InputFile]:
    """The files that were ingested: they name the data without naming the corpus's own part layout."""
    found = {}
    for path in sorted((corpus.root / "manifests").glob("ingest-*.json")):
        for entry in Manifest.model_validate_json(path.read_bytes()).inputs:
            found[entry.name, entry.blake2b] = entry
    return [found[key] for key in sorted(found)]


def _counts(connection: Connection) -> Counts:
    counts = Counts()
    for state, n in connection.execute(sql_file("mix_states.sql")).fetchall():
        counts.rows += n
        if state == "kept":
            counts.kept = n
        else:
            counts.filtered[state] = n
    return counts


def _summary(rows: Any) -> dict[str, Any]:
    import pyarrow.compute as pc

    def tally(name: str) -> dict[str, int]:
        return dict(sorted(Counter(str(value) for value in rows[name].to_pylist()).items()))

    tokens = rows["tokens"]
    marks = pc.quantile(tokens, [0.5, 0.9, 1.0], interpolation="lower").to_pylist()
    risky = Counter(name for names in rows["risky"].to_pylist() for name in names)
    return {
        "rows": rows.num_rows,
        "mix_id": folder.mix_id(rows),
        "strategies": tally("strategy"),
        "kinds": tally("kind"),
        "sources": tally("source"),
        "patterns": {name: risky.get(name, 0) for name in RISKY_PATTERNS},
        "tokens": {
            "total": pc.sum(tokens).as_py(),
            "mean": round(pc.mean(tokens).as_py(), 1),
            **dict(zip(("p50", "p90", "max"), marks, strict=True)),
        },
    }
