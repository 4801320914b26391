"""Codebooks of a lab's own, from the file to mixes, by commands."""

import json
from pathlib import Path

import pytest

from annotators.judge.judge import llm_judge
from annotators.judge.rubric import generated
from curation.annotate.judging import to_table
from curation.codebook import stage
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from schemas.annotation import Annotation
from schemas.errors import RecipeError
from schemas.trace import Trace
from tests.command_line import curate
from tests.curation.codebook.conftest import NAMES, WORDS, SchemaJudge


def traces_of(corpus: Store) -> list[Trace]:
    rows = (row for batch in corpus.scan("traces", tuple(Trace.model_fields)) for row in batch.to_pylist())
    return sorted((Trace.model_validate(row) for row in rows), key=lambda trace: trace.prompt)


def judge_all(corpus: Store, book_file: Path) -> list[Annotation]:
    made = llm_judge(SchemaJudge(), rubric=generated(stage.load(book_file))).annotate(traces_of(corpus))
    said = [one for one in made if isinstance(one, Annotation)]
    with corpus.writing("annotations"):
        corpus.append("annotations", to_table(said))
    return said


def test_a_codebook_goes_from_its_file_over_the_judge_to_conditions_and_agreement(
    talking: Path, book_file: Path
) -> None:
    corpus = Store(talking / "corpus")
    said = judge_all(corpus, book_file)
    assert len(said) == 20 * len(NAMES) and {one.pattern for one in said} == set(NAMES)
    assert sum(one.label is True for one in said) == 40 and not any(one.label is None for one in said)

    wanted = "count(*) filter (heft_amber >= 2) as heavy, count(*) filter (tint_amber) as amber, count(*) filter (stones_any) as anyone"
    found = select(connect(corpus), f"select {wanted}, count(*) filter (stones_heavy) as two from candidates")
    assert found.to_pylist() == [{"heavy": 2, "amber": 2, "anyone": 20, "two": 0}]

    people = [
        {"trace_id": t.trace_id, "pattern": name, "annotator": "human:ada", "value": value}
        for n, t in enumerate(traces_of(corpus))
        for name, value in (("heft_basalt", "little" if WORDS[1] in t.reasoning else 0), ("tint_basalt", WORDS[1] in t.reasoning))
    ]  # fmt: skip
    (talking / "people.jsonl").write_text("\n".join(map(json.dumps, people)))
    done = curate("ingest", "people.jsonl", cwd=talking)
    assert done.returncode == 0 and "40 kept" in done.stdout + done.stderr

    agreed = json.loads(
        curate("agree", "--patterns", "heft_basalt,tint_basalt", "--json", cwd=talking).stdout
    )
    assert agreed["tint_basalt"]["alpha"]["value"] == 1
    weighted = agreed["heft_basalt"]["alpha"]["value"]
    assert 0.3 < weighted < 1, "one level apart is nearly the same, and not the same"

    mix = {"name": "stones", "parts": {"all": {"where": "heft_basalt >= 1 and tint_basalt", "take": 2}}}
    (talking / "mix.yaml").write_text(json.dumps(mix))
    built = curate("build-mix", "mix.yaml", "--out", "mix", cwd=talking)
    assert built.returncode == 0, built.stderr


def test_the_commands_go_the_whole_way_with_a_judge_behind_a_server(talking: Path, judge_url: str) -> None:
    where = ("--model", "stub", "--base-url", judge_url)
    dry = curate("annotate", "--annotators", "codebook:stones", *where, "--dry-run", cwd=talking)
    assert dry.returncode == 0 and json.loads(dry.stdout)["judge:stub+stones@1.0"]["questions"] == 20, (
        dry.stderr
    )
    judged = curate("annotate", "--annotators", "rules,codebook:stones", *where, "--json", cwd=talking)
    assert judged.returncode == 0, judged.stderr
    counts = json.loads(judged.stdout)["summary"]["judge:stub+stones@1.0"]
    assert counts["heft_cedar"]["true"] == 2 and len(counts) == len(NAMES)
    people = [{"trace_id": t.trace_id, "pattern": "heft_cedar", "annotator": "human:ada", "value": n % 3}
              for n, t in enumerate(traces_of(Store(talking / "corpus")))]  # fmt: skip
    (talking / "people.jsonl").write_text("\n".join(map(json.dumps, people)))
    assert curate("ingest", "people.jsonl", cwd=talking).returncode == 0
    for command in (
        ("agree", "--patterns", "stones"),
        ("calibrate", "--patterns", "heft_cedar"),
        ("status",),
        ("sql", "select heft_cedar, count(*) from candidates group by all"),
        ("report", "--out", "page.html"),
    ):
        done = curate(*command, cwd=talking)
        assert done.returncode == 0, done.stderr
    wrong = curate("annotate", "--annotators", "codebook:stone", *where, cwd=talking)
    assert wrong.returncode == 1 and "did you mean 'stones'" in wrong.stderr
    assert curate("agree", "--patterns", "heft_cedr", cwd=talking).returncode == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entries": {"select": {"field": "answer", "definition": "x"}}}, "needs an underscore"),
        ({"entries": {"answer_refusal": {"field": "answer", "definition": "x"}}}, "means something else"),
        ({"entries": {"answer_kind_score": {"field": "answer", "definition": "x"}}}, "means something else"),
        ({"entries": {"a_b": {"field": "answer", "definition": "x", "levels": ["only"]}}}, "2 to 20"),
        ({"entries": {"a_b": {"field": "answer", "definition": "x", "excludes": ["c_d"]}}}, "no entry of this file"),
        ({"entries": {"a'; drop": {"field": "answer", "definition": "x"}}}, "entries"),
        ({"entries": {"a_b": {"field": "nose", "definition": "x"}}}, "write 'prompt'"),
        ({"entries": {"a_b": {"field": "answer", "definition": "x", "fild": "y"}}}, "did you mean 'field'"),
        ({"combined": {"c_d": {"of": ["nobody_here"]}}}, "no entry of this file"),
    ],
)  # fmt: skip
def test_a_bad_codebook_is_refused_with_what_is_wrong(
    change: dict[str, object], message: str, book_file: Path
) -> None:
    book = json.loads(book_file.read_text()) | {"combined": {}} | change
    book_file.write_text(json.dumps(book))
    with pytest.raises(RecipeError, match=message) as error:
        stage.load(book_file)
    assert str(error.value).startswith(f"{book_file}:")


def test_a_changed_text_needs_a_new_version_and_names_are_one_codebooks_own(
    talking: Path, book_file: Path
) -> None:
    corpus, book = Store(talking / "corpus"), stage.load(book_file)
    assert stage.add(corpus, book) is False
    changed = book.model_copy(update={"guidance": "Look twice."})
    with pytest.raises(RecipeError, match="set version: 2"):
        stage.add(corpus, changed)
    assert stage.add(corpus, changed.model_copy(update={"version": 2})) is True
    with pytest.raises(RecipeError, match="is also in the codebook stones"):
        stage.add(corpus, book.model_copy(update={"name": "other"}))


def test_a_corpus_without_codebooks_has_the_columns_it_always_had(tmp_path: Path) -> None:
    corpus = Store.create(tmp_path / "c")
    before = select(connect(corpus), "select * from candidates").column_names
    assert stage.add(corpus, stage.find("principles")) is True
    after = select(connect(corpus), "select * from candidates").column_names
    added = [name for name in after if name not in before]
    assert [name for name in after if name in before] == before
    assert len(added) == 2 * 20 + 1 and "principle_privacy" in added


def test_a_policys_text_becomes_an_entry_whose_rules_a_judge_cites(tmp_path: Path) -> None:
    (tmp_path / "policy.md").write_text(
        "# Policy\n1.1 No forged permits.\n- 2.3. No promises.\nThat is all.\n"
    )
    assert curate("codebook", "init", "ours.yaml", "--policy", "policy.md", cwd=tmp_path).returncode == 0
    told = json.loads(curate("codebook", "check", "ours.yaml", "--json", cwd=tmp_path).stdout)
    [entry] = told["entries"].values()
    assert entry["rules"] == {"1.1": "No forged permits.", "2.3": "No promises."}
    for name in ("principles", "structure", "policy", "patterns"):
        assert curate("codebook", "show", name, cwd=tmp_path).returncode == 0


def test_the_report_shows_levels_agreement_and_where_in_the_reasoning_the_evidence_stands(
    talking: Path, book_file: Path
) -> None:
    judge_all(Store(talking / "corpus"), book_file)
    made = curate("report", "--out", "page.html", cwd=talking)
    assert made.returncode == 0, made.stderr
    page = (talking / "page.html").read_text()
    assert (
        "Codebook stones" in page
        and "none 18, little 0, much 2" in page
        and "evidence over the reasoning" in page
    )
    query = "select first, last, share from trajectories where pattern = 'heft_amber' order by all"
    [(first, last, share), *_] = [
        tuple(row.values()) for row in select(connect(Store(talking / "corpus")), query).to_pylist()
    ]
    assert 0.3 < first < 0.5 < last < 0.8 and share == pytest.approx(last - first)
