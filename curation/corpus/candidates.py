"""The SQL of the `candidates` view: one row per trace with everything a mix may filter on.

The consensus of `verdicts.sql` is written out here a second time, as an expression over one column per annotator and
pattern: grouping five million annotations by trace alone is twelve times faster than by trace, pattern and rank. A test
holds the two against each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from annotators.statistics.consensus import ConsensusWeights
from schemas.patterns import CODEBOOK, RISKY_PATTERNS

NAMES = tuple(entry.name for entry in CODEBOOK)


class PatternAnnotator(NamedTuple):
    """An annotator that spoke about a pattern."""

    name: str
    """Without its version."""
    rank: int
    """0 people, 1 judges and guards, 2 models, 3 rules."""
    pattern: str


def pieces(
    annotators_of: Sequence[PatternAnnotator], weights: Mapping[str, ConsensusWeights]
) -> dict[str, str]:
    """The pieces of `sql/candidates.sql` for the annotators at hand, and the weights of the patterns that are weighed."""
    columns = {opinion: f"o{n}" for n, opinion in enumerate(annotators_of) if opinion.pattern in NAMES}
    aggregates = "".join(
        f",\nbool_or(label) filter ({_is(o)}) as {c}, max(score) filter ({_is(o)}) as {c}_score"
        for o, c in columns.items()
    )
    labels = ",\n".join(
        _weighed(name, columns, weights[name])
        if name in weights
        else f"{_label(_of(columns, name))} as {name}, {_score(_of(columns, name))} as {name}_score"
        for name in NAMES
    )
    structs = "".join(f",\n{_struct(columns, name)}" for name in sorted({o.name for o in annotators_of}))
    known = " or ".join(RISKY_PATTERNS)
    return {"annotators_of": aggregates, "labels": labels, "annotators": structs, "risky": f"({known})"}


def votes(annotators_of: Sequence[PatternAnnotator]) -> dict[str, str]:
    """The pieces of `sql/votes.sql`, and under each pattern's name what `sql/ballots.sql` asks of that table."""
    columns = {opinion: f"o{n}" for n, opinion in enumerate(annotators_of) if opinion.pattern in NAMES}
    aggregates = "".join(f",\nbool_or(label) filter ({_is(o)}) as {c}" for o, c in columns.items())
    columns_by_pattern = {"annotators_of": aggregates}
    for pattern in sorted({opinion.pattern for opinion in columns}):
        voices = _of(columns, pattern)
        names = [f"{c} as {_quoted(o.name)}" for o, c in columns.items() if o.pattern == pattern]
        columns_by_pattern[pattern] = ", ".join(
            [*names, f'{_label({0: voices[0]} if 0 in voices else {})} as "$people"']
        )
    return columns_by_pattern


Voices = dict[int, list[str]]
"""The columns that hold opinions on one pattern, by rank, highest rank first."""


def _of(columns: dict[PatternAnnotator, str], pattern: str) -> Voices:
    voices: Voices = {}
    for opinion, column in sorted(columns.items(), key=lambda pair: (pair[0].rank, pair[0].name)):
        if opinion.pattern == pattern:
            voices.setdefault(opinion.rank, []).append(column)
    return voices


def _label(voices: Voices) -> str:
    """The majority of the highest rank that has an opinion; a tie is null."""
    cases = [
        f"when {_spoke(columns)} > 0 then nullif(sign(2 * {_sum(f'coalesce({c}::int, 0)' for c in columns)} - {_spoke(columns)}), 0) > 0"
        for columns in voices.values()
    ]
    return f"case {' '.join(cases)} end" if cases else "null::boolean"


def _score(voices: Voices) -> str:
    """The mean score of that rank; a verdict without a score counts as 0 or 1."""
    cases = []
    for columns in voices.values():
        given = [f"if({c} is null, 0, coalesce({c}_score, {c}::int))::double" for c in columns]
        cases.append(f"when {_spoke(columns)} > 0 then {_sum(given)} / {_spoke(columns)}")
    silent = ", ".join(f"{c}_score" for columns in voices.values() for c in columns)
    return f"(case {' '.join(cases)} else list_avg([{silent}]) end)::float" if cases else "null::float"


def _weighed(pattern: str, columns: dict[PatternAnnotator, str], weights: ConsensusWeights) -> str:
    """As `sql/consensus_weighted.sql` has it: people, then the posterior, then the highest rank that spoke."""
    voices = _of(columns, pattern)
    people = voices.get(0, [])
    rates = {c: weights.annotators.get(o.name) for o, c in columns.items() if o.pattern == pattern and o.rank}
    known = {column: rate for column, rate in rates.items() if rate}
    terms = (
        f"case when {c} then {r.if_true:.6f} when not {c} then {r.if_false:.6f} else 0 end"
        for c, r in known.items()
    )
    odds = f"({weights.prior:.6f} + {_sum(terms)})"
    by_rank = f"{_spoke(people)} > 0 or {_spoke(list(known))} = 0" if people else f"{_spoke(list(known))} = 0"
    return (
        f"if({by_rank}, {_label(voices)}, nullif(sign({odds}), 0) > 0) as {pattern}, "
        f"if({by_rank}, {_score(voices)}, 1 / (1 + exp(-{odds})))::float as {pattern}_score"
    )


def _spoke(columns: Sequence[str]) -> str:
    return _sum(f"({c} is not null)::int" for c in columns)


def _sum(terms: Iterable[str]) -> str:
    return "(" + " + ".join(terms) + ")"


def _struct(columns: dict[PatternAnnotator, str], name: str) -> str:
    mine = {opinion.pattern: column for opinion, column in columns.items() if opinion.name == name}
    fields = ", ".join(f"{pattern} := {mine.get(pattern, 'null::boolean')}" for pattern in NAMES)
    return f"struct_pack({fields}) as {_quoted(name)}"


def _is(opinion: PatternAnnotator) -> str:
    return f"name = {_literal(opinion.name)} and pattern = {_literal(opinion.pattern)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
