"""What a round shows: the queue's order, its audit share, its blind share, and that it never changes."""

import pytest

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import rounds
from curation.review.rounds import RoundRecipe
from schemas import CorpusError, RecipeError

WEAK = "weak_vacillation"


def annotate(corpus: Store, annotator: str, labels: dict[str, tuple[bool | None, float | None]]) -> None:
    rows = [
        {"trace_id": trace, "pattern": WEAK, "annotator": annotator, "label": label, "score": score}
        for trace, (label, score) in labels.items()
    ]
    corpus.append_rows("annotations", rows)


@pytest.fixture
def judged(corpus_of) -> Store:
    """40 traces: t0 and t1 in dispute, t2 (0.55) and t3 (0.7) doubtful, the others clear."""
    corpus = corpus_of([{"reasoning": f"thought {i}"} for i in range(40)])
    clear = {f"t{i}": (False, 0.02) for i in range(40)}
    annotate(corpus, "rules@1", clear)
    annotate(
        corpus,
        "embedding:mini@1",
        clear | {"t0": (True, 0.9), "t1": (True, 0.95), "t2": (True, 0.55), "t3": (True, 0.7)},
    )
    annotate(corpus, "judge:m@1", {"t2": (True, 0.55), "t3": (True, 0.7)})
    return corpus


def chosen(corpus: Store, **settings: object) -> list[tuple[str, str]]:
    tasks = rounds.choose(connect(corpus), RoundRecipe(name="r", **settings))
    return [(task.trace_id, task.reason) for task in tasks]


def test_disputed_traces_come_first_then_doubtful_ones_then_the_audit(corpus_of) -> None:
    corpus = corpus_of([{"reasoning": f"thought {i}"} for i in range(40)])
    annotate(corpus, "rules@1", {f"t{i}": (False, 0.02) for i in range(40)})
    annotate(corpus, "embedding:mini@1", {"t0": (True, 0.95), "t1": (False, 0.45), "t2": (False, 0.2)})
    found = chosen(corpus, traces=10, audit=0.2)
    assert found[:3] == [("t0", "disagreement"), ("t1", "low margin"), ("t2", "low margin")]
    assert {reason for _, reason in found[3:]} == {"audit"}
    assert len(found) == len(set(found)) == 10


def test_by_uncertainty_the_scores_nearest_to_one_half_come_first(corpus_of) -> None:
    corpus = corpus_of([{"reasoning": f"thought {i}"} for i in range(40)])
    annotate(corpus, "rules@1", {f"t{i}": (False, 0.02) for i in range(40)})
    annotate(corpus, "embedding:mini@1", {"t0": (True, 0.95), "t1": (False, 0.45), "t2": (False, 0.2)})
    found = chosen(corpus, traces=5, audit=0.2, by="uncertainty")
    assert found[:2] == [("t1", "low margin"), ("t2", "low margin")]
    assert {reason for _, reason in found[2:]} == {"audit"} and len(found) == 5


def test_by_diversity_no_prompt_comes_twice_before_every_prompt_came_once(corpus_of) -> None:
    corpus = corpus_of([{"reasoning": f"thought {i}", "prompt_id": f"p{i % 8}"} for i in range(40)])
    found = chosen(corpus, traces=10, audit=0.2, by="diversity")
    first = [trace for trace, reason in found if reason == "diversity"]
    assert len(first) == 8 and len({int(trace[1:]) % 8 for trace in first}) == 8
    assert [reason for _, reason in found[8:]] == ["audit", "audit"]


def test_the_audit_share_is_kept_free_of_doubtful_traces(judged: Store) -> None:
    found = chosen(judged, traces=4, audit=0.5)
    assert [reason for _, reason in found] == ["disagreement", "disagreement", "audit", "audit"]


def test_what_people_have_judged_is_not_asked_again(judged: Store) -> None:
    annotate(judged, "human:ann", {"t0": (False, None), "t5": (True, None), "t6": (None, None)})
    found = {trace for trace, _ in chosen(judged, traces=40)}
    assert found == {f"t{i}" for i in range(40)} - {"t0", "t5"}


def test_a_query_narrows_the_queue(judged: Store) -> None:
    found = chosen(judged, where="trace_id in ('t1', 't7') -- two of them")
    assert sorted(found) == [("t1", "disagreement"), ("t7", "audit")]


def test_a_query_that_matches_nothing_is_an_error(judged: Store) -> None:
    with pytest.raises(RecipeError, match="no trace of this corpus matches"):
        chosen(judged, where="strategy = 'no such'")


def test_a_query_is_one_condition(judged: Store) -> None:
    with pytest.raises(RecipeError):
        chosen(judged, where="true) union select 'x', 'y' from (select 1")


def test_a_corpus_without_annotations_is_all_audit(corpus_of) -> None:
    found = chosen(corpus_of([{"reasoning": "a"}, {"reasoning": "b"}]))
    assert {reason for _, reason in found} == {"audit"}


def test_the_blind_share_is_about_as_large_as_wished_and_fixed() -> None:
    recipe = RoundRecipe(name="r", blind=0.25)
    blind = [rounds.is_blind(f"trace {i}", recipe) for i in range(4000)]
    assert 0.22 < sum(blind) / len(blind) < 0.28
    assert blind == [rounds.is_blind(f"trace {i}", recipe) for i in range(4000)]


def test_a_round_stays_the_same_whatever_happens_to_the_queue(judged: Store) -> None:
    first = rounds.open_or_create(judged, RoundRecipe(name="r", traces=5, overlap=3))
    annotate(judged, "human:ann", {"t0": (True, None)})
    again = rounds.open_or_create(judged, RoundRecipe(name="r"))
    assert again == first and again.recipe.overlap == 3
    assert rounds.round_names(judged) == ["r"]


def test_other_settings_for_an_existing_round_are_refused(judged: Store) -> None:
    rounds.open_or_create(judged, RoundRecipe(name="r", traces=5))
    with pytest.raises(RecipeError, match=r'round "r" exists and was made with other settings \(traces: 5\)'):
        rounds.open_or_create(judged, RoundRecipe(name="r", traces=6))


def test_a_round_that_was_killed_while_it_was_made_is_finished(judged: Store) -> None:
    whole = rounds.open_or_create(judged, RoundRecipe(name="r", traces=5))
    for part in judged.parts("review_tasks"):
        part.unlink()  # as if killed between its settings and its tasks
    assert rounds.open_or_create(judged, RoundRecipe(name="r")) == whole


def test_an_unknown_round_names_those_there_are(judged: Store) -> None:
    rounds.open_or_create(judged, RoundRecipe(name="pilot", traces=5))
    with pytest.raises(CorpusError, match='no review round "pilto"; there are: pilot'):
        rounds.open_round(judged, "pilto")


@pytest.mark.parametrize("name", ["../other", ".hidden", "a/b"])
def test_a_name_cannot_lead_out_of_the_corpus(judged: Store, name: str) -> None:
    with pytest.raises(CorpusError, match="not a valid name for a review round"):
        rounds.open_round(judged, name)
