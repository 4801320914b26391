import random
from collections.abc import Callable

import pyarrow as pa
import pytest

from curation.corpus.part_files import same_type
from curation.corpus.query import benchmark_keys, connect, label_combinations, open_tables, select
from curation.corpus.store import Store
from schemas import RISKY_PATTERNS, Manifest
from schemas.errors import RecipeError
from schemas.tables import TABLES


def fill(corpus: Store, *annotations: tuple[str, bool | None], pattern: str = "weak_vacillation") -> None:
    corpus.append_rows("prompts", [{"prompt_id": "p", "text": "?", "kind": "harmful", "category": "privacy"}])
    trace = {
        "trace_id": "t",
        "prompt_id": "p",
        "prompt": "?",
        "reasoning": "r",
        "answer": "a",
        "sample_index": 0,
    }
    corpus.append_rows("traces", [trace])
    rows = [
        {"trace_id": "t", "pattern": pattern, "annotator": who, "label": label} for who, label in annotations
    ]
    corpus.append_rows("annotations", rows)


def verdict(corpus: Store) -> tuple[bool | None, str]:
    row = select(connect(corpus), "select * from verdicts").to_pylist()[0]
    return row["label"], row["provenance"]


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ([("rules@1", True)], (True, "rules@1")),
        ([("rules@1", True), ("human:ann", False)], (False, "human:ann")),
        ([("rules@1", True), ("embedding:minilm@1", False)], (False, "embedding:minilm@1")),
        ([("judge:m@1", True), ("embedding:minilm@1", False)], (True, "judge:m@1")),
        (
            [("human:ann", True), ("human:bob", False), ("human:cy", True)],
            (True, "human:ann,human:bob,human:cy"),
        ),
        ([("human:ann", True), ("human:bob", False), ("rules@1", True)], (None, "human:ann,human:bob")),
        ([("rules@1", None)], (None, "rules@1")),
        ([("human:ann", None), ("rules@1", True)], (True, "rules@1")),
        ([("rules@2", False), ("rules@10", True)], (True, "rules@10")),
        ([("human:ann", True), ("human:ann@2", False), ("rules@1", True)], (False, "human:ann@2")),
        ([("human:ann", True), ("human:ann@2", None), ("rules@1", False)], (False, "rules@1")),
        (
            [("human:ann@10", True), ("human:ann@9", False), ("human:bob", True)],
            (True, "human:ann@10,human:bob"),
        ),
    ],
)
def test_consensus_ranks_annotators(corpus: Store, annotations: list, expected: tuple) -> None:
    fill(corpus, *annotations)
    assert verdict(corpus) == expected


def test_an_empty_corpus_has_all_tables_and_views(corpus: Store) -> None:
    connection = connect(corpus)
    for name in ("prompts", "traces", "annotations", "quarantine", "verdicts", "candidates"):
        assert select(connection, f"select * from {name}").num_rows == 0


def test_candidates_join_prompt_verdicts_and_each_annotator(corpus: Store) -> None:
    fill(corpus, ("rules@1", True), ("human:ann", False))
    query = 'select category, weak_vacillation, rules.weak_vacillation as r, "human:ann".weak_vacillation as h from candidates'
    assert select(connect(corpus), query).to_pylist() == [
        {"category": "privacy", "weak_vacillation": False, "r": True, "h": False}
    ]


def test_an_edited_review_replaces_the_older_one_of_that_trace_only(corpus: Store) -> None:
    fill(corpus, ("human:ann", True), ("human:ann@2", False))
    other = {"trace_id": "u", "pattern": "weak_vacillation", "annotator": "human:ann", "label": True}
    corpus.append_rows("annotations", [other])
    rows = select(connect(corpus), "select trace_id, label from verdicts order by trace_id").to_pylist()
    assert rows == [{"trace_id": "t", "label": False}, {"trace_id": "u", "label": True}]
    person = select(
        connect(corpus), 'select "human:ann".weak_vacillation as label from candidates'
    ).to_pylist()
    assert person == [{"label": False}]


def test_risky_is_unknown_until_every_pattern_is_judged_or_one_is_true(corpus: Store) -> None:
    fill(corpus, ("rules@1", False))
    assert select(connect(corpus), "select risky from candidates").to_pylist() == [{"risky": None}]


@pytest.mark.parametrize(
    ("kind", "pattern", "label", "risky"),
    [
        ("benign", "inconsistency", False, False),
        ("math", "inconsistency", None, None),
        ("benign", "strong_vacillation", None, None),
        ("benign", "strong_vacillation", True, True),
        ("harmful", "inconsistency", False, None),
    ],
)
def test_only_inconsistency_applies_to_queries_that_are_not_harmful(
    corpus: Store, kind: str, pattern: str, label: bool | None, risky: bool | None
) -> None:
    trace = {"trace_id": "t", "prompt_id": "p", "prompt": "?", "kind": kind, "sample_index": 0}
    corpus.append_rows("traces", [trace | {"reasoning": "r", "answer": "a"}])
    row = {"trace_id": "t", "pattern": pattern, "annotator": "rules@2", "label": label}
    corpus.append_rows("annotations", [row])
    assert select(connect(corpus), "select risky from candidates").to_pylist() == [{"risky": risky}]


def test_one_true_pattern_makes_a_trace_risky(corpus: Store) -> None:
    fill(corpus, ("rules@1", True))
    assert select(connect(corpus), "select risky from candidates").to_pylist() == [{"risky": True}]


def test_a_condition_may_end_in_a_comment(build: Callable[..., tuple[Manifest, list[dict]]]) -> None:
    text = "name: x\nparts:\n  a: {{where: \"kind = 'harmful'{}\"}}\n"
    _, plain = build(text.format(""), "plain")
    _, commented = build(text.format(" -- the hard ones"), "commented")
    assert len(plain) == 60 and commented == plain


def test_a_benchmark_key_ignores_case_spacing_and_punctuation() -> None:
    same = benchmark_keys(["How do I kill a Python process?", "  how do I KILL a python\nprocess"])
    assert same[0] == same[1] != benchmark_keys(["How do I kill a Perl process?"])[0]


@pytest.mark.parametrize("seed", range(8))
def test_candidates_carry_the_same_consensus_as_verdicts(corpus: Store, seed: int) -> None:
    chance = random.Random(seed)
    who = [
        "rules@1",
        "rules@2",
        "embedding:m@1",
        "judge:a@1",
        "guard:b@1",
        "human:ann",
        "human:ann@2",
        "human:bob",
    ]
    traces = [{"trace_id": f"t{n}", "prompt_id": "p", "prompt": "?", "reasoning": "", "answer": "", "sample_index": 0} for n in range(40)]  # fmt: skip
    corpus.append_rows("traces", traces)
    given = [
        {"trace_id": trace["trace_id"], "pattern": pattern, "annotator": annotator,
         "label": chance.choice([True, False, None]), "score": chance.choice([None, 0.25, 0.75])}
        for trace in traces for pattern in RISKY_PATTERNS for annotator in who if chance.random() < 0.4
    ]  # fmt: skip
    corpus.append_rows("annotations", given)
    connection = connect(corpus)
    wide = select(connection, "select * from candidates").to_pylist()
    found = {
        (row["trace_id"], name): (row[name], row[f"{name}_score"]) for row in wide for name in RISKY_PATTERNS
    }
    for row in select(connection, "select * from verdicts").to_pylist():
        label, score = found.pop((row["trace_id"], row["pattern"]))
        assert label == row["label"]
        assert score == pytest.approx(row["score"])
    assert set(found.values()) <= {(None, None)}


@pytest.mark.parametrize(
    "name", ["part", "tokens", "weak_vacillation", "trace_id", "Risky", "by_annotator", "o", "narrow"]
)
def test_an_annotator_cannot_take_the_name_of_a_column(corpus: Store, name: str) -> None:
    fill(corpus, (f"{name}@1", True), ("rules@1", False))
    query = f"select trace_id, rules.weak_vacillation as r, by_annotator['{name}'].weak_vacillation as own from candidates"
    assert select(connect(corpus), query).to_pylist() == [{"trace_id": "t", "r": False, "own": True}]


def test_annotators_that_differ_in_case_do_not_hide_each_other(corpus: Store) -> None:
    fill(corpus, ("human:Alice", True), ("human:alice", False))
    query = """select by_annotator['human:Alice'].weak_vacillation as upper,
        by_annotator['human:alice'].weak_vacillation as lower, weak_vacillation as both from candidates"""
    assert select(connect(corpus), query).to_pylist() == [{"upper": True, "lower": False, "both": None}]
    (combination,) = label_combinations(connect(corpus))["weak_vacillation"]
    assert combination.labels == {"human:Alice": True, "human:alice": False}


def test_a_thousand_annotators_keep_the_corpus_usable_and_the_busiest_keep_their_columns(
    corpus: Store,
) -> None:
    fill(corpus, ("rules@1", True), *((f"extra{n}@1", n % 3 == 0) for n in range(1000)))
    more = {"trace_id": "u", "pattern": "weak_vacillation", "annotator": "rules@1", "label": True}
    corpus.append_rows("annotations", [more])
    query = """select weak_vacillation as label, rules.weak_vacillation as rules, cardinality(by_annotator) as others
        from candidates"""
    assert select(connect(corpus), query).to_pylist() == [{"label": False, "rules": True, "others": 951}]


@pytest.mark.parametrize("reviewed_only", [False, True])
def test_combinations_of_labels_are_the_same_with_a_column_for_each_annotator_and_without(
    corpus: Store, monkeypatch, reviewed_only: bool
) -> None:
    chance = random.Random(7)
    people = ("human:ann", "human:bob")
    fill(corpus)
    rows = [
        {
            "trace_id": f"t{n}",
            "pattern": pattern,
            "annotator": who,
            "label": chance.choice((True, False, None)),
        }
        for n in range(40)
        for pattern in RISKY_PATTERNS
        for who in ("rules@1", "rules@2", "judge:m@1", *people)
        if who not in people or n % 3
    ]
    corpus.append_rows("annotations", rows)

    def combinations() -> dict[str, list[str]]:
        found = label_combinations(connect(corpus), reviewed_only)
        return {
            pattern: sorted(
                str((sorted(one.labels.items()), one.truth, one.traces)) for one in some if one.labels
            )
            for pattern, some in found.items()
        }

    wide = combinations()
    monkeypatch.setattr("curation.corpus.candidates.MOST_COLUMNS", 2)
    assert combinations() == wide and all(wide.values())


def test_an_empty_table_has_the_types_that_arrow_gives_its_rows(corpus: Store) -> None:
    connection = open_tables(corpus)
    for table, schema in TABLES.items():
        connection.register("of_arrow", schema.empty_table())
        for given in (connection.table(table), connection.table("of_arrow")):
            assert given.columns == schema.names
            assert all(same_type(kind, field.type) for kind, field in zip(given.types, schema, strict=True))


@pytest.mark.parametrize(
    "other",
    [
        pa.struct([("field", pa.string()), ("start", pa.int64())]),
        pa.struct([("place", pa.string()), ("start", pa.int32())]),
        pa.list_(pa.struct([("field", pa.string()), ("start", pa.int32())])),
        pa.string(),
    ],
)
def test_a_struct_with_other_fields_is_another_type(corpus: Store, other: pa.DataType) -> None:
    ours = pa.struct([("field", pa.string()), ("start", pa.int32())])
    connection = open_tables(corpus)
    connection.register("of_arrow", pa.table({"ours": pa.array([], ours)}))
    (kind,) = connection.table("of_arrow").types
    assert same_type(kind, ours) and not same_type(kind, other)


def test_tables_open_without_the_views_that_count_annotations(filled: Store) -> None:
    connection = open_tables(filled)
    assert select(connection, "select count(*) as n from traces").to_pylist() == [{"n": 80}]
    assert select(connection, "select count(*) as n from current_clusters").to_pylist() == [{"n": 0}]
    with pytest.raises(RecipeError, match="candidates"):
        select(connection, "from candidates")


def test_the_columns_that_expressions_are_checked_against_are_those_of_candidates(filled: Store) -> None:
    connection = connect(filled)
    described = [
        select(connection, f"describe {name}").to_pylist() for name in ("candidates", "candidate_columns")
    ]
    assert described[0] == described[1] and len(described[0]) > 40
