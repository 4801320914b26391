import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from schemas import (
    CODEBOOK,
    PROPERTIES,
    RISKY_PATTERNS,
    Annotation,
    Counts,
    Prompt,
    Row,
    Span,
    Trace,
    content_id,
    generated_trace_id,
    ingested_trace_id,
    prompt_id,
)
from schemas.ids import canonical_json
from schemas.tables import ANNOTATIONS, KEYS, PROMPTS, TABLES, TALK_ROWS, TRACES


def test_an_id_does_not_depend_on_key_order() -> None:
    assert content_id({"a": 1, "b": [2, "é"]}) == content_id({"b": [2, "é"], "a": 1})


def test_an_id_is_the_same_in_every_release() -> None:
    assert prompt_id("x") == "c3c0658d36bfe52d8f80625a8d54c036"


def test_canonical_json_refuses_what_has_no_canonical_form() -> None:
    for value in (float("nan"), "\ud800"):
        with pytest.raises(ValueError):
            canonical_json(value)


@given(st.text(), st.text(), st.text(), st.text())
def test_moving_text_between_fields_changes_the_trace_id(a: str, b: str, c: str, d: str) -> None:
    if (a, b) != (c, d):
        assert ingested_trace_id("p", None, None, a, b) != ingested_trace_id("p", None, None, c, d)


def test_each_sample_of_one_prompt_has_its_own_id() -> None:
    ids = {generated_trace_id("p", "improved@1", "m@1", {"temperature": 0.6}, index) for index in range(5)}
    assert len(ids) == 5


def test_a_span_must_hold_at_least_one_character() -> None:
    with pytest.raises(ValidationError, match="end must be larger than start"):
        Span(field="answer", start=3, end=3)


def test_an_annotation_refuses_a_name_that_is_no_name() -> None:
    with pytest.raises(ValidationError):
        Annotation(trace_id="t", pattern="inconsistency", annotator="no good", label=None)


def test_an_annotator_family_is_what_stands_before_colon_or_at() -> None:
    for name, family in (("rules@1", "rules"), ("human:alice", "human"), ("judge:org/model@2", "judge")):
        assert Annotation(trace_id="t", pattern="x", annotator=name, label=None).family == family


def test_the_codebook_names_five_risky_patterns_with_examples_and_known_exclusions() -> None:
    assert len(RISKY_PATTERNS) == 5
    names = set(RISKY_PATTERNS) | set(PROPERTIES)
    for entry in CODEBOOK:
        assert entry.definition and entry.present and entry.absent
        assert set(entry.excludes) <= names


def test_exclusions_hold_both_ways() -> None:
    excluded = {entry.name: set(entry.excludes) for entry in CODEBOOK}
    assert all(a in excluded[b] for a, others in excluded.items() for b in others)


@pytest.mark.parametrize(
    ("model", "schema"), [(Prompt, PROMPTS), (Trace, TRACES), (Annotation, ANNOTATIONS), (Row, TALK_ROWS)]
)
def test_a_noun_and_its_table_have_the_same_fields(model: type[BaseModel], schema: pa.Schema) -> None:
    assert list(model.model_fields) == schema.names


def test_every_table_has_a_key_of_its_own_columns() -> None:
    assert all(set(KEYS[name]) <= set(schema.names) for name, schema in TABLES.items())


def test_a_part_whose_nested_column_is_all_null_reads_with_its_neighbours(tmp_path) -> None:
    base = {"trace_id": "t", "pattern": "inconsistency", "annotator": "rules@1"}
    for name, spans in (("a", None), ("b", [{"field": "answer", "start": 0, "end": 1}])):
        pq.write_table(
            pa.Table.from_pylist([{**base, "spans": spans}], ANNOTATIONS), tmp_path / f"{name}.parquet"
        )
    assert pq.read_table(tmp_path)["spans"].to_pylist() == [None, [{"field": "answer", "start": 0, "end": 1}]]


def test_counts_balance_when_every_row_has_one_state() -> None:
    counts = Counts(rows=10, kept=6)
    counts.add("filtered", "duplicate", 1)
    counts.add("quarantined", "no_think", 2)
    assert counts.balance == 1
    counts.add("failed", "timeout")
    assert counts.balance == 0
