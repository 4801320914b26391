"""`Corpus`: what the commands do, from Python, with real files."""

import json
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pytest

from curation import Corpus
from schemas.errors import CorpusError, RecipeError

SAMPLES = Path(str(files("curation"))) / "samples"
MIX = """name: two-parts
parts:
  safety: {where: "kind = 'harmful' and not risky"}
  math: {where: "kind = 'math'"}
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = Corpus(tmp_path_factory.mktemp("api") / "corpus")
    made.ingest(SAMPLES / "traces.jsonl", SAMPLES / "broken.jsonl")
    made.annotate("rules")
    return made


def test_a_corpus_is_made_where_there_is_none_and_opened_where_there_is(tmp_path: Path) -> None:
    first = Corpus(tmp_path / "new" / "corpus")
    assert (first.folder / "corpus.json").is_file() and "0 traces" in repr(first)
    assert repr(Corpus(str(first.folder))) == repr(first)


def test_a_folder_of_other_things_is_not_made_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CorpusError, match="not empty"):
        Corpus(tmp_path)


def test_ingest_gives_the_manifest_with_every_row_in_one_state(corpus: Corpus) -> None:
    manifest = corpus.ingest(SAMPLES / "broken.jsonl")
    assert manifest.counts.rows == 10 and manifest.counts.balance == 0
    assert repr(manifest).startswith("<Manifest of ingest: 10 rows, ")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.ingest("x.jsonl", kind="evil"), "evil"),
        (lambda c: c.ingest("x.jsonl", format="tape"), "tape"),
        (lambda c: c.annotate(), "annotators"),
        (lambda c: c.annotate("nobody"), "nobody"),
        (lambda c: c.dedup(threshold=7), "threshold"),
        (lambda c: c.generate(strategies=["default"]), "model"),
        (lambda c: c.generate(think="hard"), "think"),
        (lambda c: c.sql("drop table traces"), "SELECT"),
        (lambda c: c.sql("select 1", consensus="loudest"), "consensus"),
        (lambda c: c.candidates("true) union (select 1"), "one SQL expression"),
        (lambda c: c.candidates("no_such_column"), "no_such_column"),
        (lambda c: c.build_mix("no-such-recipe", out="x"), "no-such-recipe"),
    ],
)
def test_a_wrong_setting_is_a_recipe_error_that_names_it(corpus: Corpus, call, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RecipeError) as raised:
        call(corpus)
    assert said in str(raised.value)


def test_a_query_comes_as_arrow_pandas_polars_or_dicts(corpus: Corpus) -> None:
    found = corpus.sql("select strategy, count(*) as n from traces group by all order by all")
    rows = list(found)
    assert isinstance(found.arrow(), pa.Table) and found.columns == ["strategy", "n"] and len(found) == 6
    assert found.df().to_dict("records") == found.pl().to_dicts() == rows == found.arrow().to_pylist()


def test_candidates_are_filtered_by_a_condition_and_a_trailing_comment_does_no_harm(corpus: Corpus) -> None:
    assert len(corpus.candidates("kind = 'math' -- all of them")) == 40
    assert len(corpus.candidates()) == len(corpus.sql("select trace_id from traces"))


def test_what_a_notebook_shows_of_a_query_is_masked_and_what_code_gets_is_not(corpus: Corpus) -> None:
    found = corpus.sql("select prompt as kind, [reasoning] as listed, {'a': answer} as packed from candidates "
                       "where kind = 'harmful' order by trace_id limit 3")  # fmt: skip
    for text in (repr(found), found._repr_html_()):
        assert "▒" in text
        for row in found:
            told = (row["kind"], *row["listed"], row["packed"]["a"])
            assert not any(part and len(part.split()) > 1 and part in text for part in told)


def test_what_a_notebook_shows_is_escaped(tmp_path: Path) -> None:
    line = {
        "prompt": "p",
        "response": "<think>r</think>a",
        "source": "<script>alert(1)</script>\x1b[2J\u202e",
    }
    (tmp_path / "x.jsonl").write_text(json.dumps(line))
    corpus = Corpus(tmp_path / "corpus")
    corpus.ingest(tmp_path / "x.jsonl")
    shown = corpus._repr_html_() + corpus.sql("select source from traces")._repr_html_()
    assert "<script" not in shown and "\x1b" not in shown and "\u202e" not in shown


def test_a_notebook_shows_the_counts_of_a_corpus_and_of_what_a_stage_did(corpus: Corpus) -> None:
    shown = corpus._repr_html_()
    assert all(f"<td>{text}</td>" in shown for text in ("traces", "harmful", "weak_vacillation"))
    assert "<td>quarantined</td>" in corpus.ingest(SAMPLES / "broken.jsonl")._repr_html_()


def test_decontamination_takes_a_file_and_a_column_by_name(corpus: Corpus, tmp_path: Path) -> None:
    asked = corpus.sql("select text from prompts where length(text) > 80 order by prompt_id limit 1")
    (tmp_path / "bench.jsonl").write_text(json.dumps({"question": next(iter(asked))["text"]}))
    corpus.decontaminate(against={"my-bench": f"{tmp_path / 'bench.jsonl'}:question"})
    assert {row["benchmark"] for row in corpus.sql("select benchmark from contamination")} == {"my-bench"}


def test_strategies_without_a_model_need_none(corpus: Corpus) -> None:
    manifest = corpus.generate(strategies=["nocot"], where="kind = 'harmful'", limit=3)
    assert manifest.counts.kept == 3


def test_a_mix_knows_its_corpus(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "mix.yaml").write_text(MIX)
    mix = corpus.build_mix(tmp_path / "mix.yaml", out=tmp_path / "mix", lock=tmp_path / "mix.lock")
    again = corpus.build_mix(tmp_path / "mix.yaml", out=tmp_path / "again", lock=tmp_path / "mix.lock")
    assert mix.corpus == corpus.folder and mix.id == again.id and len(mix) == len(list(mix.rows()))


def test_a_sweep_is_not_one_mix(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"a sweep of .* curate build-mix"):
        corpus.build_mix("ablation", out=tmp_path / "mix")
