"""The oldest corpus and mix in the repository still read (tests/fixtures/format-1, by the first version that wrote any)."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.corpus.compact import CompactRecipe
from curation.corpus.compact import run as compact
from curation.corpus.query import connect, open_tables, select
from curation.corpus.store import Store
from schemas.errors import CorpusError
from schemas.manifest import FORMAT_VERSION
from schemas.tables import TABLES
from sft.proof.mix import read_mix

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(params=sorted(folder.name for folder in FIXTURES.glob("format-*")))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    shutil.copytree(FIXTURES / str(request.param), tmp_path / "old")
    return tmp_path / "old"


def curate(*args: object) -> str:
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_an_old_corpus_has_todays_columns(old: Path) -> None:
    connection = connect(Store(old / "corpus"))
    for table, schema in TABLES.items():
        found = select(connection, f"select * from {table}")
        assert set(schema.names) <= set(found.column_names)
    assert (
        select(connection, "select count(*) as n from candidates where parent_id is null")["n"][0].as_py()
        == 8
    )


def test_every_stage_goes_on_with_an_old_corpus(old: Path) -> None:
    corpus = old / "corpus"
    curate("annotate", "--annotators", "rules", "--corpus", corpus)
    curate("dedup", "--methods", "exact", "--corpus", corpus)
    curate("build-mix", old / "recipe.yaml", "--corpus", corpus, "--out", old / "new")
    row = json.loads(curate("sql", "select trace_id from candidates limit 1", "--corpus", corpus, "--json"))[
        0
    ]
    assert row["trace_id"] in curate("why", row["trace_id"], "--corpus", corpus)
    compact(corpus, CompactRecipe())
    assert json.loads(curate("status", "--corpus", corpus, "--json"))["tables"]["traces"]["rows"] == 8


def test_an_old_mix_reads_and_compares(old: Path) -> None:
    curate("build-mix", old / "recipe.yaml", "--corpus", old / "corpus", "--out", old / "new")
    assert len(read_mix(old / "mix").rows) == 5
    compared = curate("diff", old / "mix", old / "new", "--corpus", old / "corpus")
    assert "the two mixes have the same rows in the same order" in compared


def test_the_first_lock_rebuilds_the_mix_that_it_was_written_for(old: Path, tmp_path: Path) -> None:
    """recipe.lock is of the first version that had locks (commit 53e854b), on this corpus."""
    lock, built = old / "recipe.lock", tmp_path / "built"
    before = lock.read_bytes()
    curate("build-mix", old / "recipe.yaml", "--corpus", old / "corpus", "--lock", lock, "--out", built)
    assert (
        json.loads((built / "manifest.json").read_bytes())["summary"]["mix_id"]
        == json.loads(before)["mix_id"]
    )
    assert read_mix(built).rows == read_mix(old / "mix").rows and lock.read_bytes() == before
    curate(
        "build-mix",
        old / "recipe.yaml",
        "--corpus",
        old / "corpus",
        "--lock",
        lock,
        "--out",
        tmp_path / "again",
    )
    [data] = (built / "data").iterdir()
    assert data.read_bytes() == (tmp_path / "again" / "data" / data.name).read_bytes()


@pytest.mark.parametrize("marker", ["corpus/corpus.json", "mix/manifest.json"])
def test_a_newer_format_is_a_clear_error(old: Path, marker: str) -> None:
    path = old / marker
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": FORMAT_VERSION + 1}))
    with pytest.raises(CorpusError, match="newer than this toolkit supports"):
        Store(old / "corpus") if "corpus" in marker else read_mix(old / "mix")


def test_conversations_join_an_old_corpus_and_old_locks_build_the_same_bytes(
    old: Path, tmp_path: Path
) -> None:
    corpus, recipe = old / "corpus", old / "recipe.yaml"
    curate("build-mix", recipe, "--corpus", corpus, "--lock", tmp_path / "a.lock", "--out", tmp_path / "a")
    assert json.loads((corpus / "corpus.json").read_bytes()) == {"format_version": 1}
    said = {"role": "assistant", "content": "<think>\nSo.\n</think>\n\nYes."}
    chat = {"messages": [{"role": "user", "content": "Hi"}, said, {"role": "user", "content": "Sure?"}, said]}
    (tmp_path / "chat.jsonl").write_text(json.dumps(chat))
    curate("ingest", tmp_path / "chat.jsonl", "--kind", "benign", "--corpus", corpus)
    assert json.loads((corpus / "corpus.json").read_bytes()) == {"format_version": FORMAT_VERSION}
    curate("build-mix", recipe, "--corpus", corpus, "--lock", tmp_path / "a.lock", "--out", tmp_path / "b")
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert files and all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files
    )
    compact(corpus, CompactRecipe())
    counts = select(open_tables(Store(corpus)), "select count(turns) as talks, count(*) as all from traces")
    assert counts.to_pylist() == [{"talks": 1, "all": 9}]
