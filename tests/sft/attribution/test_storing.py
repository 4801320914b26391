"""Influences in the corpus of the mix: in SQL, in recipes, in `curate why`, and on a page; the last version of a behaviour is in force."""

from pathlib import Path
from typing import Any

import pytest
import torch

from curation.corpus.query import connect, open_tables, select
from curation.corpus.store import Store
from curation.integrity import check
from curation.mix import build as mix
from curation.report.why import why
from schemas.errors import DataError
from schemas.manifest import Manifest
from sft.attribution import ranking, storing
from sft.attribution.page import ROWS, origins, write_page
from sft.attribution.recipe import AttributeRecipe
from sft.attribution.replay import open_run
from sft.attribution.stage import attribute
from tests.command_line import curate
from tests.sft.conftest import sample_rows


@pytest.fixture
def stored(trained: Any, scored: Path, tmp_path: Path) -> Manifest:
    """The tiny run's rows are traces of a corpus, in which their influence is kept."""
    Store.create(tmp_path / "corpus").append_rows("traces", [
        {name: getattr(row, name) for name in ("trace_id", "prompt_id", "prompt", "reasoning", "answer", "kind")} | {"sample_index": 0}
        for row in open_run(trained()).rows
    ])  # fmt: skip
    return keep(trained(), scored, tmp_path)


def keep(run: Path, scored: Path, root: Path, **recipe: Any) -> Manifest:
    return attribute(
        run, scored, root / "eval", AttributeRecipe(**recipe), corpus=root / "corpus", out=root / "out"
    )


def test_a_recipe_leaves_the_strongest_rows_out(stored: Manifest, tmp_path: Path) -> None:
    (tmp_path / "mix.yaml").write_text(
        "name: without\nparts:\n  all:\n    where: coalesce(influence['overrefusal'].share, 1) > 0.25\n"
    )
    built = mix.run(tmp_path / "corpus", tmp_path / "mix.yaml", out=tmp_path / "without")
    strongest: Any = stored.summary["strongest"]
    assert built.summary["rows"] == 9 and len(strongest) == 12
    left = {row["trace_id"] for row in mix.folder.read_rows(tmp_path / "without").to_pylist()}
    told = select(
        open_tables(Store(tmp_path / "corpus")), "select trace_id, rank from influences"
    ).to_pylist()
    assert left == {row["trace_id"] for row in told if row["rank"] > 3}


def test_the_last_version_of_a_behaviour_is_in_force(
    stored: Manifest, trained: Any, scored: Path, tmp_path: Path
) -> None:
    assert stored.summary["version"] == 1
    assert keep(trained(), scored, tmp_path).summary["version"] == 1  # the same again adds nothing
    assert keep(trained(), scored, tmp_path, category="kitchen").summary["version"] == 2
    assert keep(trained(), scored, tmp_path, method="states").summary["version"] == 3
    connection = connect(Store(tmp_path / "corpus"))
    rows = select(connection, "select behaviour, method from current_influences").to_pylist()
    assert {tuple(row.values()) for row in rows} == {
        ("overrefusal", "states"), ("overrefusal:kitchen", "gradients")
    }  # fmt: skip
    assert keep(trained(), scored, tmp_path).summary["version"] == 4  # back in force


def of_behaviours(stored: Manifest, run: Path, root: Path, *names: str) -> int:
    """Store influences of some behaviours in one version."""
    rows = open_run(run).rows
    scores = torch.arange(len(rows) * len(names), dtype=torch.float64).reshape(len(rows), -1)
    return storing.store(root / "corpus", ranking.table(rows, names, "gradients", scores), stored)


def test_several_behaviours_of_one_version_are_no_duplicates(
    stored: Manifest, trained: Any, tmp_path: Path
) -> None:
    of_behaviours(stored, trained(), tmp_path, "first", "second")
    found = check.read(tmp_path / "corpus").damage
    assert [one for one in found if one.file.startswith("influences")] == []


def test_what_is_superseded_in_part_is_stored_again(stored: Manifest, trained: Any, tmp_path: Path) -> None:
    assert of_behaviours(stored, trained(), tmp_path, "first", "second") == 2
    assert of_behaviours(stored, trained(), tmp_path, "first", "second") == 2
    assert of_behaviours(stored, trained(), tmp_path, "second") == 3
    assert of_behaviours(stored, trained(), tmp_path, "first", "second") == 4


def test_the_page_shows_as_many_rows_at_either_end(stored: Manifest, tmp_path: Path) -> None:
    rows = [row.model_copy(update={"row_id": f"{n:032}"[::-1]}) for n, row in enumerate(sample_rows(60)[:60])]
    count = len(rows)
    assert count >= 2 * ROWS
    scores = torch.linspace(1, -1, count, dtype=torch.float64)[:, None]
    write_page(tmp_path / "page.html", rows, ranking.table(rows, ["overrefusal"], "states", scores), stored)
    top, against = (tmp_path / "page.html").read_text(encoding="utf-8").split("Rows against it</h3>")
    assert against.count("<code>") == ROWS and top.split("Strongest rows</h3>")[1].count("<code>") == ROWS


def test_why_tells_what_a_row_did(stored: Manifest, tmp_path: Path) -> None:
    strongest: Any = stored.summary["strongest"]
    rows = select(open_tables(Store(tmp_path / "corpus")), "from influences where rank = 1").to_pylist()
    (told,) = why(rows[0]["trace_id"], tmp_path / "corpus")["traces"][0]["influences"]
    assert told["row_id"] == strongest[0]["row_id"]
    said = curate("why", rows[0]["trace_id"], "--corpus", tmp_path / "corpus", cwd=tmp_path).stdout
    assert "is number 1 of 12 for 'overrefusal'" in said.replace("\n", " ")


def test_a_mix_of_another_corpus_is_refused(trained: Any, scored: Path, tmp_path: Path) -> None:
    Store.create(tmp_path / "corpus")
    with pytest.raises(DataError, match="holds none of the mix's traces"):
        keep(trained(), scored, tmp_path)


def test_the_page_shows_the_strongest_rows_without_their_words(stored: Manifest, tmp_path: Path) -> None:
    page = (tmp_path / "out" / str(stored.summary["page"])).read_text(encoding="utf-8")
    strongest: Any = stored.summary["strongest"]
    assert strongest[0]["row_id"][:12] in page and "Strongest rows" in page and "▒" in page


def test_origins_say_how_often_a_group_is_among_the_strongest(trained: Any) -> None:
    rows = {
        row.row_id: row.model_copy(update={"part": "planted" if n < 2 else "others"})
        for n, row in enumerate(open_run(trained()).rows)
    }
    found = {one.value: one for one in origins(rows, list(rows)) if one.group == "part"}
    assert found["planted"].top == 1 and found["planted"].lift == 6 and found["others"].lift == 0


def test_origins_name_the_clusters_that_fill_the_top(trained: Any) -> None:
    known = open_run(trained()).rows
    rows = {f"r{n:03}": known[n % 12].model_copy(update={"prompt_id": f"p{n}"}) for n in range(100)}
    families = {"p0": "a", "p1": "a", "p2": "b", "p50": "b"}
    found = [one for one in origins(rows, list(rows), families) if one.group == "cluster"]
    assert [(one.value, one.rows, one.top) for one in found] == [("a", 2, 2)]
    assert not [one for one in origins(rows, list(rows)) if one.group == "cluster"]
