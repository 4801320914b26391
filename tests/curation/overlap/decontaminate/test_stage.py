"""Evaluation prompts are found in prompts, reasoning and answers, with the shared words; mixes exclude these traces."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.corpus import compact
from curation.corpus.compact import CompactRecipe
from curation.corpus.query import connect, open_tables, select
from curation.corpus.store import Store
from curation.ingest import stage as ingest
from curation.ingest.benchmarks import Benchmark, Entry, Registry, load_registry, read
from curation.mix import build as mix
from curation.overlap.decontaminate.matching import Hit, find, make_targets
from curation.overlap.decontaminate.stage import DecontaminateRecipe, run
from curation.recipe import load_recipe
from schemas import DataError, RecipeError, prompt_id
from schemas.manifest import InputFile

QUESTIONS = [
    "A baker sells seven loaves in the morning and twice as many in the afternoon; how many loaves does she sell on one day?",
    "Which of the four rivers that flow through the old town was named after a queen who never crossed it in her life?",
    "How do I kill a browser tab?",
]
METHODS = ("ngram13", "ngram8", "near")


def hits(text: str, is_prompt: bool = True, methods: tuple[str, ...] = METHODS) -> list[Hit]:
    return list(find(pa.array([text]), make_targets(QUESTIONS, methods), 0.7, 0.8, is_prompt))


def benchmark(name: str = "quiz", texts: list[str] = QUESTIONS) -> Benchmark:
    return Benchmark(
        name,
        texts,
        [f"quiz.jsonl:{n}" for n in range(1, len(texts) + 1)],
        InputFile(name="quiz", blake2b=name),
    )


def fill(
    corpus: Store, number: int, prompt: str = "Tell me a tale", reasoning: str = "Hm.", answer: str = "Yes."
) -> str:
    key = prompt_id(prompt)
    corpus.append_rows("prompts", [{"prompt_id": key, "text": prompt, "kind": "benign"}])
    trace = {
        "trace_id": f"t{number}",
        "prompt_id": key,
        "prompt": prompt,
        "kind": "benign",
        "sample_index": 0,
    }
    corpus.append_rows("traces", [trace | {"reasoning": reasoning, "answer": answer}])
    return key


def contamination(corpus: Store) -> list[dict[str, Any]]:
    return select(open_tables(corpus), "select * from contamination order by all").to_pylist()


@pytest.mark.parametrize("method", METHODS)
def test_a_verbatim_copy_is_found_with_its_words(method: str) -> None:
    text = f"Please think hard. {QUESTIONS[0].upper()} Thank you."
    (hit,) = hits(text, methods=(method,))
    assert hit.target == 0 and hit.score == 1.0
    ((start, end),) = hit.spans
    assert text[start:end] == QUESTIONS[0].upper().rstrip("?")


def test_spans_are_code_points_also_behind_emoji_and_accents() -> None:
    text = f"💣é\u0301𝕬 {QUESTIONS[1]}"
    for hit in hits(text):
        assert text[hit.spans[0][0] : hit.spans[-1][1]] == QUESTIONS[1].rstrip("?")


def test_a_copy_with_changed_words_is_near_and_leaves_them_out_of_the_evidence() -> None:
    text = QUESTIONS[0].replace("afternoon", "evening").replace("baker", "woman")
    (hit,) = hits(text, methods=("near",))
    assert 0.8 <= hit.score < 1
    shown = " ".join(text[start:end] for start, end in hit.spans)
    assert "woman" not in shown and "evening" not in shown and "seven loaves in the morning" in shown


def test_a_short_target_is_near_only_a_prompt_of_its_length() -> None:
    changed = "How do I kill a terminal tab?"
    assert [hit.method for hit in hits(changed)] == ["near"]
    assert hits(changed, is_prompt=False) == []
    assert hits("Write about gardens and the weather. " * 5 + changed) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!?",
        "Seven loaves",
        "She sells bread in the morning and the afternoon, how many on one day?",
        "a " * 500,
    ],
)
def test_other_texts_are_not_found(text: str) -> None:
    assert hits(text) == []


def test_phrases_of_the_trade_say_nothing() -> None:
    frames = [f"Find the sum of all the values of x for which the {word} holds" for word in "abcdefghijkl"]
    targets = make_targets(frames, METHODS)
    other = pa.array(["Find the sum of all the values of x for which the zebra jumps"])
    assert list(find(other, targets, 0.7, 1.0, True)) == []


def test_planted_copies_are_found(shared_data: Path) -> None:
    rows = [json.loads(line)["problem"] for line in (shared_data / "math500.jsonl").read_text().splitlines()]
    chance = random.Random(3)
    words = " ".join(rows).split()

    def changed(text: str) -> str:
        there = text.split()
        for place in chance.sample(range(len(there)), max(1, len(there) // 10)):
            there[place] = chance.choice(words)
        return " ".join(there)

    targets = make_targets(rows, METHODS)
    verbatim = {hit.text for hit in find(pa.array(rows), targets, 0.7, 0.8, True) if hit.text == hit.target}
    others = pa.array([changed(row) for row in rows])
    near = {hit.text for hit in find(others, targets, 0.7, 0.8, True) if hit.text == hit.target}
    assert len(verbatim) == 500 and len(near) >= 475


def test_real_training_data_is_hardly_touched_by_the_benchmarks(shared_data: Path, tmp_path: Path) -> None:
    files = [str(shared_data / name) for name in ("star1.json", "sft_train_nocot.json")]
    ingest.run(tmp_path / "corpus", files, ingest.IngestRecipe())
    sets = {
        "xstest": "xstest_safe_150.jsonl:query",
        "math": "math500.jsonl:problem",
        "aime": "aime24.jsonl:problem",
    }
    registry = load_registry(None, [f"{name}={shared_data}/{place}" for name, place in sets.items()], [])
    counts = run(tmp_path / "corpus", read(registry), DecontaminateRecipe()).counts
    assert counts.rows == 1487 and counts.kept >= 1480


def test_every_field_is_compared_and_a_mix_refuses_what_is_found(corpus: Store, tmp_path: Path) -> None:
    fill(corpus, 0)
    in_prompt = fill(corpus, 1, prompt=QUESTIONS[2])
    fill(corpus, 2, prompt="Another tale", reasoning=f"As it were: {QUESTIONS[0]}")
    fill(corpus, 3, prompt="One more tale", answer=f"As it were: {QUESTIONS[1]}")
    manifest = run(corpus.root, [benchmark()], DecontaminateRecipe())
    assert manifest.counts.kept == 1 and manifest.counts.filtered == {"quiz": 3}
    places = {(row["field"], row["id"], row["benchmark_row"]) for row in contamination(corpus)}
    assert places == {
        ("prompt", in_prompt, "quiz.jsonl:3"),
        ("reasoning", "t2", "quiz.jsonl:1"),
        ("answer", "t3", "quiz.jsonl:2"),
    }
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\nparts:\n  a: {where: 'true', take: 9, on_shortage: take_all}\n")
    counts = mix.run(corpus.root, recipe, out=tmp_path / "mix").counts
    assert counts.kept == 1 and counts.filtered == {"benchmark quiz": 3}
    recipe.write_text(
        "name: x\nallow_benchmarks: [quiz]\nparts:\n  a: {where: 'true', take: 9, on_shortage: take_all}\n"
    )
    assert mix.run(corpus.root, recipe, out=tmp_path / "allowed").counts.kept == 4


def test_only_what_is_new_is_compared_again(corpus: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(corpus, 0, prompt=QUESTIONS[2])
    run(corpus.root, [benchmark()], DecontaminateRecipe())
    compact.run(corpus.root, CompactRecipe())
    fill(corpus, 1, prompt="Another tale", reasoning=QUESTIONS[0])
    read_parts: list[str] = []
    from curation.overlap.decontaminate import stage as decontaminate

    batches = decontaminate.read_batches
    monkeypatch.setattr(
        decontaminate, "read_batches", lambda part, table: (read_parts.append(table), batches(part, table))[1]
    )
    before = contamination(corpus)
    run(corpus.root, [benchmark()], DecontaminateRecipe())
    assert sorted(read_parts) == ["prompts", "traces"] and len(contamination(corpus)) == len(before) + 3
    run(corpus.root, [benchmark()], DecontaminateRecipe())
    assert len(read_parts) == 2
    run(corpus.root, [benchmark(), benchmark("other", QUESTIONS[:1])], DecontaminateRecipe())
    keys = [
        (row["field"], row["id"], row["benchmark"], row["benchmark_row"], row["method"])
        for row in contamination(corpus)
    ]
    assert len(set(keys)) == len(keys) and {key[2] for key in keys} == {"quiz", "other"}


def test_a_paraphrase_is_found_by_its_meaning(corpus: Store) -> None:
    pytest.importorskip("sentence_transformers")
    text = "How can I kill the tab of a browser?"
    fill(corpus, 0, prompt=text)
    run(corpus.root, [benchmark()], DecontaminateRecipe(methods=("semantic",), cosine=0.7))
    (row,) = contamination(corpus)
    assert row["method"] == "semantic" and row["benchmark_row"] == "quiz.jsonl:3"
    assert row["spans"] == [{"field": "prompt", "start": 0, "end": len(text)}]


def test_the_command_reads_a_registry_and_says_what_it_found(corpus: Store, tmp_path: Path) -> None:
    key = fill(corpus, 0, prompt=QUESTIONS[0])
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps({"q": text}) + "\n" for text in QUESTIONS))
    (tmp_path / "b.yaml").write_text(
        f"benchmarks:\n  quiz: {{file: {tmp_path}/quiz.jsonl, column: q, suite: reasoning}}\n"
    )
    shown = CliRunner().invoke(app, ["decontaminate", str(tmp_path / "b.yaml"), "--corpus", str(corpus.root)])
    assert shown.exit_code == 0 and "quiz" in shown.stdout and "1 filtered (quiz 1)" in shown.stderr
    assert QUESTIONS[0] not in shown.output
    why = CliRunner().invoke(app, ["why", "t0", "--json", "--corpus", str(corpus.root)])
    assert "quiz.jsonl:1" in why.stdout and key in why.stdout


def test_faults_of_the_registry_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "x"}\n')
    with pytest.raises(DataError, match=r"(?s)one: .*no such file.*two: .*column 'p'.*--only"):
        read(
            {
                "one": Entry(file=str(tmp_path / "gone"), column="q"),
                "two": Entry(file=str(tmp_path / "a.jsonl"), column="p"),
            }
        )
    with pytest.raises(RecipeError, match="NAME=FILE:COLUMN"):
        load_registry(None, ["quiz"], [])
    with pytest.raises(RecipeError, match="is not one of"):
        load_registry(None, ["quiz=a:b"], ["other"])
    with pytest.raises(RecipeError, match="small letters"):
        load_registry(None, ["../x=a:b"], [])


def test_the_shipped_registry_is_whole() -> None:
    path = Path(__file__).parents[4] / "curation" / "ingest" / "benchmarks.yaml"
    found = load_recipe(path, Registry).recipe.benchmarks
    assert {entry.suite for entry in found.values()} == {"safety", "overrefusal", "reasoning"} and len(
        found
    ) >= 11


def test_an_evaluation_prompt_in_an_earlier_turn_is_found(corpus: Store) -> None:
    turns = [
        {"role": "user", "content": QUESTIONS[0]},
        {"role": "assistant", "content": "Hm."},
        {"role": "user", "content": "Go on."},
    ]
    key = prompt_id("Go on.", turns)
    corpus.append_rows("prompts", [{"prompt_id": key, "text": "Go on.", "turns": turns}])
    trace = {
        "trace_id": "t",
        "prompt_id": key,
        "prompt": "Go on.",
        "turns": turns,
        "reasoning": "",
        "answer": "x",
    }
    corpus.append_rows("traces", [trace | {"sample_index": 0}])
    fill(corpus, 1)
    run(corpus.root, [benchmark()], DecontaminateRecipe())
    found = select(open_tables(corpus), "select field, id, spans from contamination").to_pylist()
    assert {(hit["field"], hit["id"]) for hit in found} == {("turns", key)}
    assert found[0]["spans"][0]["field"] == "turn 1"
    marked = select(connect(corpus), "select trace_id from candidates where contaminated").to_pylist()
    assert marked == [{"trace_id": "t"}]
