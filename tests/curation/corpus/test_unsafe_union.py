"""`unsafe` is a union of what was said of reasoning and answer; a leak never passes a filter for safe replies."""

import itertools
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.mix import build as mix
from curation.mix import sweep
from tests.curation.corpus.test_consensus import add_traces, annotation

REASONING, ANSWER, WHOLE = "guard:reasoningshield+m@1", "guard:harmbench+m@1", "guard:llama-guard+m@1"
LABELS = (True, False, None)


def unsafe(corpus: Store, *rows: tuple[str, str, bool | None], policy="ranked") -> bool | None:
    """The consensus of some annotations (annotator, pattern, label) of one trace, the same from both views."""
    add_traces(corpus, ["t"])
    corpus.append_rows(
        "annotations", [annotation("t", pattern, name, label) for name, pattern, label in rows]
    )
    connection = connect(corpus, policy=policy)
    query = "select label, score from verdicts where pattern = 'unsafe'"
    [verdict] = select(connection, query).to_pylist()
    [candidate] = select(
        connection, "select unsafe as label, unsafe_score as score from candidates"
    ).to_pylist()
    assert verdict == candidate
    return verdict["label"]


@pytest.mark.parametrize(("reasoning", "answer"), list(itertools.product(LABELS, LABELS)))
def test_two_guards_of_a_field_each_make_a_union(
    corpus: Store, reasoning: bool | None, answer: bool | None
) -> None:
    rows = [
        (REASONING, "unsafe", reasoning or None), (REASONING, "unsafe_reasoning", reasoning),
        (ANSWER, "unsafe", answer or None), (ANSWER, "unsafe_answer", answer),
    ]  # fmt: skip
    wanted = True if True in (reasoning, answer) else None if None in (reasoning, answer) else False
    assert unsafe(corpus, *rows) is wanted


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        # labels of the first version: no fields apart; a guard of one field said false of the whole reply
        ([(REASONING, "unsafe", True), (ANSWER, "unsafe", False)], True),
        ([(REASONING, "unsafe", False), (ANSWER, "unsafe", False)], False),
        ([(ANSWER, "unsafe", False)], None),
        ([(WHOLE, "unsafe", False)], False),
        ([(WHOLE, "unsafe", True), (ANSWER, "unsafe", False)], True),
        # of the second: the fields apart, and false of the whole reply where one field was judged
        ([(ANSWER, "unsafe", False), (ANSWER, "unsafe_answer", False)], None),
        # a guard of the whole reply that had no reasoning to judge
        ([(WHOLE, "unsafe", False), (WHOLE, "unsafe_reasoning", None), (WHOLE, "unsafe_answer", False)], False),
        # guards that disagree on a field
        (
            [(WHOLE, "unsafe", False), (WHOLE, "unsafe_reasoning", False), (WHOLE, "unsafe_answer", False),
             (REASONING, "unsafe", True), (REASONING, "unsafe_reasoning", True)],
            None,
        ),
        # people have the last word, of the reply and of its fields
        ([(WHOLE, "unsafe", True), ("human:ann@1", "unsafe", False)], False),
        ([(REASONING, "unsafe_reasoning", True), ("human:ann@1", "unsafe", False)], False),
        ([(WHOLE, "unsafe", False), ("human:ann@1", "unsafe_answer", True)], True),
        (
            [(WHOLE, "unsafe", True), (WHOLE, "unsafe_answer", True), (WHOLE, "unsafe_reasoning", False),
             ("human:ann@1", "unsafe_answer", False)],
            False,
        ),
        (
            [(WHOLE, "unsafe", True), ("human:ann@1", "unsafe_answer", False), ("human:ann@1", "unsafe_reasoning", False)],
            False,
        ),
        # an annotator of one's own
        ([("shouting@1", "unsafe", True)], True),
        ([("shouting@1", "unsafe", False), ("shouting@1", "unsafe_answer", False)], None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("policy", ["ranked", "majority", "dawid_skene"])
def test_every_age_and_kind_of_label_joins_the_union(corpus: Store, rows, wanted, policy) -> None:
    assert unsafe(corpus, *rows, policy=policy) is wanted


def test_the_fields_themselves_stay_as_they_were_judged(corpus: Store) -> None:
    add_traces(corpus, ["t"])
    rows = [(REASONING, "unsafe", True), (ANSWER, "unsafe", False)]
    corpus.append_rows(
        "annotations", [annotation("t", pattern, name, label) for name, pattern, label in rows]
    )
    query = """select unsafe_reasoning, unsafe_answer, "guard:harmbench+m".unsafe as said from candidates"""
    assert select(connect(corpus), query).to_pylist() == [
        {"unsafe_reasoning": True, "unsafe_answer": False, "said": False}
    ]


def test_no_shipped_mix_for_safe_replies_takes_a_leak(tmp_path: Path) -> None:
    corpus = Store.create(tmp_path / "corpus")
    add_planted(corpus)
    for condition in ("not unsafe", "not coalesce(unsafe, false)"):
        query = f"select list(trace_id order by trace_id) as ids from candidates where {condition}"
        [row] = select(connect(corpus), query).to_pylist()
        assert row["ids"] == [f"safe{n:03}" for n in range(260)], condition
    (loaded,) = sweep.find_points("guard-filtered").values()
    mix.run(corpus.root, loaded, out=tmp_path / "mix")
    taken = [
        one
        for path in (tmp_path / "mix" / "data").rglob("train*.parquet")
        for one in pq.read_table(path)["trace_id"].to_pylist()
    ]
    assert len(taken) == 250 and all(one.startswith("safe") for one in taken)


def add_planted(corpus: Store) -> None:
    """260 safe replies of the default strategy, and five leaks and escapes that two guards of a field each found."""
    said = {"safe": (False, False), "leak": (True, False), "escape": (False, True)}
    ids = [
        *(f"safe{n:03}" for n in range(260)),
        *(f"{kind}{n}" for kind in ("leak", "escape") for n in range(5)),
    ]
    corpus.append_rows(
        "traces",
        [
            {
                "trace_id": one, "prompt_id": f"p{one}", "prompt": f"May I? {one}", "kind": "harmful", "strategy": "default",
                "reasoning": f"Hm, {one}.", "answer": f"No, {one}.", "sample_index": 0,
            }
            for one in ids
        ],
    )  # fmt: skip
    corpus.append_rows(
        "annotations",
        [
            annotation(one, f"unsafe_{field}" if fields else "unsafe", name, label)
            for one in ids
            for name, field, label in zip(
                (REASONING, ANSWER), ("reasoning", "answer"), said[one.rstrip("0123456789")], strict=True
            )
            for fields in (True, False)
        ],
    )
