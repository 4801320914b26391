"""The search index: what is found, what a search can be, and an index that follows the corpus."""

import sqlite3
from pathlib import Path

import pytest

from curation.corpus.compact import CompactRecipe
from curation.corpus.compact import run as compact
from curation.corpus.store import Store
from curation.integrity.forget import ForgetRecipe
from curation.integrity.forget import run as forget
from curation.view import search
from curation.view.workplace import Workplace
from schemas.errors import CorpusError, RecipeError


def found(place: Workplace, text: str) -> list[str]:
    return [line.trace.trace_id for line in place.select({"q": [text]}).lines]


def ids(corpus: Store, *words: str) -> list[str]:
    rows = [row for batch in corpus.scan("traces") for row in batch.to_pylist()]
    texts = {row["trace_id"]: f"{row['prompt']} {row['reasoning']} {row['answer']}".lower() for row in rows}
    return [trace_id for trace_id, text in texts.items() if all(word in text for word in words)]


def test_all_words_are_found_in_any_field(place: Workplace, filled: Store) -> None:
    wanted = ids(filled, "privacy", "sorry")
    assert len(wanted) == 20 and found(place, "PRIVACY sorry") == wanted


def test_words_in_quotes_stand_together_and_a_star_ends_a_beginning(place: Workplace) -> None:
    assert place.select({"q": ['"about privacy"']}).total == place.select({"q": ["priv*"]}).total == 27
    assert place.select({"q": ['"privacy about"']}).total == 0
    assert place.select({"q": ["priv"]}).total == 0


@pytest.mark.parametrize(
    "text",
    ['"', "*", "()", "' or 1=1 --", 'a" OR "b', "NEAR(a b)", "prompt:privacy", "-privacy", "^sorry", "\0", "x" * 5000, "{reasoning}: a", "a AND", "\ud800"],
)  # fmt: skip
def test_no_search_is_more_than_words(place: Workplace, text: str) -> None:
    selected = place.select({"q": [text]})
    assert selected.total in (0, place.size) or "privacy" in text or "sorry" in text


def test_a_search_without_words_says_so() -> None:
    with pytest.raises(RecipeError, match="search for 1 to 20 words; this has 0"):
        search.match("!!! ?")
    with pytest.raises(RecipeError, match="this has 21"):
        search.match(" ".join(["a"] * 21))


def test_only_new_parts_are_read(filled: Store, tmp_path: Path) -> None:
    before = search.update(filled, tmp_path / "i")
    rows = before.listed(range(before.size()))
    filled.append_rows(
        "traces",
        [{"trace_id": "new", "prompt_id": "p", "prompt": "unheard of", "reasoning": "", "answer": "", "sample_index": 0}],
    )  # fmt: skip
    after = search.update(filled, tmp_path / "i")
    assert after.listed(range(80)) == rows and after.search("unheard").tolist() == [80]


def add(corpus: Store, name: str) -> None:
    corpus.append_rows(
        "traces",
        [{"trace_id": name, "prompt_id": "p", "prompt": f"about {name}", "reasoning": "", "answer": "", "sample_index": 0}],
    )  # fmt: skip


def pieces(folder: Path) -> int:
    with sqlite3.connect(folder / "words.sqlite") as connection:
        return int(connection.execute("select count(distinct segid) from words_idx").fetchone()[0])


def test_small_parts_leave_one_piece_and_later_ones_are_merged(filled: Store, tmp_path: Path) -> None:
    for number in range(30):
        add(filled, f"early{number}")
    assert search.update(filled, tmp_path / "i").size() == 110 and pieces(tmp_path / "i") == 1
    for number in range(40):
        add(filled, f"late{number}")
        index = search.update(filled, tmp_path / "i")
    assert pieces(tmp_path / "i") <= 16
    for name in ("early0", "early29", "late0", "late39"):
        assert [one.trace_id for one in index.listed(index.search(name).tolist())] == [name]


def test_packing_changes_nothing(filled: Store, tmp_path: Path) -> None:
    filled.append_rows(
        "traces",
        [{"trace_id": "new", "prompt_id": "p", "prompt": "unheard of", "reasoning": "", "answer": "", "sample_index": 0}],
    )  # fmt: skip
    index = search.update(filled, tmp_path / "i")
    rows = index.listed(range(81))
    compact(filled.root, CompactRecipe())
    compact(filled.root, CompactRecipe(prune=True))
    assert search.update(filled, tmp_path / "i").listed(range(81)) == rows
    assert index.size() == 81


@pytest.mark.parametrize("elsewhere", [False, True])
def test_nothing_of_a_forgotten_trace_stays(filled: Store, tmp_path: Path, elsewhere: bool) -> None:
    folder = tmp_path / "i" if elsewhere else None
    place = Workplace(filled.root, reviewer="ann", folder=folder)
    gone = place.select({}).lines[3].trace
    forget(filled.root, ForgetRecipe(traces=(gone.trace_id,)))
    kept = folder or filled.root / ".index"
    if not elsewhere:
        assert [path for path in kept.rglob("*") if path.is_file()] == []
    again = Workplace(filled.root, reviewer="ann", folder=folder)
    assert again.size == 79 and gone.trace_id not in found(again, "question")
    assert not any(gone.trace_id.encode() in path.read_bytes() for path in kept.rglob("words*"))


def test_a_file_that_is_no_index_is_named(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "words.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(
        CorpusError, match=r"words\.sqlite: the search index cannot be used .* it is made anew"
    ):
        search.update(filled, tmp_path)


def test_an_index_without_texts(filled: Store, tmp_path: Path) -> None:
    search.update(filled, tmp_path)
    with sqlite3.connect(tmp_path / "words.sqlite") as connection:
        assert connection.execute("select reasoning, answer from words limit 1").fetchall() == [(None, None)]
