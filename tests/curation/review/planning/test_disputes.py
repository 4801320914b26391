"""Disputes, decisions, known labels and gold items, from hand-made reviews."""

import pytest

from curation.codebook import stored
from curation.codebook.stage import add as add_codebook
from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import ledger, push, records, reviews, rounds
from curation.review.form.questions import FIVE, form_of
from curation.review.planning.disputes import disputes, known
from curation.review.reviews import GivenValue, Mark, Review
from curation.review.rounds import RoundRecipe
from schemas import RecipeError
from schemas.codebooks import Codebook

WEAK, ADDITIONS = "weak_vacillation", "harmful_additions"


def said(
    trace: str, who: str, *patterns: str, verdict: str = "keep", role: str | None = None, round: str = "r"
) -> Review:
    moment = "2026-01-01T00:00:00+00:00"
    row = Review(
        round, trace, who, moment, "submitted", verdict, patterns or ("none",), (), f"{who} says", role
    )
    return reviews.checked(row)


@pytest.fixture
def corpus(corpus_of) -> Store:
    machine = {"pattern": WEAK, "annotator": "rules@1", "label": False, "score": 0.1}
    made = corpus_of(
        [{"reasoning": f"thought {i}"} for i in range(12)],
        [{"trace_id": f"t{i}", **machine} for i in range(12)],
    )
    rounds.open_or_create(made, RoundRecipe(name="r", traces=6, audit=1))
    return made


def tasks_of(corpus: Store, name: str) -> list[str]:
    return [task.trace_id for task in rounds.open_round(corpus, name).tasks]


def test_what_people_tick_or_want_otherwise_is_disputed_and_so_is_what_one_is_unsure_of() -> None:
    found = disputes(
        [
            said("a", "ann", WEAK), said("a", "bob"), said("b", "ann"), said("b", "bob", verdict="drop"),
            said("c", "ann", verdict="unsure"), said("d", "ann"), said("d", "bob"), said("e", "ann", WEAK),
        ],
        ["e", "d", "c", "b", "a"],
    )  # fmt: skip
    assert [(d.trace_id, d.patterns, d.verdicts) for d in found] == [
        ("c", (), ("unsure",)), ("b", (), ("keep", "drop")), ("a", (WEAK,), ()),
    ]  # fmt: skip
    assert found[-1].reviewers == ("ann", "bob") and not found[-1].decided


def test_a_decision_outranks_any_number_of_votes_in_every_consensus(corpus: Store) -> None:
    votes = [said("t0", name, WEAK) for name in ("ann", "bob", "cyd")]
    ledger.add(corpus, [*votes, said("t0", "dee", ADDITIONS, role="adjudicator", round="r-adjudication")])
    for policy in ("ranked", "majority", "weighted"):
        row = connect(corpus, policy=policy).execute(  # type: ignore[arg-type]
            "select c.weak_vacillation, c.harmful_additions, v.label, v.provenance from candidates c "
            "join verdicts v on v.trace_id = c.trace_id and v.pattern = 'weak_vacillation' where c.trace_id = 't0'"
        )
        assert row.fetchall() == [(False, True, False, "adjudicator:dee")], policy


def test_a_decision_is_no_vote(corpus: Store) -> None:
    decided = said("t0", "ann", role="adjudicator")
    (found,) = disputes([said("t0", "ann", WEAK), said("t0", "bob"), decided], ["t0"])
    assert found.decided and found.reviewers == ("ann", "bob")


def test_an_adjudication_takes_what_is_disputed_and_a_second_one_what_came_since(corpus: Store) -> None:
    one, two, three, *_ = tasks_of(corpus, "r")
    ledger.add(corpus, [
        said(one, "ann", WEAK), said(one, "bob"), said(two, "ann"), said(two, "bob"),
        said("t-elsewhere", "ann", WEAK), said("t-elsewhere", "bob"),
    ])  # fmt: skip
    rounds.open_or_create(corpus, RoundRecipe(name="r-adjudication", adjudicates="r"))
    assert tasks_of(corpus, "r-adjudication") == [one]
    ledger.add(corpus, [said(three, "ann", WEAK, ADDITIONS), said(three, "bob")])
    rounds.open_or_create(corpus, RoundRecipe(name="r-adjudication-2", adjudicates="r"))
    assert tasks_of(corpus, "r-adjudication-2") == [three]
    with pytest.raises(RecipeError, match="no trace is disputed that was not sent"):
        rounds.open_or_create(corpus, RoundRecipe(name="r-adjudication-3", adjudicates="r"))


def test_an_adjudicator_sees_what_everybody_said_and_only_what_all_ticked_is_filled_in(corpus: Store) -> None:
    one, *_ = tasks_of(corpus, "r")
    mark = Mark(WEAK, "reasoning", 0, 7)
    votes = [
        said(one, "ann", WEAK, ADDITIONS)._replace(spans=(mark,)),
        said(one, "bob", WEAK, verdict="drop"),
    ]
    ledger.add(corpus, votes)
    rounds.open_or_create(corpus, RoundRecipe(name="r-adjudication", adjudicates="r"))
    (row,) = [row for batch in rounds.records(connect(corpus), "r-adjudication") for row in batch.to_pylist()]
    record = records.record(row, ("dee",), votes)
    told = record.fields["opinions"]
    assert (
        "ann: Weak vacillation, Harmful additions; verdict: keep" in told
        and "bob: Weak vacillation; verdict: drop" in told
    )
    assert 'Weak vacillation, in the reasoning: "thought"' in told and "comment: ann says" in told
    assert "machine annotators: none of these" in told
    patterns, reasoning, answer = record.suggestions
    assert (patterns.value, answer.value) == ([WEAK], [])
    assert reasoning.value == [{"start": 0, "end": 7, "label": WEAK}]


def test_known_is_what_was_decided_or_what_two_agree_on() -> None:
    given = [
        said("a", "ann", WEAK), said("a", "bob", WEAK), said("b", "ann", WEAK), said("b", "bob"),
        said("c", "ann"), said("d", "ann"), said("d", "dee", WEAK, role="adjudicator"),
        said("e", "lead", ADDITIONS, round="gold"),
    ]  # fmt: skip
    weak, additions = ({name: name == one for name in FIVE.names} for one in (WEAK, ADDITIONS))
    assert known(given, "s") == {"a": weak, "d": weak}
    assert known(given, "s", apart={"a"}) == {"d": weak}
    assert known(given, "s", of_round="gold") == {"e": additions}


BOOK = Codebook.model_validate(
    {
        "name": "clerk", "version": 1, "description": "d",
        "entries": {
            "clerk_gossip": {"field": "answer", "definition": "It gossips."},
            "clerk_tone": {"field": "answer", "definition": "How rude it is.", "levels": ["polite", "rude"]},
        },
    }
)  # fmt: skip


def test_an_entry_that_somebody_left_open_is_not_known_and_stays_so_in_the_round(corpus: Store) -> None:
    add_codebook(corpus, BOOK)
    form = form_of(stored.known(corpus), "clerk")
    for who, values in (("ann", ()), ("bob", (GivenValue("clerk_tone", 0),))):
        for trace in ("t0", "t1"):
            given = said(trace, who)._replace(patterns=("clerk_gossip",), form=form)
            ledger.add(
                corpus, [given._replace(values=values if trace == "t0" else (GivenValue("clerk_tone", 0),))]
            )
    labels = {"t0": {"clerk_gossip": True}, "t1": {"clerk_gossip": True, "clerk_tone": False}}
    assert known(ledger.load(corpus, form), "s") == labels
    recipe = RoundRecipe(name="g", codebook="clerk", traces=2, audit=1, gold=2, where="trace_id > 't2'")
    made = rounds.open_or_create(corpus, recipe)
    assert {task.trace_id: task.gold for task in made.tasks if task.gold is not None} == labels


def test_gold_items_look_like_any_other_and_are_for_everybody_whose_labels_they_are_not(
    corpus: Store,
) -> None:
    one, two, three, *_ = tasks_of(corpus, "r")
    ledger.add(corpus, [said(t, who, WEAK) for t in (one, two, three) for who in ("ann", "bob")])
    current = rounds.open_or_create(
        corpus, RoundRecipe(name="g", traces=6, audit=1, gold=2, blind=0, overlap=1)
    )
    gold = {task.trace_id: task.gold for task in current.tasks if task.gold is not None}
    assert (
        len(current.tasks) == 8
        and list(gold.values()) == [{name: name == WEAK for name in FIVE.names}] * 2
        and set(gold) < {one, two, three}
    )
    assert [i for i, task in enumerate(current.tasks) if task.gold] == [2, 6]
    assigned = push.planned(corpus, current, ["ann", "cyd", "dee"])
    assert {assigned[trace] for trace in gold} == {("cyd", "dee")}
    assert {len(people) for trace, people in assigned.items() if trace not in gold} == {1}
    rows = [row for batch in rounds.records(connect(corpus), "g") for row in batch.to_pylist()]
    assert {records.record(row).metadata["reason"] for row in rows} == {"audit"}
    assert "gold" not in repr([records.record(row) for row in rows])


def test_gold_without_known_labels_is_an_error(corpus: Store) -> None:
    with pytest.raises(RecipeError, match="no trace with known labels is left for --gold"):
        rounds.open_or_create(corpus, RoundRecipe(name="g", gold=2))
    assert rounds.round_names(corpus) == ["r"]


def test_a_second_round_may_take_what_people_have_judged(corpus: Store) -> None:
    ledger.add(corpus, [said(f"t{i}", "ann") for i in range(12)])
    with pytest.raises(RecipeError, match="waits for a review"):
        rounds.open_or_create(corpus, RoundRecipe(name="second"))
    rounds.open_or_create(corpus, RoundRecipe(name="second", again=True, where="trace_id in ('t1', 't2')"))
    assert sorted(tasks_of(corpus, "second")) == ["t1", "t2"]


def test_tasks_of_an_older_version_are_no_gold(corpus: Store) -> None:
    import pyarrow.parquet as pq

    (part,) = corpus.parts("review_tasks")
    pq.write_table(pq.read_table(part).drop_columns(["gold"]), part)
    assert {task.gold for task in rounds.open_round(corpus, "r").tasks} == {None}


def test_forgetting_a_person_removes_their_decisions_too(corpus: Store) -> None:
    from curation.integrity import forget
    from curation.integrity.forget import ForgetRecipe

    ledger.add(
        corpus, [said("t0", "ann", WEAK), said("t0", "ann", role="adjudicator"), said("t0", "bob", WEAK)]
    )
    forget.run(corpus.root, ForgetRecipe(annotator="human:ann"), look_in=[corpus.root])
    names = connect(corpus).execute("select distinct annotator from annotations order by 1").fetchall()
    assert names == [("human:bob",), ("rules@1",)]
    assert [review.reviewer for review in ledger.load(corpus)] == ["bob"]
