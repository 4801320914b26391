"""Arrow schemas of every table. Parts are always written with these, never with inferred types.

The surprise: a Parquet part whose nested column is all null, written with inferred types, cannot be read together with
the other parts of its table.
"""

import pyarrow as pa

_text = pa.string()

TURN = pa.struct(
    [
        ("role", _text),
        ("content", _text),
        ("reasoning", _text),
        ("tool_calls", _text),
        ("tool_call_id", _text),
        ("name", _text),
    ]
)
"""One message of a conversation (`schemas.conversation.Turn`)."""
CONVERSATION = [pa.field("turns", pa.list_(TURN)), pa.field("tools", _text)]
"""What a prompt has beside its text, since format version 2; null for a prompt of one question."""

PROMPTS = pa.schema(
    [
        pa.field("prompt_id", _text, nullable=False),
        pa.field("text", _text, nullable=False),
        ("kind", _text),
        ("source", _text),
        ("category", _text),
        ("attack", _text),
        ("reference_answer", _text),
        ("source_file", _text),
        ("source_line", pa.int64()),
        ("source_id", _text),
        ("extra", _text),
        *CONVERSATION,
    ]
)

TRACES = pa.schema(
    [
        pa.field("trace_id", _text, nullable=False),
        pa.field("prompt_id", _text, nullable=False),
        pa.field("prompt", _text, nullable=False),
        ("kind", _text),
        ("strategy", _text),
        ("strategy_version", _text),
        ("model", _text),
        ("system", _text),
        pa.field("reasoning", _text, nullable=False),
        pa.field("answer", _text, nullable=False),
        ("finish_reason", _text),
        ("prompt_tokens", pa.int32()),
        ("reasoning_tokens", pa.int32()),
        ("answer_tokens", pa.int32()),
        ("sampling", _text),
        pa.field("sample_index", pa.int32(), nullable=False),
        ("source", _text),
        ("source_file", _text),
        ("source_line", pa.int64()),
        ("source_id", _text),
        ("extra", _text),
        ("parent_id", _text),
        *CONVERSATION,
    ]
)

SPAN = pa.struct([("field", _text), ("start", pa.int32()), ("end", pa.int32())])

ANNOTATIONS = pa.schema(
    [
        pa.field("trace_id", _text, nullable=False),
        pa.field("pattern", _text, nullable=False),
        pa.field("annotator", _text, nullable=False),
        ("label", pa.bool_()),
        ("score", pa.float32()),
        ("spans", pa.list_(SPAN)),
        ("rationale", _text),
    ]
)

QUARANTINE = pa.schema(
    [
        pa.field("quarantine_id", _text, nullable=False),
        pa.field("stage", _text, nullable=False),
        pa.field("source_file", _text, nullable=False),
        pa.field("source_line", pa.int64(), nullable=False),
        ("source_id", _text),
        pa.field("reason", _text, nullable=False),
        pa.field("detail", _text, nullable=False),
        ("row", _text),
    ]
)

REVIEW_TASKS = pa.schema(
    [
        pa.field("round", _text, nullable=False),
        pa.field("trace_id", _text, nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("reason", _text, nullable=False),
        pa.field("blind", pa.bool_(), nullable=False),
        ("gold", pa.list_(_text)),
        ("gold_absent", pa.list_(_text)),
    ]
)
"""The traces of a review round, why each was chosen, and which are shown without suggestions.

`gold` holds the known labels of a trace that is there to measure reviewers: its patterns, or "none"; null for all others.
`gold_absent` holds the entries that are known to be absent: one in neither was left open (in rounds of older versions, without `gold_absent`, none was).
"""

REVIEWS = pa.schema(
    [
        pa.field("round", _text, nullable=False),
        pa.field("trace_id", _text, nullable=False),
        pa.field("reviewer", _text, nullable=False),
        pa.field("updated_at", _text, nullable=False),
        pa.field("status", _text, nullable=False),
        ("verdict", _text),
        ("patterns", pa.list_(_text)),
        (
            "spans",
            pa.list_(
                pa.struct([("pattern", _text), ("field", _text), ("start", pa.int32()), ("end", pa.int32())])
            ),
        ),
        ("comment", _text),
        ("role", _text),
        ("codebook", _text),
        ("values", pa.list_(pa.struct([("pattern", _text), ("value", pa.float64())]))),
    ]
)
"""Every version of every response that was pulled, including drafts and discards; `status` is submitted, draft or discarded.

`role` is "adjudicator" where the review decides a dispute; null for all others. `codebook` is the one that was asked for, null for the
five patterns; `values` are those of its entries with levels (counted from 0) or numbers.
"""

CLUSTERS = pa.schema(
    [
        pa.field("field", _text, nullable=False),
        pa.field("method", _text, nullable=False),
        pa.field("generation", _text, nullable=False),
        pa.field("id", _text, nullable=False),
        pa.field("cluster_id", _text, nullable=False),
        pa.field("representative", pa.bool_(), nullable=False),
        ("similarity", pa.float32()),
    ]
)
"""Which prompts (field prompt, query) or traces (field response) are duplicates; the last generation of a field and method is in force."""

CONTAMINATION = pa.schema(
    [
        pa.field("field", _text, nullable=False),
        pa.field("id", _text, nullable=False),
        pa.field("benchmark", _text, nullable=False),
        pa.field("benchmark_row", _text, nullable=False),
        pa.field("method", _text, nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        ("spans", pa.list_(SPAN)),
    ]
)
"""Which prompts (field prompt) or traces (field reasoning, answer) contain an evaluation prompt, and where; never its text."""

CALIBRATIONS = pa.schema(
    [
        pa.field("calibration_id", _text, nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("annotator", _text, nullable=False),
        pa.field("pattern", _text, nullable=False),
        pa.field("codebook", pa.int32(), nullable=False),
        pa.field("target", _text, nullable=False),
        ("threshold", pa.float32()),
        pa.field("traces", pa.int32(), nullable=False),
        pa.field("true_positives", pa.int32(), nullable=False),
        pa.field("false_positives", pa.int32(), nullable=False),
        pa.field("false_negatives", pa.int32(), nullable=False),
        pa.field("true_negatives", pa.int32(), nullable=False),
    ]
)
"""Score thresholds for positive labels, and their confusion matrix on people's labels; the last version is in force."""

AMENDMENTS = pa.schema(
    [
        pa.field("amendment_id", _text, nullable=False),
        pa.field("subject", _text, nullable=False),
        pa.field("id", _text, nullable=False),
        pa.field("field", _text, nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("value", _text, nullable=False),
        ("previous", _text),
        ("source_file", _text),
        ("source_line", pa.int64()),
    ]
)
"""Fields of prompts and traces (`subject` names the table) that a later ingest put right; the last version of a field is in force."""

AMENDABLE: dict[str, tuple[str, ...]] = {
    "prompts": ("kind", "source", "category", "attack", "reference_answer"),
    "traces": ("kind", "source", "strategy", "strategy_version", "model"),
}
"""The fields that can be amended, by table."""

CODEBOOKS = pa.schema(
    [
        pa.field("codebook_id", _text, nullable=False),
        pa.field("codebook", _text, nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("text", _text, nullable=False),
    ]
)
"""The codebooks that a corpus knows beside the shipped patterns and properties, as JSON; the last version of a name is in force."""

MEMBERSHIPS = pa.schema(
    [
        pa.field("prompt_id", _text, nullable=False),
        pa.field("evaluation_set", _text, nullable=False),
        ("attack", _text),
        ("query", _text),
        ("source_file", _text),
        ("source_line", pa.int64()),
    ]
)
"""Evaluation sets of a prompt beside its own `source`, with the attack and the wrapped query that the set names."""

INFLUENCES = pa.schema(
    [
        pa.field("attribution_id", _text, nullable=False),
        pa.field("row_id", _text, nullable=False),
        pa.field("trace_id", _text, nullable=False),
        pa.field("part", _text, nullable=False),
        pa.field("behaviour", _text, nullable=False),
        pa.field("method", _text, nullable=False),
        pa.field("influence", pa.float64(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("model", _text, nullable=False),
        pa.field("mix_id", _text, nullable=False),
    ]
)
"""What the rows of a mix did for a behaviour of a model that was trained on it; the last version of a behaviour is in force.

`rank` is 1 for the row that did most; `share` is the rank over the number of rows, so that the top 5 % have at most 0.05.
"""

TABLES: dict[str, pa.Schema] = {
    "prompts": PROMPTS,
    "traces": TRACES,
    "annotations": ANNOTATIONS,
    "quarantine": QUARANTINE,
    "review_tasks": REVIEW_TASKS,
    "reviews": REVIEWS,
    "clusters": CLUSTERS,
    "contamination": CONTAMINATION,
    "calibrations": CALIBRATIONS,
    "amendments": AMENDMENTS,
    "codebooks": CODEBOOKS,
    "memberships": MEMBERSHIPS,
    "influences": INFLUENCES,
}

KEYS: dict[str, tuple[str, ...]] = {
    "prompts": ("prompt_id",),
    "traces": ("trace_id",),
    "annotations": ("trace_id", "pattern", "annotator"),
    "quarantine": ("quarantine_id",),
    "review_tasks": ("round", "trace_id"),
    "reviews": ("round", "trace_id", "reviewer", "updated_at"),
    "clusters": ("field", "method", "generation", "id"),
    "contamination": ("field", "id", "benchmark", "benchmark_row", "method"),
    "calibrations": ("calibration_id", "annotator", "pattern"),
    "amendments": ("amendment_id",),
    "codebooks": ("codebook_id",),
    "memberships": ("prompt_id", "evaluation_set"),
    "influences": ("attribution_id", "row_id", "behaviour"),
}
"""The primary key of each table."""

ROWS = pa.schema(
    [
        pa.field("row_id", _text, nullable=False),
        pa.field("trace_id", _text, nullable=False),
        pa.field("prompt_id", _text, nullable=False),
        pa.field("part", _text, nullable=False),
        ("kind", _text),
        ("strategy", _text),
        ("model", _text),
        ("source", _text),
        ("source_id", _text),
        ("category", _text),
        pa.field("prompt", _text, nullable=False),
        pa.field("reasoning", _text, nullable=False),
        pa.field("answer", _text, nullable=False),
        ("reference_answer", _text),
        pa.field("tokens", pa.int32(), nullable=False),
        ("risky", pa.list_(_text)),
    ]
)
"""A mix without conversations has exactly these columns."""

TALK_ROWS = pa.schema([*ROWS, *CONVERSATION])
"""The rows of a mix with conversations."""


def same_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether two types hold the same values: dictionaries and the names of list items do not count."""
    if pa.types.is_dictionary(found):
        return same_type(found.value_type, wanted)
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return same_type(found.value_type, wanted.value_type)
    return bool(found.equals(wanted))


def has_conversations(rows: pa.Table) -> bool:
    """Whether a prompt of some rows has more than its text."""
    names = [field.name for field in CONVERSATION if field.name in rows.column_names]
    return any(rows[name].null_count < rows.num_rows for name in names)
