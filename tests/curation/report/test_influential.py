"""The strongest rows of each behaviour with their patterns: in the report and on the page of `curate view`."""

from pathlib import Path
from typing import Any

import pytest

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.mix import build as mix
from curation.mix import sweep
from curation.mix.folder import read_rows
from curation.report import stage as report
from curation.report.influential import MOST, attributed
from curation.view.app import influence_page, list_page
from curation.view.workplace import Workplace
from schemas.errors import RecipeError

ROWS = 40


def influences(behaviour: str, version: int, reverse: bool = False) -> list[dict[str, Any]]:
    """Every trace has a row; trace 0 is the strongest, or the weakest."""
    ranks = {n: ROWS - n if reverse else n + 1 for n in range(ROWS)}
    return [
        {
            "attribution_id": f"a{version}-{behaviour}", "row_id": f"row{n:02}", "trace_id": f"t{n:02}", "part": "all", "behaviour": behaviour,
            "method": "gradients", "influence": (20.5 - rank) / 8, "rank": rank, "share": rank / ROWS, "version": version, "model": "tiny@1",
            "mix_id": "m",
        }
        for n, rank in ranks.items()
    ]  # fmt: skip


@pytest.fixture
def ranked(corpus: Store) -> Store:
    """Forty traces, each with a row; the first two waver, trace 2 is judged by nobody, the others are clean."""
    corpus.append_rows(
        "prompts",
        [{"prompt_id": f"p{n}", "text": f"A zzyzx question {n}", "kind": "harmful"} for n in range(ROWS)],
    )
    corpus.append_rows("traces", [
        {"trace_id": f"t{n:02}", "prompt_id": f"p{n}", "prompt": f"A zzyzx question {n}", "kind": "harmful", "strategy": "default", "reasoning": "Hm.", "answer": "No.", "sample_index": 0}
        for n in range(ROWS)
    ])  # fmt: skip
    corpus.append_rows("annotations", [
        {"trace_id": f"t{n:02}", "pattern": "weak_vacillation", "annotator": "rules@1", "label": n < 2}
        for n in range(ROWS)
        if n != 2
    ])  # fmt: skip
    corpus.append_rows("influences", [*influences("overrefusal", 1, reverse=True), *influences("safety", 1)])
    corpus.append_rows("influences", influences("overrefusal", 2))
    return corpus


def test_the_strongest_rows_of_what_is_in_force_have_their_patterns(ranked: Store) -> None:
    found = {one.behaviour: one for one in attributed(connect(ranked))}
    assert list(found) == ["overrefusal", "safety"]
    one = found["overrefusal"]  # the second version, not the first
    assert [row.trace_id for row in one.strongest] == [f"t{n:02}" for n in range(MOST)] and one.rows == ROWS
    assert [row.patterns for row in one.strongest[:4]] == [["weak_vacillation"]] * 2 + [None, []]
    (among,) = one.patterns
    assert (among.pattern, among.top, among.all) == ("weak_vacillation", (2, 2), (2, ROWS - 1))
    assert "zzyzx" not in one.strongest[0].prompt and "question" in one.strongest[0].prompt
    assert "zzyzx" in attributed(connect(ranked), show=True)[0].strongest[0].prompt


def test_a_row_whose_trace_is_gone_is_still_told(ranked: Store) -> None:
    ranked.append_rows("influences", [one | {"trace_id": "gone"} for one in influences("accuracy", 1)[:1]])
    (row,) = attributed(connect(ranked))[0].strongest
    assert (row.prompt, row.patterns, row.strategy) == ("", None, None)


def test_the_report_lists_them(ranked: Store, tmp_path: Path) -> None:
    report.write_page(ranked.root, out=tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    section = page.split('id="influence"')[1].split('id="rows"')[0]
    assert (
        section.count("<code>row") == 2 * MOST and "not judged" in section and "weak vacillation" in section
    )
    assert "zzyzx" not in section


def test_a_report_of_a_corpus_without_influences_has_no_such_section(filled: Store, tmp_path: Path) -> None:
    report.write_page(filled.root, out=tmp_path / "r.html")
    assert 'id="influence"' not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_page_leads_from_the_list_to_the_rows_and_their_traces(ranked: Store) -> None:
    place = Workplace(ranked.root, reviewer="ann")
    assert "/influence" in list_page(place, {})
    page = influence_page(place, {})
    assert page.count("/trace?id=") == 2 * MOST and "zzyzx" not in page and "weak_vacillation" in page
    assert "zzyzx" in influence_page(place, {"show": ["1"]})


def test_the_page_of_a_corpus_without_influences_names_the_command(filled: Store) -> None:
    assert "sft attribute RUN" in influence_page(Workplace(filled.root, reviewer="ann"), {})


def test_a_shipped_recipe_leaves_out_the_strongest_or_as_many_others(ranked: Store, tmp_path: Path) -> None:
    taken = {}
    for name, loaded in sweep.find_points("without-strongest").items():
        mix.run(ranked.root, loaded, out=tmp_path / name)
        rows = read_rows(tmp_path / name, ["trace_id"]).to_pylist()
        taken[name] = {row["trace_id"] for row in rows}
    everything = {f"t{n:02}" for n in range(ROWS)}
    assert taken["whole-ranked"] == everything
    assert everything - taken["without-top-5"] == {"t00", "t01"}
    assert everything - taken["without-top-10"] == {"t00", "t01", "t02", "t03"}
    assert taken["without-random-5"] <= everything


def test_the_recipe_without_influences_names_the_command(filled: Store, tmp_path: Path) -> None:
    (loaded,) = sweep.find_points("without-top-5").values()
    with pytest.raises(RecipeError, match="sft attribute RUN --corpus CORPUS"):
        mix.run(filled.root, loaded, out=tmp_path / "mix")
