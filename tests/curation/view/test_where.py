"""A selection as a recipe: its condition selects the same traces, and passes the checks of untrusted SQL."""

from typing import Any

import pytest
import yaml

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.corpus.untrusted import check_condition
from curation.view import where
from curation.view.app import recipe_page
from curation.view.workplace import Workplace
from schemas.errors import DataError


@pytest.fixture
def disputed(filled: Store) -> Workplace:
    """A corpus with a hostile annotator's name, a disagreement and a verdict that was changed."""
    ids = [row["trace_id"] for batch in filled.scan("traces") for row in batch.to_pylist()]
    rows = [{"trace_id": ids[0], "pattern": "weak_vacillation", "annotator": "judge:x'--@1", "label": False}]
    filled.append_rows("annotations", rows)
    review = {"round": "r", "reviewer": "ann", "status": "submitted", "patterns": ["none"]}
    filled.append_rows(
        "reviews",
        [
            review | {"trace_id": ids[1], "updated_at": "2026-01-01", "verdict": "keep"},
            review | {"trace_id": ids[1], "updated_at": "2026-01-02", "verdict": "drop"},
            review | {"trace_id": ids[2], "updated_at": "2026-01-01", "verdict": "keep"},
        ],
    )
    return Workplace(filled.root, reviewer="ann")


def test_a_condition_selects_what_the_page_shows(disputed: Workplace) -> None:
    connection = connect(disputed.corpus)
    queries: list[dict[str, list[str]]] = [
        {},
        {"strategy": ["default"], "category": ["", "theft"]},
        {"kind": [""]},
        {"pattern": ["weak_vacillation", "inconsistency"]},
        {"pattern": [""], "kind": ["harmful"]},
        {"pattern": ["no such pattern"]},
        {"model": ["'; drop table traces; --"]},
        {"annotator": ["rules"]},
        {"annotator": ["judge:x'--", ""]},
        {"disputed": ["weak_vacillation"]},
        {"disputed": [""], "annotator": ["rules"]},
        {"verdict": ["keep"]},
        {"verdict": ["drop", ""]},
        {"q": ["privacy"], "strategy": ["default"]},
        {"q": ["nothingofthekind"]},
    ]
    for query in queries:
        made = disputed.recipe(query)
        check_condition(connection, made.where)
        rows = select(connection, f"select trace_id from candidates where {made.where}")
        assert rows.num_rows == made.total == disputed.select(query).total, query
    assert (
        disputed.select({"verdict": ["keep"]}).total
        == disputed.select({"disputed": ["weak_vacillation"]}).total
        == 1
    )


def test_a_recipe_is_yaml_and_builds_the_selection(build: Any, disputed: Workplace) -> None:
    made = disputed.recipe({"q": ["theft"], "kind": ["harmful"]})
    assert yaml.safe_load(made.text)["parts"]["selection"]["where"] == made.where
    _, rows = build(made.text)
    assert len(rows) == made.total == 20


def test_too_many_traces_for_a_list_say_what_to_do() -> None:
    with pytest.raises(DataError, match="at most 500; these are 501: choose more facets"):
        where.condition({}, {}, [str(n) for n in range(501)])


def test_the_page_has_the_recipe(disputed: Workplace) -> None:
    page = recipe_page(disputed, {"strategy": ["</textarea><script>"]})
    assert "parts:" in page and "</textarea><script>" not in page
