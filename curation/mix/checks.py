"""Checks a recipe against a corpus: SQL, columns, quotas. Reports all faults at once."""

from collections.abc import Iterator, Mapping

from curation.corpus.funnel import funnel
from curation.corpus.query import Connection
from curation.corpus.untrusted import check_condition, check_order
from curation.mix.picking import PartTally
from curation.mix.recipe import MixRecipe, Part
from curation.mix.rewriting import rewriter
from curation.recipe import Lines, Location
from curation.review import gate
from schemas.choices import meant
from schemas.errors import RecipeError


def expression_faults(connection: Connection, recipe: MixRecipe, lines: Lines) -> list[str]:
    """Faults in SQL, column names and forms, with their lines."""
    columns = connection.execute("select column_name from (describe candidates)").fetchall()
    known = {name for (name,) in columns}
    faults = []
    for name, part in recipe.parts.items():
        faults += list(_part_faults(connection, name, part, known, lines))
    for index, expression in enumerate(recipe.order_by):
        try:
            check_order(connection, expression)
        except RecipeError as error:
            faults.append(lines.error(("order_by", index), f"SQL error: {error}"))
    if recipe.agreement and (unknown := gate.unknown(connection, recipe.agreement)):
        faults.append(lines.error(("agreement", "patterns"), unknown))
    return faults


def wish_faults(
    connection: Connection, tallies: Mapping[str, PartTally], recipe: MixRecipe, lines: Lines
) -> list[str]:
    """Shortages and disagreements of reviewers, with their lines."""
    disagreements = gate.check(connection, recipe.agreement) if recipe.agreement else []
    faults = [lines.error(("agreement",), fault) for fault in disagreements]
    for name, tally in tallies.items():
        part = recipe.parts[name]
        if recipe.shortage_rule(part) == "take_all":
            continue
        place: Location = ("parts", name)
        shortages = [
            lines.error(place, fault).replace(f"parts.{name}: ", "", 1)
            for fault in _shortages(name, part, tally)
        ]
        faults += ["\n".join([fault, *passing(connection, part, tally)]) for fault in shortages]
    if not faults and not any(tally.kept for tally in tallies.values()):
        faults.append(
            "\n".join(
                [
                    f"{lines.file}: the mix is empty: no trace of this corpus matches any part; see `curate status`",
                    *(
                        line
                        for name, tally in tallies.items()
                        for line in (f'part "{name}":', *passing(connection, recipe.parts[name], tally))
                    ),
                ]
            )
        )
    return faults


def passing(connection: Connection, part: Part, tally: PartTally) -> Iterator[str]:
    """How many traces pass each clause of a part's `where`, as lines for a person."""
    passed = funnel(connection, part.where)
    yield from passed.lines()
    if taken := passed.left - tally.matched:
        yield f"  {taken:,} of these went to an earlier part"


def _part_faults(
    connection: Connection, name: str, part: Part, known: set[str], lines: Lines
) -> Iterator[str]:
    place: Location = ("parts", name)
    try:
        check_condition(connection, part.where)
    except RecipeError as error:
        yield lines.error((*place, "where"), f"SQL error: {error}")
    for field in ("stratify_by", "ratios"):
        for column in getattr(part, field):
            if column not in known:
                yield lines.error(
                    (*place, field), f"no column {column!r} in candidates{meant(column, known)}"
                )
    if part.rewrite:
        try:
            rewriter(part.rewrite, lines.file_of((*place, "rewrite")))
        except RecipeError as error:
            yield lines.error((*place, "rewrite"), str(error))


def _shortages(name: str, part: Part, tally: PartTally) -> Iterator[str]:
    hint = "" if tally.judged else "; this corpus has no annotations: run `curate annotate` first"
    advice = f'relax "where", lower "take" or set on_shortage: take_all{hint}'
    for shortage in tally.shortages:
        yield f'part "{name}": {shortage}; {advice}'
    if isinstance(part.take, int) and tally.kept < part.take and not tally.shortages:
        yield f'part "{name}": take {part.take} but {_usable(part, tally)}; {advice}'


def _usable(part: Part, tally: PartTally) -> str:
    if not tally.filtered and part.at_most is None and not part.ratios:
        return f"only {tally.matched} traces match"
    left_out = (
        ", ".join(f"{n} {reason}" for reason, n in tally.filtered.items())
        or "at_most and ratios allow no more"
    )
    return f"only {tally.kept} of {tally.matched} matching traces can be used ({left_out})"
