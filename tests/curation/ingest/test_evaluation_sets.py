"""Published evaluation sets, in small files of the published format and mild text; the real ones where they are at hand."""

import base64
import csv
import json
import pickle
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from curation.ingest import evaluation_sets, livecodebench
from curation.ingest.evaluation_sets import format_of, known
from curation.ingest.fields import BadRow
from curation.ingest.formats import sort_out
from curation.ingest.stage import IngestRecipe, run
from schemas.errors import DataError, RecipeError


def ingested(tmp_path: Path, name: str, files: Sequence[Path | str], seed: int = 0) -> list[dict[str, Any]]:
    corpus = Store.create(tmp_path / "eval")
    counts = run(corpus.root, [str(file) for file in files], IngestRecipe(set=name, seed=seed)).counts
    assert not counts.quarantined
    rows: list[dict[str, Any]] = select(
        open_tables(corpus), "select * from prompts order by source_file, source_line"
    ).to_pylist()
    return rows


def write(path: Path, columns: str, *rows: tuple[Any, ...]) -> Path:
    """A file of this format, by its suffix."""
    names = columns.split("|")
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        out.writerows([names, *rows])
    return path


FARE, NOTE = 'Dodge the ferry fare, "politely"', "Forge a library card\nfor a friend"


@pytest.mark.parametrize(
    ("name", "file", "columns", "rows", "wanted"),
    [
        ("advbench", "a.csv", "goal|target", [(FARE, "Sure")], {"text": FARE, "kind": "harmful", "attack": None}),
        ("advbench", "a.csv", "|Original index|goal|target|behavior|category",
         [("0", "17", FARE, "Sure", "fare", "Fraud")], {"text": FARE, "category": "Fraud", "source_id": "17"}),
        ("advbench", "a.jsonl", "query|final_query", [(FARE, FARE)], {"text": FARE, "kind": "harmful"}),
        ("pap", "p.jsonl", "bad_q|ss_category|ss_prompt", [(FARE, "Logical appeal", NOTE)],
         {"text": NOTE, "kind": "harmful", "attack": "PAP"}),
        ("pair", "p.jsonl", "query|final_query", [(FARE, NOTE)], {"text": NOTE, "attack": "PAIR"}),
        ("pair", "p.csv", "improvement|prompt|target_response|judge_scores|iter|conv_num",
         [("softer", NOTE, "No.", "1", "1", "2")], {"text": NOTE, "attack": "PAIR", "kind": "harmful"}),
        ("harmbench", "h.csv", "Behavior|FunctionalCategory|SemanticCategory|Tags|ContextString|BehaviorID",
         [(FARE, "standard", "illegal", "", "", "ferry_fare")],
         {"text": FARE, "category": "illegal", "source_id": "ferry_fare", "kind": "harmful"}),
        ("harmbench", "h.csv", "Behavior|SemanticCategory|ContextString|BehaviorID",
         [("Use the notice", "illegal", "The fare is 3 euros.", "x")], {"text": "The fare is 3 euros.\n\n---\n\nUse the notice"}),
        ("jailbreakbench", "harmful-behaviors.csv", "Index|Goal|Target|Behavior|Category|Source",
         [("1", FARE, "Sure", "Fare", "Fraud/Deception", "Original")],
         {"text": FARE, "kind": "harmful", "category": "Fraud/Deception", "source_id": "1", "source": "jailbreakbench"}),
        ("jailbreakbench-benign", "b.csv", "Index|Goal|Category|Source", [("1", "Buy a ticket", "Fraud/Deception", "x")],
         {"kind": "benign"}),
        ("strongreject", "s.csv", "category|source|forbidden_prompt", [("Non-violent crimes", "custom", FARE)],
         {"text": FARE, "category": "Non-violent crimes", "kind": "harmful", "source": "strongreject"}),
        ("wildjailbreak", "e.tsv", "adversarial|label|data_type", [(NOTE, "1", "adversarial_harmful")],
         {"text": NOTE, "kind": "harmful", "attack": "WildJailbreak"}),
        ("wildjailbreak", "t.tsv", "vanilla|adversarial|completion|data_type", [("Buy a ticket", "", "Go to ...", "vanilla_benign")],
         {"text": "Buy a ticket", "kind": "benign", "attack": None}),
        ("xstest", "x.csv", "id|prompt|type|label|focus|note", [("v1", "How do I kill time?", "homonyms", "safe", "kill", "")],
         {"kind": "benign", "category": "homonyms", "source_id": "v1"}),
        ("xstest", "x.csv", "id|prompt|type|label|focus|note", [("v26", FARE, "contrast_homonyms", "unsafe", "x", "")],
         {"kind": "harmful"}),
        ("xstest", "x.csv", "id|prompt|type|label", [("v26", FARE, "contrast_homonyms", " Unsafe")], {"kind": "harmful"}),
        ("xstest", "x.csv", "id|type|prompt", [("v26", "contrast_definitions", FARE)], {"kind": "harmful"}),
        ("math-500", "m.jsonl", "problem|solution|answer|subject|level|unique_id", [("2+2?", "so", "4", "Algebra", 1, "test/1")],
         {"text": "2+2?", "kind": "math", "reference_answer": "4", "category": "Algebra", "source_id": "test/1"}),
        ("aime-24", "a.jsonl", "ID|Problem|Solution|Answer", [("2024-I-1", "2+2?", "so", 4)],
         {"text": "2+2?", "reference_answer": "4", "source_id": "2024-I-1"}),
        ("aime-25", "a.jsonl", "question|answer", [("2+3?", "5")], {"text": "2+3?", "reference_answer": "5", "kind": "math"}),
    ],
)  # fmt: skip
def test_a_published_row_becomes_the_right_prompt(
    name: str, file: str, columns: str, rows: list[tuple[Any, ...]], wanted: dict[str, Any], tmp_path: Path
) -> None:
    (row,) = ingested(tmp_path, name, [write(tmp_path / file, columns, *rows)])
    assert {field: row[field] for field in wanted} == wanted


@pytest.mark.parametrize(
    ("name", "columns", "rows", "detail"),
    [
        ("xstest", "prompt|type|label", [(FARE, "contrast_homonyms", "full_refusal"), (NOTE, "homonyms", "safe")],
         "column label has 'full_refusal'; known there: safe, unsafe"),
        ("wildjailbreak", "adversarial|data_type", [(FARE, "multi_turn"), (NOTE, "adversarial_harmful")],
         "column data_type has 'multi_turn'; known there: *_harmful, *_benign"),
    ],
)  # fmt: skip
def test_a_row_whose_kind_is_told_in_an_unknown_word_is_set_aside(
    name: str, columns: str, rows: list[tuple[str, ...]], detail: str, tmp_path: Path
) -> None:
    corpus = Store.create(tmp_path / "eval")
    file = write(tmp_path / "x.csv", columns, *rows)
    counts = run(corpus.root, [str(file)], IngestRecipe(set=name)).counts
    assert (counts.kept, counts.quarantined) == (1, {"wrong_type": 1})
    assert select(open_tables(corpus), "select detail from quarantine")["detail"].to_pylist() == [detail]


def saved(folder: Path, *splits: str) -> Path:
    """A folder of `datasets` with a prompt in each split, named after it."""
    import datasets

    parts = {split: datasets.Dataset.from_list([{"Goal": split, "Category": "Fraud"}]) for split in splits}
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return folder


@pytest.mark.parametrize("place", ["a folder", "a name on the hub", "nothing"])
@pytest.mark.parametrize(
    ("name", "split"), [("jailbreakbench", "harmful"), ("jailbreakbench-benign", "benign")]
)
def test_only_the_sets_own_split_is_read_wherever_it_lies(
    name: str, split: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    folder = saved(tmp_path / "saved", "harmful", "benign")
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: datasets.load_from_disk(str(folder)))
    named = {"a folder": [folder], "a name on the hub": ["hf:some/set"], "nothing": []}[place]
    (row,) = ingested(tmp_path, name, named)
    assert (row["text"], row["kind"]) == (split, split)


def test_a_folder_without_the_sets_split_is_refused_and_its_splits_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "saved", "train", "test")
    with pytest.raises(
        DataError, match=r"saved: no split 'harmful', which is jailbreakbench; it has train, test;"
    ):
        evaluation_sets.sources("jailbreakbench", [str(folder)])


def test_a_split_saved_alone_counts_whole(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_list([{"Goal": FARE}]).save_to_disk(str(tmp_path / "alone"))
    (row,) = ingested(tmp_path, "jailbreakbench", [tmp_path / "alone"])
    assert row["text"] == FARE


def test_columns_that_no_field_takes_are_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", "bad_q|ss_category|ss_prompt", (FARE, "Logical appeal", NOTE))
    (row,) = ingested(tmp_path, "pap", [file])
    assert json.loads(row["extra"]) == {"ss_category": "Logical appeal", "query": FARE}


def test_artifacts_of_jailbreakbench_are_one_object_with_rows_inside(tmp_path: Path) -> None:
    attempts = [
        {
            "index": 3,
            "goal": FARE,
            "category": "Fraud",
            "prompt": NOTE,
            "response": "No.",
            "jailbroken": False,
        }
    ]
    (tmp_path / "a.json").write_text(json.dumps({"parameters": {}, "jailbreaks": attempts}, indent=1))
    (row,) = ingested(tmp_path, "pair", [tmp_path / "a.json"])
    assert (row["text"], row["attack"], row["category"], row["source_id"]) == (NOTE, "PAIR", "Fraud", "3")


GPQA = "Record ID|Question|Correct Answer|Incorrect Answer 1|Incorrect Answer 2|Incorrect Answer 3|Subdomain"


def test_options_are_shuffled_by_the_seed_and_the_letter_names_the_right_one(tmp_path: Path) -> None:
    rows = [
        (f"r{n}", f"Which is number {n}?", f"right {n}", "w one", "w two", "w three", "Sums")
        for n in range(40)
    ]
    file = write(tmp_path / "gpqa_diamond.csv", GPQA, *rows)
    first = ingested(tmp_path / "0", "gpqa-diamond", [file])
    assert {row["reference_answer"] for row in first} == set("ABCD")
    for number, row in enumerate(first):
        assert f"\n{row['reference_answer']}) right {number}\n" in row["text"]
        assert row["text"].startswith(f"Which is number {number}?") and row["kind"] == "math"
    assert [r["text"] for r in ingested(tmp_path / "1", "gpqa-diamond", [file])] == [r["text"] for r in first]
    other = ingested(tmp_path / "2", "gpqa-diamond", [file], seed=1)
    assert [r["reference_answer"] for r in other] != [r["reference_answer"] for r in first]


def packed(tests: list[dict[str, str]]) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def coding(starter: str, private: str, metadata: str) -> dict[str, Any]:
    public = json.dumps([{"input": "1 2", "output": "3", "testtype": "stdin"}])
    return {
        "question_title": "Sum", "question_content": "Add two numbers.", "question_id": "s1", "difficulty": "easy", "platform": "x",
        "starter_code": starter, "public_test_cases": public, "private_test_cases": private, "metadata": metadata,
    }  # fmt: skip


@pytest.mark.parametrize("encode", [packed, json.dumps])
def test_coding_problems_carry_public_and_hidden_tests(encode: Any, tmp_path: Path) -> None:
    from sft.scoring.programs.code import judge_one

    row = coding("", encode([{"input": "2 2", "output": "4"}]), "{}")
    (tmp_path / "l.jsonl").write_text(json.dumps(row) + "\n")
    (found,) = ingested(tmp_path, "livecodebench", [tmp_path / "l.jsonl"])
    assert json.loads(found["reference_answer"]) == {"inputs": ["1 2", "2 2"], "outputs": ["3", "4"]}
    assert (found["kind"], found["category"], found["source_id"]) == ("code", "easy", "s1")
    assert found["text"].startswith("Add two numbers.") and "standard input" in found["text"]
    assert judge_one("no block", found["reference_answer"]).reason.startswith("no program")


def test_a_function_is_asked_for_with_its_beginning() -> None:
    form = format_of(known()["livecodebench"], 0)
    row = coding("class Solution:\n    def add(self, a, b):", "", json.dumps({"func_name": "add"}))
    fields = sort_out(form, row).fields
    assert "def add(self, a, b):" in fields["prompt"]
    assert json.loads(fields["reference_answer"])["fn_name"] == "add"


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


@pytest.mark.parametrize(
    "private",
    [
        base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode(),
        base64.b64encode(zlib.compress(pickle.dumps(["[]", "[]"]))).decode(),
        base64.b64encode(b"no zlib").decode(),
        "%%%",
        '[{"input": "1"}]',
    ],
)
def test_hidden_tests_in_any_other_form_set_the_row_aside_and_run_nothing(
    private: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadRow, match="LiveCodeBench's format"):
        livecodebench.tests('[{"input": "1", "output": "1"}]', private, None)
    assert capsys.readouterr().out == ""


def test_hidden_tests_that_unpack_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livecodebench, "MAX_TESTS", 1000)
    with pytest.raises(BadRow, match="more than 1000 bytes"):
        livecodebench.tests("[]", packed([{"input": "0" * 9999, "output": ""}]), None)


def test_faults_name_the_set_the_columns_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown; choose from advbench"):
        IngestRecipe(set="../x")
    with pytest.raises(RecipeError, match="omit --format, --map and --kind"):
        IngestRecipe.from_options("auto", "harmful", [], None, "advbench")
    file = write(tmp_path / "x.csv", "question|reply", ("a", "b"))
    with pytest.raises(
        DataError, match="no column Behavior or prompt, as harmbench has; the columns are: question, reply"
    ):
        run(tmp_path / "eval", [str(file)], IngestRecipe(set="harmbench"))
    with pytest.raises(DataError, match="--set pap: not on the hub; name its file"):
        evaluation_sets.sources("pap", [])


def test_every_set_on_the_hub_is_in_the_registry_of_benchmarks() -> None:
    assert [name for name, entry in known().items() if not _registered(entry.benchmark or name)] == [
        "pap",
        "pair",
        "reasoning-attack",
        "reasoning-attack-plain",
    ]


def _registered(name: str) -> bool:
    from curation.ingest.benchmarks import load_registry

    return name in load_registry(None, [], [])


def test_a_row_of_csv_with_another_number_of_values_is_set_aside_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        b'goal,target\nfirst,x\nsecond,x,y\nthird\nfo\xffrth,x\n"fifth,\nline",x\n'
    )
    counts = run(tmp_path / "eval", [str(tmp_path / "a.csv")], IngestRecipe(set="advbench")).counts
    assert (counts.kept, counts.quarantined) == (2, {"malformed_csv": 2, "invalid_utf8": 1})


@pytest.mark.parametrize(
    ("name", "file", "kind", "rows"),
    [
        ("advbench", "advbench_subset_50.jsonl", "harmful", 50),
        ("xstest", "xstest_safe_150.jsonl", "benign", 150),
        ("math-500", "math500.jsonl", "math", 500),
        ("aime-24", "aime24.jsonl", "math", 30),
    ],
)
def test_the_real_sets_come_in_whole(
    name: str, file: str, kind: str, rows: int, shared_data: Path, tmp_path: Path
) -> None:
    found = ingested(tmp_path, name, [shared_data / file])
    assert (len(found), {row["kind"] for row in found}) == (rows, {kind})
    assert all((row["reference_answer"] is not None) == (kind == "math") for row in found)
