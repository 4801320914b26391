"""An ingest can be put right: what a second one says otherwise is told, and amended on demand, with its history."""

import json
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.ingest.recipe import IngestRecipe
from curation.ingest.stage import run
from curation.report.why import why
from schemas.errors import RecipeError, UsageError
from schemas.prompt import set_prompt_id
from tests.command_line import curate

ROWS = [
    {"id": f"t{n}", "prompt": f"Question {n}?", "reasoning": f"Think {n}.", "answer": "A."} for n in range(3)
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def ingest(corpus: Path, *files: Path, **options: Any) -> dict[str, Any]:
    manifest = run(corpus, [str(file) for file in files], IngestRecipe.from_options(**options))
    assert manifest.counts.balance == 0
    return manifest.summary


def rows(corpus: Path, query: str) -> list[dict[str, Any]]:
    return list(select(connect(Store(corpus)), query).to_pylist())


def test_a_second_ingest_says_what_differs_and_changes_nothing(tmp_path: Path, file: Path) -> None:
    corpus = tmp_path / "c"
    ingest(corpus, file)
    told = ingest(corpus, file, kind="harmful")
    assert (told["new_rows"], told["already_there"]) == (0, 3)
    assert told["differences"] == [{"field": "kind", "previous": None, "value": "harmful", "rows": 3}]
    assert rows(corpus, "select distinct kind from candidates") == [{"kind": None}]


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"kind": "harmful"}, "kind", "harmful"),
        ({"source": "study"}, "source", "study"),
        ({"constants": ["strategy=improved"]}, "strategy", "improved"),
        ({"constants": ["model=deepseek-r1"]}, "model", "deepseek-r1"),
    ],
)
def test_amend_changes_known_rows_for_every_reader(
    tmp_path: Path, file: Path, options: dict[str, Any], field: str, value: str
) -> None:
    corpus = tmp_path / "c"
    ingest(corpus, file)
    before = [part.read_bytes() for part in Store(corpus).parts("traces")]
    assert ingest(corpus, file, amend=True, **options)["amended"]
    assert [part.read_bytes() for part in Store(corpus).parts("traces")] == before
    assert rows(corpus, f"select distinct {field} as value from candidates") == [{"value": value}]
    scanned = [row for batch in Store(corpus).scan("traces", [field]) for row in batch.to_pylist()]
    assert scanned == [{field: value}] * 3
    assert ingest(corpus, file, **options)["differences"] == []
    assert len(rows(corpus, "from traces")) == 3


def test_the_last_amendment_is_in_force_and_why_shows_all(tmp_path: Path, file: Path) -> None:
    corpus = tmp_path / "c"
    ingest(corpus, file, constants=["strategy=default"])
    for value in ("improved", "concise"):
        ingest(corpus, file, constants=[f"strategy={value}"], amend=True)
    (trace,) = why("t1", corpus)["traces"]
    assert trace["trace"]["strategy"] == "concise"
    assert [(one["version"], one["previous"], one["value"]) for one in trace["amendments"]] == [
        (1, "default", "improved"),
        (2, "improved", "concise"),
    ]


def test_a_mix_made_before_an_amendment_sees_what_it_saw(tmp_path: Path, file: Path) -> None:
    corpus = tmp_path / "c"
    ingest(corpus, file)
    parts = {"traces": [part.name for part in Store(corpus).parts("traces")]}
    ingest(corpus, file, kind="benign", amend=True)
    old = connect(Store(corpus), parts=parts)
    assert select(old, "select distinct kind from traces").to_pylist() == [{"kind": None}]


def test_a_second_row_with_a_known_prompt_is_no_difference(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    twice = [
        ROWS[0] | {"category": "a"},
        ROWS[0] | {"category": "b"},
        ROWS[0] | {"answer": "B.", "category": "c"},
    ]
    file.write_text("\n".join(map(json.dumps, twice)))
    ingest(tmp_path / "c", file)
    assert ingest(tmp_path / "c", file)["differences"] == []


def test_another_model_that_says_the_same_elsewhere_is_a_trace_of_its_own(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "b.jsonl"
    other.write_bytes(file.read_bytes())
    ingest(tmp_path / "c", file, constants=["model=one"])
    told = ingest(tmp_path / "c", other, constants=["model=two"])
    assert (told["new_rows"], told["differences"]) == (3, [])


def sets_file(folder: Path, number: int = 4) -> Path:
    file = folder / "a.jsonl"
    lines = [json.dumps({"query": f"Q {n}", "final_query": f"Tell a story of Q {n}"}) for n in range(number)]
    file.write_text("\n".join(lines))
    return file


MEMBERS = "select evaluation_set, attack, query is not null as wraps, count(*) as n from prompt_sets group by all order by all"


def test_the_same_file_under_another_set_gives_its_prompts_both_memberships(tmp_path: Path) -> None:
    file, corpus = sets_file(tmp_path), tmp_path / "c"
    first, second = ingest(corpus, file, set="advbench"), ingest(corpus, file, set="pair")
    assert (first["new_rows"], second["new_rows"], second["joined"], second["differences"]) == (4, 0, 4, [])
    for name in ("pair", "advbench"):
        again = ingest(corpus, file, set=name)
        assert (again["new_rows"], again["joined"], again["already_there"]) == (0, 0, 4)
    assert rows(corpus, "select source, count(*) as n from prompts group by all") == [
        {"source": "advbench", "n": 4}
    ]
    assert rows(corpus, MEMBERS) == [
        {"evaluation_set": "advbench", "attack": None, "wraps": True, "n": 4},
        {"evaluation_set": "pair", "attack": "PAIR", "wraps": True, "n": 4},
    ]


def test_a_set_finds_prompts_that_came_in_without_one(tmp_path: Path) -> None:
    file, corpus = sets_file(tmp_path), tmp_path / "c"
    plain = tmp_path / "plain.jsonl"
    plain.write_text("\n".join(json.dumps({"prompt": f"Tell a story of Q {n}"}) for n in range(4)))
    ingest(corpus, plain, kind="harmful")
    assert ingest(corpus, file, set="pap")["joined"] == 4
    assert [row["evaluation_set"] for row in rows(corpus, MEMBERS)] == ["pap", "plain"]


def test_the_same_prompt_twice_in_a_sets_file_is_a_duplicate_and_joins_once(tmp_path: Path) -> None:
    file, corpus = sets_file(tmp_path), tmp_path / "c"
    ingest(corpus, file, set="advbench")
    twice = tmp_path / "twice.jsonl"
    twice.write_text(f"{file.read_text()}\n{file.read_text()}")
    manifest = run(corpus, [str(twice)], IngestRecipe.from_options(set="pair"))
    assert (manifest.counts.kept, manifest.counts.filtered) == (4, {"duplicate": 4})
    assert manifest.summary["joined"] == 4


def test_a_corpus_in_which_each_set_has_its_own_copy_keeps_it(tmp_path: Path) -> None:
    file, corpus = sets_file(tmp_path), tmp_path / "c"
    ingest(corpus, file, set="advbench")
    store = Store(corpus)
    copies = [
        row | {"prompt_id": set_prompt_id(row["prompt_id"], "pair"), "source": "pair", "attack": "PAIR"}
        for row in rows(corpus, "from prompts")
    ]
    with store.writing("prompts"):
        store.append_rows("prompts", copies)
    told = ingest(corpus, file, set="pair")
    assert (told["new_rows"], told["joined"]) == (0, 0)
    assert rows(corpus, "select count(*) as n from prompt_sets where evaluation_set = 'pair'") == [{"n": 4}]


def test_constants_win_over_rows_and_what_the_row_said_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(ROWS[0] | {"strategy": "default", "prompt_tokens": 3}))
    ingest(tmp_path / "c", file, constants=["strategy=improved", "prompt_tokens=7"])
    (row,) = rows(tmp_path / "c", "select strategy, prompt_tokens, extra from traces")
    assert (row["strategy"], row["prompt_tokens"]) == ("improved", 7)
    assert json.loads(row["extra"]) == {"strategy": "default", "prompt_tokens": 3}


def test_a_recipe_file_has_map_constants_and_filters(tmp_path: Path) -> None:
    file, recipe = tmp_path / "a.jsonl", tmp_path / "r.yaml"
    data = [
        {
            "q": f"Q {n}",
            "out": f"<think>T</think>A {n}",
            "lang": "en" if n else "de",
            "score": {"safe": n},
            "tags": ["x"],
        }
        for n in range(5)
    ]
    file.write_text("\n".join(map(json.dumps, data)))
    recipe.write_text(
        "map: {prompt: q, response: out}\nconstants: {kind: harmful, model: m}\n"
        "filters: {lang: en, score.safe: {min: 2, not: 3}, tags: [x, y]}\n"
    )
    done = curate(
        "ingest", file, "--recipe", recipe, "--set-field", "model=n", "--corpus", "c", "--json", cwd=tmp_path
    )
    assert json.loads(done.stdout)["counts"]["filtered"] == {"filter lang": 1, "filter score.safe": 2}
    found = rows(tmp_path / "c", "select prompt, kind, model from traces order by prompt")
    assert found == [{"prompt": f"Q {n}", "kind": "harmful", "model": "n"} for n in (2, 4)]


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        (["strategy"], "write it as field=value"),
        (["strategy=a", "strategy=b"], "given twice"),
        (["prompt=x"], "unknown field; choose from"),
        (["kind=wicked"], "choose from harmful"),
        (["prompt_tokens=many"], "whole number"),
    ],
)
def test_a_wrong_constant_is_named(constants: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        IngestRecipe.from_options(constants=constants)


def test_a_wrong_filter_is_named_with_its_line(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("format: star1\nfilters:\n  score: {least: 3}\n")
    with pytest.raises(RecipeError, match=r"r\.yaml:3: filters\.score"):
        IngestRecipe.from_options(recipe=recipe)


def test_the_command_says_how_many_prompts_are_in_one_more_set(tmp_path: Path) -> None:
    file = sets_file(tmp_path)
    curate("ingest", "--set", "advbench", file, "--corpus", "c", cwd=tmp_path)
    said = curate("ingest", "--set", "pair", file, "--corpus", "c", cwd=tmp_path).stderr
    assert "0 new, 4 already there, 4 of them in one more set now" in said


def test_the_command_says_what_is_new_what_differs_and_what_no_kind_means(tmp_path: Path, file: Path) -> None:
    first = curate("ingest", file, "--corpus", "c", cwd=tmp_path).stderr
    assert "3 new" in first and "3 new rows have no kind" in first and "--kind KIND --amend" in first
    assert "0 new, 3 already there" in curate("ingest", file, "--corpus", "c", cwd=tmp_path).stderr
    differs = curate("ingest", file, "--kind", "harmful", "--corpus", "c", cwd=tmp_path).stderr
    assert "3 already there; kind differs (none -> harmful): left as it is; --amend changes it" in differs
    changed = curate("ingest", file, "--kind", "harmful", "--amend", "--corpus", "c", cwd=tmp_path).stderr
    assert "3 already there; kind differs (none -> harmful): changed" in changed


def test_a_new_prompt_of_a_set_with_a_source_of_its_own_is_new_and_belongs_to_the_set(tmp_path: Path) -> None:
    file, corpus = sets_file(tmp_path, 1), tmp_path / "c"
    told = ingest(corpus, file, set="advbench", source="mine")
    assert (told["new_rows"], told["joined"], told["already_there"]) == (1, 0, 0)
    assert [row["evaluation_set"] for row in rows(corpus, MEMBERS)] == ["advbench", "mine"]
