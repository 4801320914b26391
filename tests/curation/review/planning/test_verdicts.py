"""What people want done with a trace counts: in `candidates`, in the shipped recipes, and for `curate repair`."""

import pytest

from curation.corpus.filling import sql_file
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.mix.sweep import shipped_files
from curation.review import ledger
from curation.review.reviews import Review, checked


def said(
    trace: str, who: str, verdict: str | None, at: int = 0, status: str = "submitted", **more: str
) -> Review:
    row = Review(
        more.pop("round", "r"),
        trace,
        who,
        f"2026-01-01T00:{at:02}:00+00:00",
        status,
        verdict,
        ("none",),
        (),
        None,
    )
    return checked(row._replace(**more))


def verdicts(corpus: Store) -> dict[str, str | None]:
    return dict(connect(corpus).execute("select trace_id, verdict from candidates").fetchall())


@pytest.fixture
def corpus(corpus_of) -> Store:
    return corpus_of([{"reasoning": f"thought {i}"} for i in range(6)])


def test_the_majority_of_people_decides_and_a_tie_takes_the_most_cautious(corpus: Store) -> None:
    ledger.add(corpus, [
        said("t0", "ann", "keep"), said("t0", "bob", "keep"), said("t0", "cyd", "drop"),
        said("t1", "ann", "keep"), said("t1", "bob", "drop"),
        said("t2", "ann", "unsure"), said("t2", "bob", "repair"),
        said("t3", "ann", "drop", status="draft"), said("t4", "ann", None),
    ])  # fmt: skip
    assert verdicts(corpus) == {
        "t0": "keep",
        "t1": "drop",
        "t2": "repair",
        "t3": None,
        "t4": None,
        "t5": None,
    }


def test_each_verdict_is_a_column_that_is_null_where_nobody_has_one(corpus: Store) -> None:
    ledger.add(corpus, [said("t0", "ann", "drop"), said("t1", "ann", "keep")])
    columns = "select trace_id, keep, repair, drop, unsure from candidates where trace_id < 't3' order by 1"
    assert connect(corpus).execute(columns).fetchall() == [
        ("t0", False, False, True, False), ("t1", True, False, False, False), ("t2", None, None, None, None),
    ]  # fmt: skip


def test_the_latest_submitted_review_of_each_person_counts(corpus: Store) -> None:
    ledger.add(corpus, [
        said("t0", "ann", "drop"), said("t0", "ann", "keep", 5),
        said("t1", "ann", "drop"), said("t1", "ann", "keep", 5, round="second"),
        said("t2", "ann", "drop"), said("t2", "ann", "drop", 5, status="discarded"),
    ])  # fmt: skip
    assert verdicts(corpus) | {"t3": "-"} == {
        "t0": "keep",
        "t1": "keep",
        "t2": None,
        "t3": "-",
        "t4": None,
        "t5": None,
    }


def test_an_adjudicator_outranks_any_number_of_people(corpus: Store) -> None:
    people = [said("t0", name, "drop") for name in ("ann", "bob", "cyd")]
    ledger.add(corpus, [*people, said("t0", "dee", "keep", round="r-adjudication", role="adjudicator")])
    assert verdicts(corpus)["t0"] == "keep"


def test_reviews_of_an_older_version_have_verdicts_too(corpus: Store) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ledger.add(corpus, [said("t0", "ann", "drop")])
    (part,) = corpus.parts("reviews")
    pq.write_table(pq.read_table(part).drop_columns(["role"]), part)
    assert verdicts(corpus)["t0"] == "drop"
    assert [review.role for review in ledger.load(corpus)] == [None]
    assert pa.types.is_boolean(select(connect(corpus), "select drop from candidates").schema.field(0).type)


def test_a_repair_takes_what_people_marked_so_and_leaves_what_they_keep_or_drop(corpus_of) -> None:
    risky = [
        {
            "trace_id": f"t{i}",
            "pattern": "weak_vacillation",
            "annotator": "judge:m@1",
            "label": True,
            "score": 0.9,
        }
        for i in range(4)
    ]
    corpus = corpus_of([{"reasoning": f"thought {i}"} for i in range(6)], risky)
    ledger.add(corpus, [said("t1", "ann", "keep"), said("t2", "ann", "drop"), said("t5", "ann", "repair")])
    # of t1, t2 and t5 the reviews say "none", so t0 and t3 are risky
    query = sql_file("curation.generate", "parents.sql", columns="trace_id", where="true", bad="risky")
    assert [row["trace_id"] for row in select(connect(corpus), query).to_pylist()] == ["t0", "t3", "t5"]


def test_every_part_of_every_shipped_recipe_leaves_out_what_people_drop() -> None:
    for name, path in shipped_files().items():
        lines = path.read_text(encoding="utf-8").splitlines()
        conditions = [line for line in lines if line.strip().startswith("where:")]
        assert all("not coalesce(drop, false)" in line for line in conditions), name
