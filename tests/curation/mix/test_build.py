import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.corpus.part_files import PartFiles
from curation.corpus.store import Store, write_parquet
from curation.mix import build as mix
from curation.mix import folder, sweep
from schemas import RecipeError, prompt_id
from schemas.tables import TRACES
from tests.curation.mix.builds import RECIPE, fault, files


def test_where_selects_by_trace_columns_verdicts_and_annotators(build) -> None:
    _, rows = build(
        "name: x\nparts:\n  a: {where: \"strategy = 'default' and kind = 'harmful' and not weak_vacillation\"}\n"
        "  b: {where: rules.weak_vacillation and category = 'privacy'}\n"
    )
    parts = Counter(row["part"] for row in rows)
    assert parts == {"a": 20, "b": 9}
    assert all(row["risky"] == (["weak_vacillation"] if row["part"] == "b" else []) for row in rows)


def test_a_count_a_fraction_and_all(build) -> None:
    _, rows = build(
        "name: x\nparts:\n  a: {where: \"strategy = 'improved'\", take: 7}\n"
        "  b: {where: kind = 'math', take: 0.25}\n  c: {where: kind = 'harmful'}\n"
    )
    assert Counter(row["part"] for row in rows) == {"a": 7, "b": 5, "c": 53}


def test_a_trace_goes_to_the_first_part_that_takes_it(build) -> None:
    _, rows = build("name: x\nparts:\n  a: {where: 'true', take: 10}\n  b: {where: 'true'}\n")
    assert len({row["trace_id"] for row in rows}) == len(rows) == 80


def test_every_trace_of_the_corpus_is_accounted_for(build) -> None:
    manifest, rows = build(
        "name: x\nmax_tokens: 100\nparts:\n  a: {where: \"strategy = 'improved'\"}\n  b: {where: kind = 'math', take: 3, max_tokens: 5000}\n"
    )
    assert manifest.counts.rows == 80
    assert manifest.counts.kept == len(rows)
    assert manifest.counts.balance == 0
    assert manifest.counts.filtered["not drawn"] == 17
    assert manifest.counts.filtered["no part matches"] == 30
    assert all(row["tokens"] <= 100 for row in rows if row["part"] == "a")


def test_stratifying_keeps_the_proportions(build) -> None:
    _, rows = build(
        "name: x\nparts:\n  a: {where: kind = 'harmful', take: 30, stratify_by: [strategy, category]}\n"
    )
    taken = Counter((row["strategy"], row["category"]) for row in rows)
    there = Counter(
        (row["strategy"], row["category"])
        for row in build("name: x\nparts: {a: {where: kind = 'harmful'}}\n")[1]
    )
    assert all(abs(taken[stratum] - size / 2) < 1 for stratum, size in there.items())


def test_a_smaller_take_is_a_subset_of_a_larger_one(build) -> None:
    def ids(take: int) -> set[str]:
        return {
            row["trace_id"] for row in build(f"name: x\nparts:\n  a: {{where: 'true', take: {take}}}\n")[1]
        }

    assert ids(10) < ids(25) < ids(60)


def test_another_seed_draws_other_traces(build) -> None:
    def ids(seed: int) -> list[str]:
        recipe = f"name: x\nseed: {seed}\nparts:\n  a: {{where: 'true', take: 20}}\n"
        return [row["trace_id"] for row in build(recipe)[1]]

    assert set(ids(1)) != set(ids(2))


def test_a_mix_built_twice_is_the_same_to_the_byte(build, tmp_path: Path) -> None:
    build(RECIPE, "one")
    build(RECIPE, "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert set(files(tmp_path / "one")) == {
        "README.md", "manifest.json", "train.jsonl",
        *(f"{config}/{folder.SHARD}" for config in ("data", "messages", "prompt_completion")),
    }  # fmt: skip


def test_the_layout_of_the_corpus_does_not_change_a_mix(build, filled: Store, tmp_path: Path) -> None:
    build(RECIPE, "one")
    rows = pq.read_table(filled.parts("traces")[0]).to_pylist()
    random.Random(7).shuffle(rows)
    filled.parts("traces")[0].unlink()
    for first in range(0, 80, 11):
        filled.append_rows("traces", rows[first : first + 11])
    build(RECIPE, "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_the_hash_seed_of_python_does_not_change_a_mix(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "curation.cli", "build-mix", str(tmp_path / "r.yaml")]
        places = ["--corpus", str(filled.root), "--out", str(tmp_path / seed)]
        subprocess.run(
            command + places, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_a_shortage_is_an_error_that_says_how_many_matched(build) -> None:
    message = fault(
        build, "name: x\nparts:\n  safety: {where: kind = 'math', take: 21}\n  b: {where: 'true', take: 99}\n"
    )
    first, second = [line for line in message.splitlines() if not line.startswith("  ")]
    assert 'recipe.yaml:3: part "safety": take 21 but only 20 traces match; relax "where"' in first
    assert 'recipe.yaml:4: part "b": take 99 but only 60 traces match' in second


def test_a_shortage_may_be_taken_as_it_is(build, capsys: pytest.CaptureFixture[str]) -> None:
    _, rows = build(
        "name: x\non_shortage: take_all\nparts:\n  a: {where: kind = 'math', take: 999}\n  c: {where: kind = 'code', take: 5}\n"
    )
    assert len(rows) == 20
    assert 'warning: part "c" is empty' in capsys.readouterr().err


def test_a_shortage_without_annotations_names_the_command_that_makes_them(build, filled: Store) -> None:
    shutil.rmtree(filled.root / "annotations")
    assert "run `curate annotate` first" in fault(build, "name: x\nparts: {a: {where: not risky, take: 5}}\n")


def test_an_empty_mix_is_an_error(build) -> None:
    assert "the mix is empty" in fault(
        build, "name: x\non_shortage: take_all\nparts: {a: {where: 'false', take: 5}}\n"
    )


def test_all_faults_in_sql_and_columns_are_reported_at_once(build) -> None:
    text = "name: x\nparts:\n  a:\n    where: weak_vacilation\n  b:\n    where: kind =\n  c: {where: 'true', stratify_by: [colour]}\n"
    message = fault(build, text)
    assert (
        "recipe.yaml:4: parts.a.where: SQL error: there is no column 'weak_vacilation'; did you mean 'weak_vacillation'?"
        in message
    )
    assert "recipe.yaml:6: parts.b.where: SQL error: syntax error" in message
    assert "recipe.yaml:7: parts.c.stratify_by: no column 'colour' in candidates" in message


def test_a_condition_cannot_read_files(build) -> None:
    message = fault(
        build, "name: x\nparts: {a: {where: \"exists (select 1 from read_text('/etc/hostname'))\"}}\n"
    )
    assert "the function 'read_text' is not allowed" in message


def test_a_name_that_is_a_path_is_refused(build) -> None:
    assert "recipe.yaml:1: name:" in fault(build, "name: ../x\nparts: {a: {where: 'true'}}\n")


def test_evaluation_prompts_never_enter_a_mix(build, filled: Store, shared_data: Path) -> None:
    from curation.corpus.query import benchmark_keys

    lines = []
    for name in ("xstest_safe_150", "advbench_subset_50"):
        lines += [
            json.loads(line)["query"] for line in (shared_data / f"{name}.jsonl").read_text().splitlines()
        ]
    asked = [text.upper() + " " for text in lines]
    base = {"reasoning": "r", "answer": "a", "sample_index": 0, "kind": "harmful"}
    filled.append_rows(
        "traces",
        [
            {**base, "trace_id": f"e{n}", "prompt_id": prompt_id(text), "prompt": text}
            for n, text in enumerate(asked)
        ],
    )
    manifest, rows = build("name: x\nparts: {a: {where: 'true'}}\n")
    held_out = {reason: n for reason, n in manifest.counts.filtered.items() if reason.startswith("benchmark")}
    assert sum(held_out.values()) == 200
    assert not set(benchmark_keys([row["prompt"] for row in rows])) & set(benchmark_keys(lines))


def test_an_exact_tokenizer_decides_length_and_cap(build, filled: Store, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    (tmp_path / "words").mkdir()
    tokenizer.save(str(tmp_path / "words" / "tokenizer.json"))
    manifest, rows = build(
        f"name: x\ntokenizer: {tmp_path / 'words'}\nmax_tokens: 60\nparts: {{a: {{where: kind = 'harmful'}}}}\n"
    )
    words = [len(f"{row['prompt']} {row['reasoning']} {row['answer']}".split()) for row in rows]
    assert [row["tokens"] for row in rows] == words
    assert max(words) <= 60
    assert manifest.counts.filtered["over max_tokens"] == 60 - len(rows) > 0
    assert manifest.summary["tokens_counted_by"] == "tokenizer words"


def test_a_missing_tokenizer_is_explained(build) -> None:
    assert "no readable tokenizer" in fault(build, "name: x\ntokenizer: gone\nparts: {a: {where: 'true'}}\n")


@pytest.mark.parametrize("name", sweep.shipped_recipes())
def test_each_shipped_recipe_is_valid_and_described(name: str, filled: Store, tmp_path: Path) -> None:
    (loaded,) = sweep.find_points(name).values()
    assert loaded.recipe.name == name
    assert loaded.recipe.description
    with pytest.raises(RecipeError, match=r"take \d+ but only|the mix is empty"):
        mix.run(filled.root, loaded, out=tmp_path / "out")


def test_an_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=r"no such file, and no shipped recipe[\s\S]*study-improved"):
        sweep.find_points("study-inproved")


def test_a_build_killed_at_any_moment_and_run_again_gives_the_same_mix(tmp_path: Path) -> None:
    corpus = Store.create(tmp_path / "corpus")
    rows = [
        {
            "trace_id": f"t{n}",
            "prompt_id": f"p{n}",
            "prompt": f"q{n}",
            "reasoning": "r" * 2000,
            "answer": "a",
            "sample_index": 0,
        }
        for n in range(5000)
    ]
    import pyarrow as pa

    write_parquet(corpus.root / "traces" / "part-0.parquet", pa.Table.from_pylist(rows, TRACES))
    (tmp_path / "r.yaml").write_text("name: x\njsonl: true\nparts: {a: {where: 'true'}}\n")

    def command(out: str) -> list[str]:
        recipe, place = str(tmp_path / "r.yaml"), str(tmp_path / out)
        return [
            sys.executable,
            "-m",
            "curation.cli",
            "build-mix",
            recipe,
            "--corpus",
            str(corpus.root),
            "--out",
            place,
        ]

    subprocess.run(command("undisturbed"), check=True, capture_output=True)  # writes the index as well
    start = time.monotonic()
    subprocess.run(command("timed"), check=True, capture_output=True)
    duration = time.monotonic() - start
    chance = random.Random(11)
    killed = 0
    for _ in range(8):
        process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 0.9) * duration)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        done = tmp_path / "killed"
        assert not done.exists() or files(done) == files(tmp_path / "undisturbed")
    assert killed > 0
    subprocess.run(command("killed"), check=True, capture_output=True)
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_values_of_a_recipe_are_values_whatever_they_hold(build, tmp_path: Path) -> None:
    _, plain = build("name: x\nparts:\n  a: {where: kind = 'harmful'}\n", "plain")
    evil = "\")); copy (select 1) to '{target}'; select (('\""
    text = (
        f"name: x\nallow_benchmarks: [{evil}, '{{seed}}', '{{where}}']\n"
        "parts:\n  '{order}': {where: \"kind = 'harmful' and source_file is distinct from '{allowed}'\"}\n"
    ).replace("{target}", str(tmp_path / "stolen.csv"))
    _, rows = build(text, "evil")
    assert {row["trace_id"] for row in rows} == {row["trace_id"] for row in plain}
    assert {row["part"] for row in rows} == {"{order}"}
    assert not (tmp_path / "stolen.csv").exists()


@pytest.mark.parametrize("recipe", ['where: "category::int > 1"', 'where: "true"}\norder_by: [category::int'])
def test_sql_that_fails_on_the_rows_is_a_named_error(build, recipe: str) -> None:
    close = "]" if "order_by" in recipe else "}"
    assert "Could not convert string" in fault(build, f"name: x\nparts:\n  a: {{{recipe}{close}\n")


def test_each_part_of_a_recipe_costs_as_much_as_the_first(filled: Store, tmp_path: Path, monkeypatch) -> None:
    opened: list[str] = []
    opening = PartFiles.open

    def counted(self: PartFiles, path: str, mode: str = "rb", **rest: object) -> object:
        opened.append(path)
        return opening(self, path, mode, **rest)

    monkeypatch.setattr(PartFiles, "open", counted)

    def opens(parts: int) -> int:
        lines = [f"  p{n}: {{where: \"trace_id <> 't{n}'\", take: 1}}" for n in range(parts)]
        (tmp_path / "r.yaml").write_text("name: x\nparts:\n" + "\n".join(lines))
        opened.clear()
        assert mix.run(filled.root, tmp_path / "r.yaml", out=tmp_path / "out").counts.kept == parts
        return len(opened)

    opens(1)  # makes the index
    few, many = opens(10), opens(30)
    assert many - few <= 20 * 6
