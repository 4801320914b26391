"""A lab's own entries in the page: a facet like the shipped patterns, a condition in a recipe, and levels in words."""

from pathlib import Path

import pytest
import yaml

from curation.codebook.stored import known
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.review import ledger
from curation.review.form.questions import form_of
from curation.view.app import list_page, trace_page
from curation.view.workplace import Workplace
from schemas.errors import DataError, UsageError
from tests.command_line import curate

BOOK = {
    "name": "garden",
    "version": 3,
    "description": "How a reasoning talks about gardens.",
    "entries": {
        "names_a_plant": {"field": "reasoning", "definition": "It names a plant."},
        "garden_care": {
            "field": "reasoning",
            "definition": "How much care it takes.",
            "levels": ["none", "some", "great"],
            "present_from": 2,
        },
        **{f"plant_{n:02}": {"field": "reasoning", "definition": f"It names plant {n}."} for n in range(70)},
    },
}


@pytest.fixture
def garden(filled: Store, tmp_path: Path) -> Workplace:
    """The first five traces name a plant, care grows with their number: 0, 1, 2, 2, 2 of 2."""
    (tmp_path / "garden.yaml").write_text(yaml.safe_dump(BOOK, sort_keys=False))
    added = curate(
        "codebook", "add", str(tmp_path / "garden.yaml"), "--corpus", str(filled.root), cwd=tmp_path
    )
    assert added.returncode == 0, added.stderr
    ids = [row["trace_id"] for batch in filled.scan("traces") for row in batch.to_pylist()][:5]
    said = {"annotator": "judge:j+garden@1.3"}
    care = [min(n, 2) for n in range(5)]
    filled.append_rows(
        "annotations",
        [
            *({"trace_id": id, "pattern": "names_a_plant", "label": True, **said} for id in ids),
            *(
                {"trace_id": id, "pattern": "garden_care", "label": level == 2, "score": level / 2, **said}
                for id, level in zip(ids, care, strict=True)
            ),
        ],
    )
    return Workplace(filled.root, reviewer="ann")


def test_entries_are_searched_as_patterns_are_and_a_recipe_says_the_same(garden: Workplace) -> None:
    for query, total in (
        ({"pattern": ["names_a_plant"]}, 5),
        ({"pattern": ["garden_care"]}, 3),
        ({"pattern": ["garden_care", "weak_vacillation"]}, 12),
        ({"pattern": ["plant_01"]}, 0),
        ({"pattern": [""]}, 67),
        ({"pattern": ["plant_69"]}, 0),
    ):
        made = garden.recipe(query)
        rows = select(connect(garden.corpus), f"select trace_id from candidates where {made.where}")
        assert garden.select(query).total == made.total == rows.num_rows == total, query


def test_a_trace_shows_entries_with_codebook_definition_and_level(garden: Workplace) -> None:
    (first, *_) = garden.select({"pattern": ["garden_care"]}).lines
    seen = garden.trace(first.trace.trace_id)
    line = next(line for line in seen.labels if line.pattern == "garden_care")
    assert (line.codebook, line.definition, line.consensus) == ("garden", "How much care it takes.", True)
    assert [cell.level for cell in line.cells if cell] == ["great"]
    page = trace_page(garden, {"id": [first.trace.trace_id]})
    assert 'garden_care <span class="soft">garden</span>' in page and "great<" in page


def test_values_beyond_the_first_are_behind_a_click(garden: Workplace) -> None:
    strategies = [
        {
            "trace_id": f"more{n}", "prompt_id": "p", "prompt": "x", "reasoning": "", "answer": "", "sample_index": n,
            "strategy": f"s{n:02}", "kind": "math",
        }
        for n in range(20)
    ]  # fmt: skip
    garden.corpus.append_rows("traces", strategies)
    page = list_page(Workplace(garden.corpus.root, reviewer="ann"), {"strategy": ["s19"]})
    assert "<details open><summary>10 more</summary>" in page and ">s19</span>" in page


def people(place: Workplace, trace_id: str) -> dict[str, tuple[object, object]]:
    """What people say of a trace."""
    query = (
        f"select pattern, label, score from current_annotations where rank = 0 and trace_id = '{trace_id}'"
    )
    return {r["pattern"]: (r["label"], r["score"]) for r in select(connect(place.corpus), query).to_pylist()}


def test_a_person_labels_the_entries_of_a_codebook_beside_the_patterns(garden: Workplace) -> None:
    trace = min(garden.corpus.keys("traces"))
    page = trace_page(garden, {"id": [trace], "codebook": ["garden"]})
    assert 'name="pattern" value="names_a_plant"' in page and 'name="value-garden_care"' in page
    assert 'aria-current="page">garden' in page and 'value="weak_vacillation"' not in page
    assert 'value="weak_vacillation"' in trace_page(garden, {"id": [trace]})
    asked = garden.asked({"codebook": ["garden"]})
    garden.save(trace, {"pattern": ["weak_vacillation"], "verdict": ["drop"]})
    garden.save(trace, {"pattern": ["names_a_plant"], "value-garden_care": ["1"]}, asked)
    said = people(garden, trace)
    assert said["names_a_plant"] == (True, None) and said["plant_01"] == (False, None)
    assert said["garden_care"] == (False, 0.5) and said["weak_vacillation"] == (True, None)
    row = select(
        connect(garden.corpus),
        f"select verdict, \"drop\", garden_care from candidates where trace_id = '{trace}'",
    )
    assert row.to_pylist() == [
        {"verdict": "drop", "drop": True, "garden_care": 1}
    ]  # the label of another codebook takes no verdict back
    page = trace_page(garden, {"id": [trace], "codebook": ["garden"]})
    assert '<option value="1" selected>some' in page
    first = ledger.load(garden.corpus, asked)
    garden.save(trace, {"pattern": ["names_a_plant"], "value-garden_care": ["1"]}, asked)
    assert ledger.load(garden.corpus, asked) == first and first[0].round == "view:garden"


def test_an_entry_left_open_is_null_and_a_withdrawn_label_abstains(garden: Workplace) -> None:
    trace = min(garden.corpus.keys("traces"))
    asked = form_of(known(garden.corpus), "garden")
    garden.save(trace, {"pattern": ["none"], "value-garden_care": [""]}, asked)
    assert people(garden, trace)["garden_care"] == (None, None) and people(garden, trace)[
        "names_a_plant"
    ] == (False, None)
    garden.save(trace, {"pattern": ["none"], "action": ["withdraw"]}, asked)
    assert {label for label, _ in people(garden, trace).values()} == {None}
    garden.save(trace, {"value-garden_care": ["2"]}, asked)  # no tick: a draft
    assert {label for label, _ in people(garden, trace).values()} == {None}


def test_values_and_codebooks_that_are_none_are_refused(garden: Workplace) -> None:
    trace = min(garden.corpus.keys("traces"))
    asked = garden.asked({"codebook": ["garden"]})
    with pytest.raises(DataError, match="none of its values"):
        garden.save(trace, {"pattern": ["none"], "value-garden_care": ["7"]}, asked)
    with pytest.raises(DataError, match="unknown pattern"):
        garden.save(trace, {"pattern": ["weak_vacillation"]}, asked)
    with pytest.raises(UsageError, match="no such codebook"):
        trace_page(garden, {"id": [trace], "codebook": ["desert"]})
