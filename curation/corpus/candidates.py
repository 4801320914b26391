"""The SQL of the `candidates` view: one row per trace with every column a mix can filter on.

The consensus of `verdicts.sql` and `unsafe_union.sql` is implemented here a second time, as an expression over one column per annotator and
pattern: grouping five million annotations by trace alone is twelve times faster than by trace, pattern and rank. A test
checks that both agree.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from annotators.statistics.consensus import ConsensusWeights
from curation.codebook.known import Known
from curation.corpus import unsafe_union
from curation.corpus.filling import identifier, quoted, sql_file
from schemas.codebooks import Pattern
from schemas.patterns import CODEBOOK, RISKY_PATTERNS, UNSAFE, UNSAFE_FIELDS
from schemas.tables import TABLES

MOST_COLUMNS = 50
"""Annotators that have a column; the others are in the map `by_annotator`."""
RESERVED = {
    *TABLES["traces"].names, *TABLES["prompts"].names,
    *(entry.name for entry in CODEBOOK), *(f"{entry.name}_score" for entry in CODEBOOK),
    "risky", "verdict", "keep", "repair", "drop", "unsure", "duplicate", "response_duplicate", "prompt_duplicate", "prompt_family", "benchmarks", "contaminated", "influence", "by_annotator",
    "part", "tokens", "copy", "split", "position", "estimated_tokens", "prompt_key", "held_out", "refused", "candidates", "narrow",
    "i", "t", "p", "o", "r", "q", "v", "x", "c", "cp", "ct", "pv",
}  # fmt: skip
"""Names that mean something else in `candidates`, or in the queries that a mix makes of it."""


class PatternAnnotator(NamedTuple):
    """An annotator that labelled a pattern."""

    name: str
    """Without its version."""
    rank: int
    """-1 adjudicators, 0 people, 1 judges and guards, 2 models, 3 rules."""
    pattern: str
    annotations: int
    """How many it made."""


def pattern_annotators(connection: Any) -> list[PatternAnnotator]:
    """The annotators of each pattern that have labelled anything in the corpus of a connection."""
    rows = connection.execute(sql_file("curation.corpus", "pattern_annotators.sql")).fetchall()
    return [PatternAnnotator(*row) for row in rows]


def annotator_names(connection: Any) -> list[str]:
    """The annotators that have labelled anything, without versions, in alphabetical order."""
    return sorted({one.name for one in pattern_annotators(connection)})


def keep_columns(connection: Any) -> None:
    """The table `candidate_columns`: for what is checked against `candidates`, its many joins need not be planned, nor for this table."""
    found = connection.execute(
        "select column_name, data_type from duckdb_columns() where table_name = 'candidates' order by column_index"
    ).fetchall()
    columns = ", ".join(f"{identifier(name)} {kind}" for name, kind in found)
    connection.execute(f"create temp table candidate_columns ({columns})")


def pieces(
    annotators_of: Sequence[PatternAnnotator], weights: Mapping[str, ConsensusWeights], known: Known
) -> dict[str, str]:
    """The pieces of `sql/candidates.sql` for the corpus's annotators, the weights of the weighted patterns, and the entries it knows."""
    names = tuple(known.entries)
    shown = own_columns(annotators_of, known)
    columns = {one: f"o{n}" for n, one in enumerate(annotators_of) if one.pattern in known.entries}
    if len({one.name for one in annotators_of}) > MOST_COLUMNS:
        columns = {one: column for one, column in columns.items() if one.name in shown}
        labels, more = _from_verdicts(known)
    else:
        labels, more = _from_labels(_read(columns, single_field(annotators_of)), weights, known), ""
    aggregates = "".join(
        f",\nbool_or(label) filter ({_is(o)}) as {c}, max(score) filter ({_is(o)}) as {c}_score"
        for o, c in columns.items()
    )
    return {
        "grouped": sql_file(
            "curation.corpus",
            "grouped_labels.sql",
            label_columns=aggregates,
            read=_rewritten(columns, single_field(annotators_of)),
        ),
        "labels": labels,
        "risky": _risky(),
        "annotators": "".join(f",\n{_struct(columns, name, names)}" for name in shown),
        **_others({one.name for one in annotators_of} - set(shown), shown, more, names),
    }


def own_columns(annotators_of: Sequence[PatternAnnotator], known: Known) -> list[str]:
    """The annotators that have a column of `candidates`: the most active, except names that mean something else there.

    Annotators name themselves, and SQL takes no notice of case: neither may one hide a column of ours, nor another annotator.
    """
    made: Counter[str] = Counter()
    for one in annotators_of:
        made[one.name] += one.annotations
    spelled = Counter(name.lower() for name in made)
    taken = RESERVED | set(known.columns)
    fit = [name for name in made if spelled[name.lower()] == 1 and name.lower() not in taken]
    return sorted(sorted(fit, key=lambda name: (-made[name], name))[:MOST_COLUMNS])


def single_field(annotators_of: Sequence[PatternAnnotator]) -> dict[str, str]:
    """The machine annotators that judge one field, and the pattern that their `unsafe` is read as."""
    patterns: dict[str, list[str]] = {}
    for one in annotators_of:
        if one.rank > 0:
            patterns.setdefault(one.name, []).append(one.pattern)
    return unsafe_union.of_one_field(patterns)


_Columns = dict[PatternAnnotator, str]


def _read(columns: _Columns, single: Mapping[str, str]) -> _Columns:
    """The columns by the pattern that each is read as (`sql/verdicts.sql` has the rule)."""
    read = {}
    for one, column in sorted(columns.items(), key=lambda pair: pair[0].pattern == UNSAFE):
        union = one.pattern == UNSAFE
        # comes after the field's own column, which it then contains
        as_read = one._replace(pattern=single.get(one.name, UNSAFE) if union else one.pattern, annotations=0)
        read[as_read] = f"e{column}" if union and one.rank > 0 else column
    return read


def _rewritten(columns: _Columns, single: Mapping[str, str]) -> str:
    """The columns of machine annotators' `unsafe` as the consensus reads them."""
    at = {(one.name, one.pattern): column for one, column in columns.items()}
    rewritten = ""
    for one, column in columns.items():
        if one.pattern != UNSAFE or one.rank <= 0:
            continue
        fields = [at[one.name, name] for name in UNSAFE_FIELDS.values() if (one.name, name) in at]
        label, score = column, f"{column}_score"
        if fields and one.name in single:
            label = f"coalesce({fields[0]}, {column})"
            score = f"if({fields[0]} is null, coalesce({fields[0]}_score, {score}), {fields[0]}_score)"
        elif fields:
            label = f"if({column} and coalesce({', '.join(fields)}) is not null, null, {column})"
        rewritten += f", {label} as e{column}, {score} as e{column}_score"
    return rewritten


def _from_labels(columns: _Columns, weights: Mapping[str, ConsensusWeights], known: Known) -> str:
    said = {name: _said(name, columns, weights) for name in known.entries}
    union = [said[name] for name in (UNSAFE, *UNSAFE_FIELDS.values())]
    labels = {name: (one.label, one.score) for name, one in said.items()}
    labels[UNSAFE] = (unsafe_union.label(*union), unsafe_union.score(*union))
    return _shown(
        labels, known, {name: f"({one.label} is not null or {one.tied})" for name, one in said.items()}
    )


def _shown(labels: Mapping[str, tuple[str, str]], known: Known, judged: Mapping[str, str]) -> str:
    """The columns of the entries: labels, or values where an entry has more than two; and of their combinations.

    Args:
        labels: label and score of each entry.
        known: the entries.
        judged: whether somebody gave an entry a value; of an entry with levels a tie of labels is no tie of values.
    """
    columns = [
        f"{_valued(known.entries[name], label, score, judged[name])} as {name}, {score} as {name}_score"
        for name, (label, score) in labels.items()
    ]
    for name, combination in known.combined.items():
        given = [labels[entry][0] for entry in combination.of]
        true = _sum(f"coalesce({label}, false)::int" for label in given)
        possible = _sum(f"coalesce({label}, true)::int" for label in given)
        columns.append(
            f"case when {true} >= {combination.at_least} then true when {possible} < {combination.at_least} then false end as {name}"
        )
    return ",\n".join(columns)


def _valued(entry: Pattern, label: str, score: str, judged: str) -> str:
    """What `candidates` shows of an entry: the label; of one with levels or numbers, the value that its score stands for."""
    if not entry.graded:
        return label
    value = f"{entry.lowest:g} + {score} * {entry.highest - entry.lowest:g}"
    whole = f"round({value})::integer" if entry.levels else f"round({value}, 4)::double"
    return f"if({judged}, {whole}, null)"


def _said(
    name: str, columns: _Columns, weights: Mapping[str, ConsensusWeights]
) -> unsafe_union.FieldConsensus:
    ranked = _of(columns, name)
    label, score = (
        _weighed(name, columns, weights[name]) if name in weights else (_label(ranked), _score(ranked))
    )
    people, everybody = _people(ranked), [column for of_rank in ranked.values() for column in of_rank]
    return unsafe_union.FieldConsensus(
        label,
        score,
        f"({_labelled(people)} > 0)" if people else "false",
        f"({label} is null and {_labelled(everybody)} > 0)" if everybody else "false",
    )


def _from_verdicts(known: Known) -> tuple[str, str]:
    """The labels, and the join that they come from."""
    given = "".join(
        f",\nbool_or(label) filter (pattern = '{n}') as {n}, max(score) filter (pattern = '{n}') as {n}_score"
        for n in known.entries
    )
    joined = sql_file("curation.corpus", "grouped_verdicts.sql", verdict_columns=given)
    labels = {name: (f"v.{name}", f"v.{name}_score") for name in known.entries}
    return _shown(
        labels, known, {name: f"(v.{name}_score is not null)" for name in labels}
    ), f"left join ({joined}) v using (trace_id)"


def _others(others: set[str], shown: Sequence[str], more: str, names: Sequence[str]) -> dict[str, str]:
    kind = f"struct({', '.join(f'{name} boolean' for name in names)})"
    if not others:
        return {"others": f"map {{}}::map(varchar, {kind})", "other_annotators": more}
    fields = ", ".join(f"{name} := bool_or(label) filter (pattern = '{name}')" for name in names)
    taken = ", ".join(map(quoted, shown)) or "''"
    joined = sql_file("curation.corpus", "other_annotators.sql", fields=fields, taken=taken)
    return {"others": "x.by_annotator", "other_annotators": f"{more}\n{joined}"}


def _risky() -> str:
    """True if a pattern is present, false if all that apply are absent; null if one of these is not judged.

    To a query that is known not to be harmful, only inconsistency applies.
    """
    present = " or ".join(RISKY_PATTERNS)
    others = " or ".join(f"coalesce({name}, false)" for name in RISKY_PATTERNS if name != "inconsistency")
    harmful = "coalesce(t.kind, p.kind, 'harmful') = 'harmful'"
    return f"case when {harmful} then ({present}) else ({others} or inconsistency) end"


def label_columns(annotators_of: Sequence[PatternAnnotator], known: Known) -> dict[str, str]:
    """The pieces of `sql/labels.sql`, and under each pattern's name the columns of `sql/label_combinations.sql`."""
    columns = {one: f"o{n}" for n, one in enumerate(annotators_of) if one.pattern in known.entries}
    aggregates = "".join(f",\nbool_or(label) filter ({_is(o)}) as {c}" for o, c in columns.items())
    columns_by_pattern = {"label_columns": aggregates}
    for pattern in sorted({one.pattern for one in columns}):
        ranked = _of(columns, pattern)
        names = [column for one, column in columns.items() if one.pattern == pattern]
        columns_by_pattern[pattern] = ", ".join(
            [*names, f"{_label({rank: of for rank, of in ranked.items() if rank <= 0})} as people"]
        )
    return columns_by_pattern


RankedColumns = dict[int, list[str]]
"""The label columns of one pattern by rank, highest rank first."""


def _of(columns: dict[PatternAnnotator, str], pattern: str) -> RankedColumns:
    ranked: RankedColumns = {}
    for one, column in sorted(columns.items(), key=lambda pair: (pair[0].rank, pair[0].name)):
        if one.pattern == pattern:
            ranked.setdefault(one.rank, []).append(column)
    return ranked


def _people(ranked: RankedColumns) -> list[str]:
    return [column for rank, columns in ranked.items() if rank <= 0 for column in columns]


def _label(ranked: RankedColumns) -> str:
    """The majority of the highest rank with a label; a tie is null."""
    cases = [
        f"when {columns[0]} is not null then {columns[0]}"  # no vote among one, which would cost as much as the grouping
        if len(columns) == 1
        else f"when {_labelled(columns)} > 0 then nullif(sign(2 * {_sum(f'coalesce({c}::int, 0)' for c in columns)} - {_labelled(columns)}), 0) > 0"
        for columns in ranked.values()
    ]
    return f"case {' '.join(cases)} end" if cases else "null::boolean"


def _score(ranked: RankedColumns) -> str:
    """The mean score of that rank; a label without a score counts as 0 or 1."""
    cases = []
    for columns in ranked.values():
        given = [f"if({c} is null, 0, coalesce({c}_score, {c}::int))::double" for c in columns]
        cases.append(f"when {_labelled(columns)} > 0 then {_sum(given)} / {_labelled(columns)}")
    silent = ", ".join(f"{c}_score" for columns in ranked.values() for c in columns)
    return f"(case {' '.join(cases)} else list_avg([{silent}]) end)::float" if cases else "null::float"


def _weighed(pattern: str, columns: _Columns, weights: ConsensusWeights) -> tuple[str, str]:
    """As in `sql/consensus_weighted.sql`: people, then the posterior, then the highest rank with a label."""
    ranked = _of(columns, pattern)
    people = _people(ranked)
    rates = {
        c: weights.annotators.get(o.name) for o, c in columns.items() if o.pattern == pattern and o.rank > 0
    }
    known = {column: rate for column, rate in rates.items() if rate}
    terms = (
        f"case when {c} then {r.if_true:.6f} when not {c} then {r.if_false:.6f} else 0 end"
        for c, r in known.items()
    )
    odds = f"({weights.prior:.6f} + {_sum(terms)})"
    by_rank = (
        f"{_labelled(people)} > 0 or {_labelled(list(known))} = 0"
        if people
        else f"{_labelled(list(known))} = 0"
    )
    return (
        f"if({by_rank}, {_label(ranked)}, nullif(sign({odds}), 0) > 0)",
        f"if({by_rank}, {_score(ranked)}, 1 / (1 + exp(-{odds})))::float",
    )


def _labelled(columns: Sequence[str]) -> str:
    return _sum(f"({c} is not null)::int" for c in columns)


def _sum(terms: Iterable[str]) -> str:
    return "(" + " + ".join(terms) + ")"


def _struct(columns: dict[PatternAnnotator, str], name: str, names: Sequence[str]) -> str:
    mine = {one.pattern: column for one, column in columns.items() if one.name == name}
    fields = ", ".join(f"{pattern} := {mine.get(pattern, 'null::boolean')}" for pattern in names)
    return f"struct_pack({fields}) as {identifier(name)}"


def _is(one: PatternAnnotator) -> str:
    return f"name = {quoted(one.name)} and pattern = {quoted(one.pattern)}"
